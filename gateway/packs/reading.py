"""Reading packs: whole ones after a crash, single members by their range."""

import fcntl
import mmap
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.errors import IntegrityError, ObjectMissing, StorageUnavailable, Undecodable
from gateway.packs import index as pack_index
from gateway.packs import tar
from gateway.packs.index import Index
from gateway.packs.writer import storage_error

HELD_BYTES_MAX = 8 << 20
"""Instances up to this size are held in memory whole; of larger ones, only this beginning.
What comes before the pixel data must fit in it."""
TOGETHER_BYTES_MAX = 1 << 20
"""Ranges that lie close together are read in one call up to this length."""
SKIPPED_BYTES_MAX = 16 << 10
"""Between them, this much is read and thrown away rather than seeking: headers of instances."""


def scan(path: Path) -> tuple[Index, int]:
    """Read an unsealed pack from its start; returns (index of the whole members, their end).

    Stops at the end mark or at the first member whose bytes do not match its digest: that one
    was never acknowledged.
    """
    size = path.stat().st_size
    if size < tar.BLOCK:
        return pack_index.from_records(b""), 0
    records, position, describer = bytearray(), 0, pack_index.Describer()
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole,
        memoryview(whole) as view,
    ):
        while position + tar.BLOCK <= size:
            found = _member(view, position, describer)
            if found is None:
                break
            record, member_size = found
            records += record
            position += tar.BLOCK + tar.padded(member_size)
    return pack_index.from_records(records), position


def _member(
    view: memoryview, position: int, describer: pack_index.Describer
) -> tuple[bytes, int] | None:
    """Return (index record, size) of the member at `position`; None if it is not whole."""
    member = tar.decode_header(view[position : position + tar.BLOCK])
    start = position + tar.BLOCK
    if member is None or start + member.size > len(view):
        return None
    with view[start : start + member.size] as content:
        if tar.content_digest(content) != member.digest:
            return None
        head = bytes(content[:HELD_BYTES_MAX])
        try:
            record = describer.record(head, offset=start, size=member.size, digest=member.digest)
        except Undecodable:
            return None
    return record, member.size


def recover(path: Path) -> Index | None:
    """Seal a pack whose writer died; None if a living process still writes to it.

    Returns the index, also of a pack that was sealed already.
    """
    if pack_index.path_beside(path).exists():
        return pack_index.load(path)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            index, end = scan(path)
            os.ftruncate(descriptor, end)
            os.pwrite(descriptor, tar.END_MARK, end)
            os.fsync(descriptor)
            pack_index.save(index, path)
        finally:
            os.close(descriptor)
    except BlockingIOError:
        return None
    except OSError as error:
        raise storage_error(error, path) from error
    return index


def read_range(path: Path, offset: int, size: int) -> bytes:
    """Return bytes of a pack or any stored file.

    Raises ObjectMissing, IntegrityError if the file is too short, StorageUnavailable.
    """
    try:
        with path.open("rb", buffering=0) as file:
            data = os.pread(file.fileno(), size, offset)
    except FileNotFoundError as error:
        raise ObjectMissing(f"{path.name} is missing from the storage.") from error
    except OSError as error:
        raise StorageUnavailable(f"{path.name} cannot be read: {error.strerror}.") from error
    if len(data) != size:
        raise IntegrityError(f"{path.name} is shorter than recorded.")
    return data


class PackReader:
    """Frames of a sealed pack by their range, over one open file."""

    def __init__(self, path: Path) -> None:
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise ObjectMissing(f"The pack {path.name} is missing from the storage.") from error
        self._path = path

    def read(self, offset: int, size: int) -> bytes:
        """Return a range. Raises IntegrityError if the pack ends before it, StorageUnavailable."""
        try:
            data = os.pread(self._fd, size, offset)
        except OSError as error:
            raise StorageUnavailable(
                f"The pack {self._path.name} cannot be read: {error.strerror}."
            ) from error
        if len(data) != size:
            raise IntegrityError(f"The pack {self._path.name} is shorter than its index says.")
        return data

    def read_each(self, offsets: Sequence[int], sizes: Sequence[int]) -> Iterator[memoryview]:
        """Yield ranges in the order given; neighbours are read together. Raises as `read` does."""
        first = 0
        while first < len(offsets):
            start, end, after = offsets[first], offsets[first] + sizes[first], first + 1
            while (
                after < len(offsets)
                and end <= offsets[after] <= end + SKIPPED_BYTES_MAX
                and offsets[after] + sizes[after] <= start + TOGETHER_BYTES_MAX
            ):
                end = offsets[after] + sizes[after]
                after += 1
            together = memoryview(self.read(start, end - start))
            for offset, size in zip(offsets[first:after], sizes[first:after], strict=True):
                yield together[offset - start : offset - start + size]
            first = after

    def close(self) -> None:
        os.close(self._fd)


def pieces(path: Path, offset: int, size: int, *, piece_bytes: int = 1 << 20) -> Iterator[bytes]:
    """Yield a range of a stored file piece by piece, in constant memory."""
    end = offset + size
    while offset < end:
        count = min(piece_bytes, end - offset)
        yield read_range(path, offset, count)
        offset += count
