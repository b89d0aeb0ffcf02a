"""A part read again from the disk: is it, frame by frame, what was received?"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from gateway.errors import IntegrityError, ObjectMissing, StorageUnavailable
from workers.derived_files import WrittenFile
from workers.wrap import encapsulate
from workers.wrap.recording import Frames

WINDOW_BYTES = 1 << 20
"""Read at once; a frame that is larger, by itself."""


def described(path: Path) -> WrittenFile:
    """Return size and digest of a file as it lies there. Raises StorageError."""
    try:
        with path.open("rb", buffering=0) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return WrittenFile(file.tell(), digest)
    except OSError as error:
        raise _unreadable(path, error) from error


def first_difference(path: Path, beginning: bytes, frames: Frames) -> int | None:
    """Return the first frame (0-based) that is not what was received; None if all are.

    beginning: what stands before the first frame, Basic Offset Table included. Raises
    IntegrityError if anything around the frames is not what was written; StorageError.
    """
    sizes = frames["fragment_size"]
    try:
        with path.open("rb", buffering=0) as file:
            if path.stat().st_size != encapsulate.size_bytes(beginning, sizes):
                raise IntegrityError(f"{path.name} is not as long as what was written.")
            if file.read(len(beginning)) != beginning:
                raise IntegrityError(f"The header of {path.name} is not what was written.")
            found = b"".join(_digests(file, sizes))
            if file.read() != encapsulate.DELIMITER:
                raise IntegrityError(f"The end of {path.name} is not what was written.")
    except OSError as error:
        raise _unreadable(path, error) from error
    digests = np.frombuffer(found, "u1").reshape(-1, 32)
    differs = np.flatnonzero((digests != frames["fragment_digest"]).any(axis=1))
    return int(differs[0]) if len(differs) else None


def _digests(file: BinaryIO, sizes: NDArray[np.int64]) -> Iterator[bytes]:
    """Yield the SHA-256 of each frame; of one whose item is not where it belongs, nothing's."""
    on_disk = encapsulate.on_disk(sizes)
    ends = np.cumsum(on_disk)
    buffer = memoryview(bytearray(max(WINDOW_BYTES, int(on_disk.max(initial=0)))))
    first = 0
    while first < len(sizes):
        before = int(ends[first] - on_disk[first])
        end = max(first + 1, int(np.searchsorted(ends, before + WINDOW_BYTES, "right")))
        window = buffer[: int(ends[end - 1]) - before]
        count = file.readinto(window)  # type: ignore[attr-defined]
        at = 0
        for size in sizes[first:end].tolist():
            stands = window[at : at + 8] == encapsulate.item_header(size) and count == len(window)
            padded = size % 2 == 0 or window[at + 8 + size] == 0
            whole = window[at + 8 : at + 8 + size] if stands and padded else b""
            yield hashlib.sha256(whole).digest()
            at += 8 + size + size % 2
        first = end


def _unreadable(path: Path, error: OSError) -> ObjectMissing | StorageUnavailable:
    if isinstance(error, FileNotFoundError):
        return ObjectMissing(f"{path.name} is missing from the storage.")
    return StorageUnavailable(f"{path.name} cannot be read: {error.strerror}.")
