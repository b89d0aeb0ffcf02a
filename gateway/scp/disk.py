"""Telling people about the room on the disk: a row in the ledger for every change."""

from datetime import datetime

from gateway import log
from gateway.errors import LedgerError
from gateway.ledger.engine import Ledger
from gateway.ledger.transitions import disk
from gateway.model import DiskLevel
from gateway.packs.room import Room

_logger = log.get(__name__)


class DiskReport:
    """What the ledger was told. `update` is called again and again, by one thread."""

    def __init__(self, room: Room, ledger: Ledger) -> None:
        self._room, self._ledger = room, ledger
        self._told: DiskLevel | None = None  # after a start: what it was told before may be old

    def update(self, now: datetime) -> None:
        """Record the level if it changed. If the ledger cannot take it, the next call tries."""
        level = self._room.look()
        if level is self._told:
            return
        try:
            with self._ledger.transaction() as session:
                disk.change_level(session, level, free_bytes=self._room.free_bytes, now=now)
        except LedgerError as error:
            _logger.debug("disk.level-not-recorded", level=str(level), error=str(error))
            return
        self._told = level
