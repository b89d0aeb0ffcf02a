"""One import at a time on a data directory: two of the same files would store them twice.

The kernel lets go of the lock with the process. A mark in the file tells whether the one that
held it last came to an end.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable

from gateway.errors import StorageError
from gateway.packs.writer import storage_error
from gateway.settings import Settings

_UNDER_WAY = b"under way"


class Turn:
    """Held from `take` until `give_back`, or until the process ends."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.run_dir / "import.lock"
        self._descriptor = -1

    def take(self, *, waiting: Callable[[], None]) -> bool:
        """Wait for our turn; tells whether the import before us was killed.

        waiting: called once if another import has to end first. Raises StorageError.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise storage_error(error, self._path) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        before = os.pread(self._descriptor, len(_UNDER_WAY), 0)
        self._mark(_UNDER_WAY)
        return bool(before)

    def give_back(self) -> None:
        """Say that everything was brought to an end."""
        with contextlib.suppress(StorageError):  # then the next one looks once more, in vain
            self._mark(b"")
        os.close(self._descriptor)
        self._descriptor = -1

    def _mark(self, text: bytes) -> None:
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text, 0)
        except OSError as error:
            raise storage_error(error, self._path) from error
