"""The whole gateway running for a test, a PACS it delivers to, and the questions asked of both."""

import hashlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.ledger import events, migrate
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import studies, transfers
from gateway.ledger.queries.studies import StudyLine
from gateway.ledger.transitions import registry
from gateway.model import StudyState, TransferState
from gateway.packs.multiframe import MultiFrameFile
from gateway.settings import Settings
from gateway.simulator.capsule import SyntheticFrame, synthetic_frames
from gateway.simulator.pacs import SimulatedPacs
from gateway.simulator.study import SyntheticStudy
from gateway.simulator.workstation import SendReport, send_study
from gateway.up import roles, runfile
from gateway.up.supervisor import Supervisor

PACS_AE_TITLE = "TESTPACS"


def eventually(true: Callable[[], object], what: str, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"{what}: not after {timeout_s:g} s"
        time.sleep(0.02)


@dataclass
class Gateway:
    settings: Settings
    ledger: Ledger
    pacs_folder: Path

    @property
    def scp_port(self) -> int:
        return runfile.wait_for(self.settings.run_dir, roles.SCP, timeout_s=30).port

    def send(
        self,
        study: SyntheticStudy,
        frames: list[SyntheticFrame],
        progress: Callable[[int], None] | None = None,
    ) -> SendReport:
        return send_study(
            study, frames, host="127.0.0.1", port=self.scp_port,
            calling_ae_title="WORKSTATION", called_ae_title=self.settings.ae_title,
            progress=progress,
        )  # fmt: skip

    def study(self) -> StudyLine | None:
        with self.ledger.reading() as session:
            lines = studies.lines(session)
        return lines[0] if lines else None

    def state(self) -> StudyState | None:
        line = self.study()
        return line.study.state if line else None

    def delivered(self) -> bool:
        with self.ledger.reading() as session:
            lines = transfers.lines(session)
        return bool(lines) and all(one.transfer.state is TransferState.COMMITTED for one in lines)

    def wait_until_delivered(self, timeout_s: float = 90) -> None:
        eventually(lambda: self.delivered() or self.state() is StudyState.FAILED,
                   "the study is delivered", timeout_s)  # fmt: skip
        assert self.delivered(), self.study()

    def assert_nothing_was_lost(self, sent: dict[str, str]) -> None:
        """sent: SHA-256 of every acknowledged JPEG by SOP Instance UID, in order."""
        assert frame_digests(self.settings.derived_dir) == list(sent.values())
        assert frame_digests(self.pacs_folder) == list(sent.values())
        with self.ledger.reading() as session:
            assert events.first_broken(session) is None


def frame_digests(folder: Path) -> list[str]:
    """Return the SHA-256 of every frame of the multi-frame instances below a folder, in order."""
    digests = []
    parts = []
    for path in folder.rglob("*.dcm"):
        try:
            part = MultiFrameFile(path)
        except Exception:  # key frames and documents are none
            continue
        # Series 902 is the preview: frames of the recording once more.
        if part.header.get("NumberOfFrames") and part.header.SeriesNumber != 902:
            parts.append((int(part.header.InstanceNumber), part))
    for _, part in sorted(parts, key=lambda one: one[0]):
        for index in range(part.frame_count):
            data = part.read_frame(index)
            stream = data[:-1] if data.endswith(b"\xff\xd9\x00") else data
            digests.append(hashlib.sha256(stream).hexdigest())
    return digests


def make_study(frame_count: int) -> tuple[SyntheticStudy, list[SyntheticFrame]]:
    study = SyntheticStudy.from_seed(3, declared_count=frame_count, rows=96, columns=96)
    return study, list(synthetic_frames(frame_count, seed=3, rows=96, columns=96))


def free_port() -> int:
    """Return a port nobody listens on: one that stays the same when the listener is restarted."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def settings_for(home: Path, **changes: object) -> Settings:
    values = {
        "dicom_host": "127.0.0.1", "dicom_port": free_port(), "web_port": 0,
        "sweep_interval_s": 0.3,
        "lease_s": 4, "retry_base_s": 0.5, "settle_s": 1, "settle_aborted_s": 600,
        "part_frames_max": 50, "key_frames": 8,
    }  # fmt: skip
    return Settings(home=home, **{**values, **changes})


@contextmanager
def gateway_on(settings: Settings) -> Iterator[Gateway]:
    """A ledger with a PACS registered; the PACS itself runs, the gateway's roles do not yet."""
    settings.home.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(settings.ledger_url)
    migrate.upgrade(ledger)
    folder = settings.home / "pacs"
    report_to = ("127.0.0.1", settings.dicom_port, settings.ae_title)
    with SimulatedPacs(folder, ae_title=PACS_AE_TITLE, report_to=report_to) as pacs:
        with ledger.transaction() as session:
            registry.add_destination(
                session, "pacs", ae_title=PACS_AE_TITLE, host="127.0.0.1", port=pacs.port,
                route_all=True, now=datetime.now(UTC), actor="test",
            )  # fmt: skip
        yield Gateway(settings, ledger, folder)
    ledger.dispose()


@contextmanager
def running(settings: Settings) -> Iterator[Supervisor]:
    with Supervisor(
        roles.children(settings), run_dir=settings.run_dir, output=settings.home / "gateway.log"
    ) as supervisor:
        yield supervisor


def kill_group(pid: int) -> None:
    """kill -9 of a child of ours and of everything it started."""
    os.killpg(os.getpgid(pid), signal.SIGKILL)
