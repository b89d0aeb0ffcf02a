"""What is measured: which receiver gets what from whom, in which order."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.bench.ingest import figures, receivers
from tests.bench.ingest.figures import Key, Run
from tests.bench.ingest.messages import Template, large_instance
from tests.bench.ingest.programs import OrthancSource, Storescu, StudyFiles
from tests.bench.ingest.receivers import Receiver
from tests.bench.ingest.senders import Replay, ReplayLarge
from tests.conftest import find_program

STALLED_PER_S, STALLED_S = 22, 5
"""What a receiver reaches that lets a sender wait 40 ms an instance, and for how long it may."""
STALLED_MIN = 30


class Sender(Protocol):
    """send: returns what it measured; raises unless every instance was answered with Success.
    digests: SHA-256 by SOP Instance UID of what it may send."""

    def send(self, port: int) -> Run: ...
    def digests(self) -> dict[str, str]: ...


@dataclass(frozen=True)
class Case:
    """receiver None: the synced appends."""

    scenario: str
    receiver: Receiver | None
    sender: Callable[[], Sender] | None
    count: int

    @property
    def key(self) -> Key:
        return self.scenario, self.receiver.name if self.receiver else figures.APPENDS


def cases(template: Template, count: int, large_bytes: int, sources: Path) -> list[Case]:
    """Return everything that is measured in one round.

    count: instances for the fast receivers; the slow ones get so many fewer that they take about
    as long. sources: a folder for what storescu and Orthanc send.
    """
    return [
        *_replayed(template, count),
        Case(figures.LARGE, receivers.OURS, lambda: ReplayLarge(large_instance(large_bytes)), 1),
        *_sent_by_programs(template, count, sources),
    ]


def _replayed(template: Template, count: int) -> list[Case]:
    def one(receiver: Receiver, share: float = 1) -> Case:
        number = max(1, int(count * share))
        return Case(figures.ONE, receiver, lambda: Replay(template, number), number)

    def four(receiver: Receiver, share: float = 1) -> Case:
        number = max(4, int(count * share))
        return Case(figures.FOUR, receiver, lambda: Replay(template, number, 4), number)

    return [
        Case(figures.ONE, None, None, max(1, count // 4)),
        one(receivers.SINK),
        one(receivers.OURS),
        one(receivers.STORESCP),
        Case(figures.WINDOW, receivers.OURS, lambda: Replay(template, count, window=16), count),
        one(receivers.OURS_UNSYNCED),
        Case(figures.WINDOW, receivers.SINK, lambda: Replay(template, count, window=16), count),
        one(receivers.ORTHANC, 0.3),
        one(receivers.PYNETDICOM_FSYNC, 0.2),
        Case(figures.ONE, None, None, max(1, count // 4)),
        four(receivers.SINK),
        four(receivers.OURS),
        four(receivers.STORESCP_FORK),
        four(receivers.ORTHANC, 0.3),
    ]


def _sent_by_programs(template: Template, count: int, sources: Path) -> list[Case]:
    stalled = max(STALLED_MIN, min(STALLED_PER_S * STALLED_S, count // 50))
    fast, medium = max(1, count * 3 // 10), max(1, count // 10)
    files = StudyFiles(sources / "files", template)
    source = OrthancSource(sources / "orthanc", template, fast)

    def storescu(scenario: str, receiver: Receiver, number: int) -> Case:
        nodelay = scenario == figures.NODELAY
        return Case(scenario, receiver, lambda: Storescu(files, number, nodelay), number)

    def orthanc(scenario: str, receiver: Receiver, number: int) -> Case:
        nodelay = scenario == figures.ORTHANC_SENDS_NODELAY
        return Case(scenario, receiver, lambda: source.sender(number, nodelay=nodelay), number)

    return [
        storescu(figures.NAGLE, receivers.OURS, fast),
        storescu(figures.NAGLE, receivers.STORESCP, stalled),
        storescu(figures.NAGLE, receivers.ORTHANC, stalled),
        storescu(figures.NODELAY, receivers.OURS, fast),
        storescu(figures.NODELAY, receivers.STORESCP, fast),
        storescu(figures.NODELAY, receivers.ORTHANC, medium),
        orthanc(figures.ORTHANC_SENDS, receivers.OURS, medium),
        orthanc(figures.ORTHANC_SENDS, receivers.STORESCP, stalled),
        orthanc(figures.ORTHANC_SENDS_NODELAY, receivers.OURS, fast),
        orthanc(figures.ORTHANC_SENDS_NODELAY, receivers.STORESCP, fast),
    ]


def missing_programs(case: Case) -> list[str]:
    """Return the programs a case needs and this machine does not have."""
    needed = [case.receiver.program] if case.receiver and case.receiver.program else []
    if case.scenario in (figures.NAGLE, figures.NODELAY):
        needed.append("storescu")
    if case.scenario in (figures.ORTHANC_SENDS, figures.ORTHANC_SENDS_NODELAY):
        needed.append("Orthanc")
    return [name for name in needed if find_program(name) is None]
