"""Packs whose writer is gone: sealing them, while other processes receive and do the same."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.packs import index as pack_index
from gateway.packs import reading
from gateway.packs.index import Index
from gateway.packs.writer import storage_error
from gateway.settings import Settings


def seal(settings: Settings, path: Path) -> Index | None:
    """Seal a pack if nobody writes to it; returns its index, also if it was sealed before.

    None: its writer lives. Raises StorageError.
    """
    with _alone(settings):
        return reading.recover(path)


def seal_all_in(settings: Settings, directory: Path) -> None:
    """Before a Series gets more: seal what a writer that died left open in its directory.

    Its sender may be back sooner than the recovery, and what is sent again must be known. A pack
    without a byte is left alone: nothing is known from it, and its writer may be about to lock it.
    Raises StorageError.
    """
    for path in directory.glob("*.tar"):
        if not pack_index.path_beside(path).exists() and path.stat().st_size:
            seal(settings, path)


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Let one process at a time look at a pack: held by another looker, it is not being written."""
    path = settings.run_dir / "recovery.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise storage_error(error, path) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
