"""A listener of ours on a free loopback port, and its ledger."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.ledger.engine import Ledger
from gateway.ledger.queries import associations, studies
from gateway.model import AssociationOutcome
from gateway.packs import index as pack_index
from gateway.packs import reading
from gateway.scp.server import ScpServer
from gateway.settings import Settings
from tests import ledgers


@dataclass
class Listener:
    settings: Settings
    ledger: Ledger
    server: ScpServer

    @property
    def port(self) -> int:
        return self.server.port

    def quarantine(self) -> list[tuple[str, int]]:
        with self.ledger.reading() as session:
            return [(row.code, row.status) for row in studies.quarantine(session)]

    def wait_until_closed(self, count: int = 1) -> list[AssociationOutcome]:
        """Wait until `count` associations are over; returns how they ended, the latest first."""

        def outcomes() -> list[AssociationOutcome]:
            with self.ledger.reading() as session:
                return [row.outcome for row in associations.latest(session)]

        eventually(lambda: len(outcomes()) >= count and AssociationOutcome.OPEN not in outcomes())
        return outcomes()

    def kept(self) -> dict[str, bytes]:
        """Return every kept Part 10 file by SOP Instance UID."""
        files = {}
        for path in sorted(self.settings.packs_dir.glob("*/*/*.tar")):
            for row in pack_index.load(path):
                content = reading.read_range(path, int(row["offset"]), int(row["size"]))
                files[row["sop_instance_uid"].decode()] = content
        return files


def eventually(true: Callable[[], object], timeout_s: float = 10) -> None:
    """Poll until `true` is; fail after timeout_s."""
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.01)


def make_settings(home: Path, **changes: object) -> Settings:
    return Settings(home=home, dicom_host="127.0.0.1", dicom_port=0, **changes)


@pytest.fixture
def make_listener(tmp_path) -> Iterator[Callable[..., Listener]]:
    running: list[Listener] = []

    def make(**changes: object) -> Listener:
        settings = make_settings(tmp_path, **changes)
        ledger = ledgers.in_home(tmp_path)
        listener = Listener(settings, ledger, ScpServer(settings, ledger))
        listener.server.start()
        running.append(listener)
        return listener

    yield make
    for listener in running:
        listener.server.stop()
        listener.ledger.dispose()


@pytest.fixture
def listener(make_listener) -> Listener:
    return make_listener()
