"""Keeping the bytes of a refused instance aside, where a human can look at them."""

import os
import uuid
from datetime import datetime
from pathlib import Path

from gateway.packs.index import sync_directory
from gateway.packs.writer import storage_error

KEPT_BYTES_MAX = 64 << 20
"""Of one refused instance no more than this is kept."""


def keep_aside(
    directory: Path, home: Path, parts: list[bytes | memoryview], *, now: datetime
) -> str:
    """Write the parts to a new file under `directory`; returns its storage key.

    The name is ours: nothing a peer sent becomes a path. Raises StorageError.
    """
    folder = directory / now.strftime("%Y-%m-%d")
    path = folder / f"{uuid.uuid4().hex}.dcm"
    room = KEPT_BYTES_MAX
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        with path.open("xb") as file:
            for part in parts:
                file.write(part[:room])
                room = max(0, room - len(part))
            file.flush()
            os.fsync(file.fileno())
        sync_directory(folder)
    except OSError as error:
        raise storage_error(error, path) from error
    return str(path.relative_to(home))
