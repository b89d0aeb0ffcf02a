"""How much room there is on the disk: when to warn, and when to refuse before it is full.

`decide` is pure; Room asks the file system, by bytes written and by time, never per instance.
What others write (workers, the database, other programs) is seen by time alone.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gateway import log
from gateway.errors import StorageFull
from gateway.model import DiskLevel
from gateway.packs.writer import EXTENT_BYTES
from gateway.settings import Settings

WARN_SHARE, WARN_BYTES_MAX = 0.10, 10 << 30
REFUSE_SHARE, REFUSE_BYTES_MAX = 0.05, 2 << 30
"""The marks where none are set: a share of the file system, so that they fit a small one, and
no more than this of a large one."""
LOOK_INTERVAL_S = 0.25
UNSEEN_SHARE = 16
"""Of the room above the refusal mark, one writer may use a sixteenth between two looks: as
many processes as that can write at once without passing the mark unseen."""
UNSEEN_BYTES_MIN = 1 << 20
FILES_MIN = 64
"""File names left (inodes): fewer are as good as none."""

_logger = log.get(__name__)


class Measured(NamedTuple):
    """What a file system says of itself. size_bytes 0: it says nothing."""

    size_bytes: int
    free_bytes: int
    free_files: int | None


@dataclass(frozen=True)
class Marks:
    """Free bytes below which we warn, and below which we refuse."""

    warn_bytes: int
    refuse_bytes: int


def measure(directory: Path) -> Measured:
    """Ask a file system; what only root may use does not count. Raises OSError."""
    told = os.statvfs(directory)
    free_files = told.f_favail if told.f_files else None  # btrfs, some network file systems
    return Measured(told.f_blocks * told.f_frsize, told.f_bavail * told.f_frsize, free_files)


def marks(size_bytes: int, *, warn_bytes: int, refuse_bytes: int) -> Marks:
    """Return the marks of a file system. warn_bytes, refuse_bytes: as set, 0 for automatic.

    What a pack grows by at once is put on top: the last extension must still fit.
    """
    refuse = refuse_bytes or min(int(size_bytes * REFUSE_SHARE), REFUSE_BYTES_MAX)
    warn = warn_bytes or min(int(size_bytes * WARN_SHARE), WARN_BYTES_MAX)
    return Marks(max(warn, refuse) + EXTENT_BYTES, refuse + EXTENT_BYTES)


def decide(found: Measured, at: Marks, before: DiskLevel) -> DiskLevel:
    """Return the level. To leave one for the better takes an eighth more than to enter it."""
    if found.size_bytes == 0:
        return DiskLevel.PLENTY
    refuse, warn = at.refuse_bytes, at.warn_bytes
    if before is DiskLevel.FULL:
        refuse += refuse // 8
    if before is not DiskLevel.PLENTY:
        warn += warn // 8
    no_names = found.free_files is not None and found.free_files < FILES_MIN
    if no_names or found.free_bytes < refuse:
        return DiskLevel.FULL
    return DiskLevel.LOW if found.free_bytes < warn else DiskLevel.PLENTY


class Room:
    """The room below the directories we write to; shared by the threads of a process."""

    def __init__(
        self,
        directories: Sequence[Path],
        *,
        warn_bytes: int = 0,
        refuse_bytes: int = 0,
        measure: Callable[[Path], Measured] = measure,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directories = directories
        self._set = {"warn_bytes": warn_bytes, "refuse_bytes": refuse_bytes}
        self._measure, self._clock = measure, clock
        self._lock = threading.Lock()
        self._look_at = 0.0
        self._unseen_bytes = self._unseen_max = 0
        self.level = DiskLevel.PLENTY
        self.free_bytes = 0
        """Of the file system that has the least, when we last looked."""

    @classmethod
    def of(cls, settings: Settings) -> "Room":
        """Return the room for packs and ledger; they may lie on different file systems."""
        return cls(
            (settings.home, settings.packs_dir),
            warn_bytes=settings.disk_warn_bytes,
            refuse_bytes=settings.disk_refuse_bytes,
        )

    def take(self, size_bytes: int) -> None:
        """Say that bytes are about to be written. Raises StorageFull while there is no room."""
        self._unseen_bytes += size_bytes
        if self._unseen_bytes > self._unseen_max and self.level is not DiskLevel.FULL:
            self._look_at = 0.0
        if self.look() is DiskLevel.FULL:
            raise StorageFull("The disk is nearly full: nothing more is taken until there is room.")

    def look(self) -> DiskLevel:
        """Return the level; asks the file system if the last time is a while ago."""
        moment = self._clock()
        if moment >= self._look_at:
            with self._lock:
                self._look_at = moment + LOOK_INTERVAL_S
                self._change(self._looked())
        return self.level

    def _looked(self) -> DiskLevel:
        levels, free, spare = [DiskLevel.PLENTY], [], []
        for directory in self._directories:
            try:
                found = self._measure(directory)
            except OSError:
                continue  # not there yet, or out of order: then writing says so
            at = marks(found.size_bytes, **self._set)
            levels.append(decide(found, at, self.level))
            if found.size_bytes:
                free.append(found.free_bytes)
                spare.append(found.free_bytes - at.refuse_bytes)
        self.free_bytes = min(free, default=0)
        self._unseen_bytes = 0
        self._unseen_max = max(UNSEEN_BYTES_MIN, min(spare, default=0) // UNSEEN_SHARE)
        return max(levels, key=list(DiskLevel).index)

    def _change(self, level: DiskLevel) -> None:
        before, self.level = self.level, level
        if level is before:
            return
        say = _logger.info if level is DiskLevel.PLENTY else _logger.warning
        say("disk.level", level=str(level), before=str(before), free_bytes=self.free_bytes)
