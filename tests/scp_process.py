"""`capsule-gateway scp` as a process of its own, for tests that harm it from outside."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.dicom import part10
from gateway.ledger import events
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import associations, studies
from gateway.model import AssociationOutcome
from gateway.packs import index as pack_index
from gateway.packs import reading
from gateway.settings import Settings
from gateway.up import roles, runfile
from tests.conftest import ROOT
from tests.listening import eventually
from tests.requestor import Requestor


@dataclass
class ScpProcess:
    settings: Settings
    process: "subprocess.Popen[bytes]"
    ledger: Ledger

    def associate(self, **options: object) -> Requestor:
        return Requestor(self.settings.dicom_port, **options)

    @property
    def family(self) -> list[int]:
        """The process and every one it started."""
        return list(_descendants(self.process.pid))

    def assert_alive(self) -> None:
        assert self.process.poll() is None, self.said()

    def kill(self) -> None:
        """kill -9 of the process and of every one it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def said(self) -> str:
        return (self.settings.home / "scp.log").read_text()

    def open_packs(self) -> list[Path]:
        return [
            path
            for path in self.settings.packs_dir.glob("*/*/*.tar")
            if not pack_index.path_beside(path).exists()
        ]

    def wait_until_sealed(self, timeout_s: float = 20) -> None:
        """Wait until no association is open, every pack is sealed and the ledger says so."""

        def settled() -> bool:
            with self.ledger.reading() as session:
                held = associations.latest(session, outcome=AssociationOutcome.OPEN)
                return not held and not studies.open_packs(session) and not self.open_packs()

        try:
            eventually(settled, timeout_s)
        except AssertionError as error:
            error.add_note(f"open packs: {self.open_packs()}\n{self.said()[-3000:]}")
            raise

    def kept(self) -> dict[str, bytes]:
        """Return every data set in sealed packs by SOP Instance UID; none may be there twice."""
        found: dict[str, bytes] = {}
        for path in sorted(self.settings.packs_dir.glob("*/*/*.npy")):
            pack = path.with_suffix(".tar")
            for row in pack_index.load(pack):
                content = reading.read_range(pack, int(row["offset"]), int(row["size"]))
                uid = row["sop_instance_uid"].decode()
                assert uid not in found, f"{uid} is kept twice"
                found[uid] = content[part10.parse_file_meta(content).data_set_offset :]
        return found

    def assert_the_ledger_agrees(self) -> None:
        """Its rows count what the packs hold, and its chain of events is whole."""
        with self.ledger.reading() as session:
            counted = sum(line.received_count for line in studies.lines(session, limit=1000))
            assert events.first_broken(session) is None
        assert counted == len(self.kept())


@contextlib.contextmanager
def scp_process(
    home: Path, port: int, *, environ: Mapping[str, str] | None = None, **changes: object
) -> Iterator[ScpProcess]:
    """Start the listener and wait until it listens; killed with all it started at the end."""
    settings = Settings(home=home, dicom_host="127.0.0.1", dicom_port=port, **changes)
    plain = {name: text for name, text in os.environ.items() if not name.startswith("CAPSULE_")}
    settings.home.mkdir(parents=True, exist_ok=True)
    runfile.discard(settings.run_dir, roles.SCP)
    with (settings.home / "scp.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "scp"], start_new_session=True, cwd=ROOT,
            env=plain | settings.as_environment() | (environ or {}), stdout=log, stderr=log,
        )  # fmt: skip
    listener = ScpProcess(settings, process, Ledger(settings.ledger_url))
    try:
        eventually(
            lambda: runfile.read(settings.run_dir, roles.SCP) or process.poll() is not None, 60
        )
        listener.assert_alive()
        yield listener
    finally:
        listener.ledger.dispose()
        listener.kill()


def _descendants(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                yield from _descendants(int(child))
