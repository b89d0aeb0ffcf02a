"""A part read again from the disk: is it, frame by frame, what was received?"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Proof:
    """written: size and digest of a file as it lies there. difference: the first frame (0-based)
    that is not what was received; None if all are."""

    written: WrittenFile
    difference: int | None


def prove(path: Path, beginning: bytes, frames: Frames) -> Proof:
    """Read a file once and compare it with what was received.

    beginning: what stands before the first frame, Basic Offset Table included. Raises
    IntegrityError if anything around the frames is not what was written; StorageError.
    """
    sizes = frames["fragment_size"]
    whole = hashlib.sha256()
    try:
        with path.open("rb", buffering=0) as file:
            size = path.stat().st_size
            if size != encapsulate.size_bytes(beginning, sizes):
                raise IntegrityError(f"{path.name} is not as long as what was written.")
            if file.read(len(beginning)) != beginning:
                raise IntegrityError(f"The header of {path.name} is not what was written.")
            whole.update(beginning)
            found = b"".join(_digests(file, sizes, whole.update))
            if file.read() != encapsulate.DELIMITER:
                raise IntegrityError(f"The end of {path.name} is not what was written.")
            whole.update(encapsulate.DELIMITER)
    except OSError as error:
        raise _unreadable(path, error) from error
    digests = np.frombuffer(found, "u1").reshape(-1, 32)
    differs = np.flatnonzero((digests != frames["fragment_digest"]).any(axis=1))
    difference = int(differs[0]) if len(differs) else None
    return Proof(WrittenFile(size, whole.hexdigest()), difference)


def _digests(
    file: BinaryIO, sizes: NDArray[np.int64], read: Callable[[memoryview], None]
) -> Iterator[bytes]:
    """Yield the SHA-256 of each frame; of one whose item is not where it belongs, nothing's.

    read: called with all that is read.
    """
    on_disk = encapsulate.on_disk(sizes)
    ends = np.cumsum(on_disk)
    buffer = memoryview(bytearray(max(WINDOW_BYTES, int(on_disk.max(initial=0)))))
    sha256 = hashlib.sha256
    first = 0
    while first < len(sizes):
        before = int(ends[first] - on_disk[first])
        end = max(first + 1, int(np.searchsorted(ends, before + WINDOW_BYTES, "right")))
        window = buffer[: int(ends[end - 1]) - before]
        count = file.readinto(window)  # type: ignore[attr-defined]
        read(window[:count])
        at = 0
        for size in sizes[first:end].tolist():
            start = at + 8
            at = start + size + size % 2
            stands = window[start - 8 : start] == encapsulate.item_header(size)
            padded = size % 2 == 0 or window[at - 1] == 0
            sound = stands and padded and count == len(window)
            yield sha256(window[start : start + size] if sound else b"").digest()
        first = end


def _unreadable(path: Path, error: OSError) -> ObjectMissing | StorageUnavailable:
    if isinstance(error, FileNotFoundError):
        return ObjectMissing(f"{path.name} is missing from the storage.")
    return StorageUnavailable(f"{path.name} cannot be read: {error.strerror}.")
