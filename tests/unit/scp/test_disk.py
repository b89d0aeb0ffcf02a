"""Every change of the disk's level has one row, however many processes see it."""

from datetime import UTC, datetime
from pathlib import Path

from gateway.ledger import events, migrate
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import disk
from gateway.ledger.schema import Event
from gateway.model import DiskLevel
from gateway.packs.room import Measured, Room
from gateway.scp.disk import DiskReport
from tests import ledgers

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
GIB = 1 << 30
ledger = ledgers.ledger


class Disk:
    """A file system of 100 GiB with so much free, and a clock that never stands still."""

    free_bytes, moment = 50 * GIB, 0.0

    def room(self) -> Room:
        return Room([Path("/")], measure=self._measure, clock=self._clock)

    def _measure(self, _directory: Path) -> Measured:
        return Measured(100 * GIB, self.free_bytes, None)

    def _clock(self) -> float:
        self.moment += 1
        return self.moment


def rows(ledger: Ledger) -> list[tuple[str, str]]:
    with ledger.reading() as session:
        found = session.query(Event).filter(Event.subject == disk.SUBJECT).order_by(Event.id)
        assert events.first_broken(session) is None
        return [(one.from_state, one.to_state) for one in found]


def test_several_processes_record_a_change_once(ledger):
    file_system = Disk()
    reports = [DiskReport(file_system.room(), ledger) for _ in range(3)]
    for free_bytes in (50 * GIB, 8 * GIB, GIB, 50 * GIB):
        file_system.free_bytes = free_bytes
        for _ in range(2):
            for report in reports:
                report.update(NOW)
    assert rows(ledger) == [("plenty", "low"), ("low", "full"), ("full", "plenty")]


def test_a_start_corrects_what_was_said_before_it(ledger):
    file_system = Disk()
    file_system.free_bytes = GIB
    DiskReport(file_system.room(), ledger).update(NOW)
    file_system.free_bytes = 50 * GIB
    DiskReport(file_system.room(), ledger).update(NOW)
    with ledger.reading() as session:
        assert disk.level(session) is DiskLevel.PLENTY


def test_a_ledger_that_is_away_hears_of_it_later(tmp_path):
    file_system = Disk()
    file_system.free_bytes = GIB
    away = Ledger(f"sqlite:///{tmp_path / 'nowhere' / 'ledger.sqlite'}")
    report = DiskReport(file_system.room(), away)
    report.update(NOW)
    (tmp_path / "nowhere").mkdir()
    migrate.upgrade(away)
    report.update(NOW)
    assert rows(away) == [("plenty", "full")]
    away.dispose()
