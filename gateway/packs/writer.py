"""Appending to a pack: an instance is durable when the call returns."""

import contextlib
import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from gateway.errors import StorageError, StorageFull, StorageUnavailable
from gateway.packs import index as pack_index
from gateway.packs import tar
from gateway.packs.index import Index

EXTENT_BYTES = 8 << 20
"""A pack is extended by this many real zeros at a time. Writing inside them costs one device
write; a growing file, or fallocate's unwritten extents, would add a journal commit each."""

_PADDING = bytes(tar.BLOCK)
_BUFFERS_MAX = 1000
"""The kernel takes 1,024 buffers in one call."""

STREAM_WRITE_BYTES = 4 << 20
"""A member that arrives in pieces is written by this much at a time."""


class PackWriter:
    """An open pack. Holds a lock on the file, which the kernel drops if the process dies."""

    def __init__(self, path: Path, *, sync: bool = True) -> None:
        """Create the pack. Raises StorageFull or StorageUnavailable.

        sync: False only to measure what durability costs; then nothing is durable until `seal`.
        """
        self.path, self._sync = path, sync
        self.size_bytes = 0
        self._allocated = 0
        self._staged: list[bytes | bytearray | memoryview] = []
        self._staged_end = 0
        self._fd = -1
        try:
            _make_directory(path.parent)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | (os.O_DSYNC if sync else 0)
            self._fd = os.open(path, flags, 0o640)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            pack_index.sync_directory(path.parent)
        except OSError as error:
            if self._fd >= 0:
                self.discard()
            raise storage_error(error, path) from error

    def stage(
        self, name: str, parts: Sequence[bytes | bytearray | memoryview], *, digest: bytes
    ) -> int:
        """Put one member behind those staged before; returns the offset of its content.

        parts: the content, in pieces that stay as they are until `flush`, which makes all
        staged members durable with one write. digest: the SHA-256 of all parts.
        """
        size = sum(map(len, parts))
        start, padded = self._staged_end, tar.padded(size)
        header = tar.encode_header(name, size=size, digest=digest, modified_at=int(time.time()))
        # The padding is written too: an abandoned member may have left bytes there.
        self._staged += (header, *parts, _PADDING[: padded - size])
        self._staged_end = start + tar.BLOCK + padded
        return start + tar.BLOCK

    def flush(self) -> None:
        """Make what is staged durable. Raises StorageFull or StorageUnavailable.

        After a failure the pack is as it was before the first of them was staged.
        """
        staged, end = self._staged, self._staged_end
        self._staged, self._staged_end = [], self.size_bytes
        if not staged:
            return
        try:
            self._reserve(end)
            self._write(self.size_bytes, staged, end - self.size_bytes)
        except StorageError:
            self._give_back()
            raise
        self.size_bytes = self._staged_end = end

    def append(
        self, name: str, parts: Sequence[bytes | bytearray | memoryview], *, digest: bytes
    ) -> int:
        """Write one member durably; the same as stage and flush."""
        offset = self.stage(name, parts, digest=digest)
        self.flush()
        return offset

    def begin(self, name: str) -> "MemberStream":
        """Start a member that is too large to hold; see MemberStream. Nothing else is staged."""
        assert not self._staged
        return MemberStream(self, name)

    def seal(self, index: Index) -> None:
        """Cut off the zeros, make the index, close. The pack is complete from here on."""
        try:
            os.ftruncate(self._fd, self.size_bytes + len(tar.END_MARK))
            os.fsync(self._fd)
            pack_index.save(index, self.path)
        except OSError as error:
            raise storage_error(error, self.path) from error
        self.close()

    def discard(self) -> None:
        """Remove a pack of which nothing was acknowledged."""
        with contextlib.suppress(OSError):  # then the next recovery looks after it
            self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _give_back(self) -> None:
        """Cut off what a failed write left behind the last member, and free the room.

        A recovery must not find members there that were refused.
        """
        with contextlib.suppress(OSError):  # the next write fails too, and says so
            os.ftruncate(self._fd, self.size_bytes)
            self._allocated = self.size_bytes
            os.ftruncate(self._fd, self.size_bytes + len(tar.END_MARK))
            os.fdatasync(self._fd)

    def _reserve(self, end: int) -> None:
        """Have zeros on disk up to `end` and the end mark behind it."""
        needed = end + len(tar.END_MARK)
        if needed <= self._allocated or not self._sync:
            return
        target = -(-needed // EXTENT_BYTES) * EXTENT_BYTES
        zeros = memoryview(bytes(1 << 20))
        try:
            # Without O_DSYNC, then one sync: the zeros need not be durable piece by piece.
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                position = self._allocated
                while position < target:
                    chunk = zeros[: target - position]
                    position += os.pwrite(descriptor, chunk, position)
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise storage_error(error, self.path) from error
        self._allocated = target

    def _write(
        self, offset: int, buffers: Sequence[bytes | bytearray | memoryview], size: int
    ) -> None:
        """Write all of `buffers`, `size` bytes, at `offset`, durably."""
        if len(buffers) > _BUFFERS_MAX:
            buffers = [b"".join(buffers)]
        try:
            written = os.pwritev(self._fd, buffers, offset)
            if written < size:  # a signal, or the file system's limit per call
                rest = b"".join(buffers)[written:]
                while rest:
                    count = os.pwrite(self._fd, rest, offset + written)
                    written, rest = written + count, rest[count:]
        except OSError as error:
            raise storage_error(error, self.path) from error


class MemberStream:
    """A member written in pieces. Its header goes last: until then it does not exist.

    One that is never committed is overwritten by the next.
    """

    def __init__(self, pack: PackWriter, name: str) -> None:
        self.pack, self._name = pack, name
        self._content_start = pack.size_bytes + tar.BLOCK
        self._digest = hashlib.sha256()
        self._gathered = bytearray()
        self.gather_bytes = STREAM_WRITE_BYTES
        self._written = 0
        self.size_bytes = 0

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        """Add a piece; it is on disk at the latest when `commit` returns."""
        self._digest.update(piece)
        self._gathered += piece
        self.size_bytes += len(piece)
        if len(self._gathered) >= self.gather_bytes:
            self._flush()

    def commit(self) -> tuple[int, bytes]:
        """Make the member exist; returns the offset and the SHA-256 of its content."""
        # The padding is written too: an abandoned, longer member may have left bytes there.
        self._gathered += bytes(tar.padded(self.size_bytes) - self.size_bytes)
        self._flush()
        digest = self._digest.digest()
        header = tar.encode_header(
            self._name, size=self.size_bytes, digest=digest, modified_at=int(time.time())
        )
        self.pack._write(self._content_start - tar.BLOCK, [header], tar.BLOCK)
        self.pack.size_bytes = self._content_start + tar.padded(self.size_bytes)
        self.pack._staged_end = self.pack.size_bytes
        return self._content_start, digest

    def _flush(self) -> None:
        start = self._content_start + self._written
        self.pack._reserve(start + len(self._gathered))
        self.pack._write(start, [self._gathered], len(self._gathered))
        self._written += len(self._gathered)
        self._gathered.clear()


def storage_error(error: OSError, path: Path) -> StorageError:
    """Translate what the operating system says about a write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"There is no room left for {path.name}.")
    return StorageUnavailable(f"{path.name} cannot be written: {error.strerror}.")


def _make_directory(directory: Path) -> None:
    """Create a directory and its parents, each durable in its parent."""
    missing = []
    while not directory.exists():
        missing.append(directory)
        directory = directory.parent
    for one in reversed(missing):
        one.mkdir(exist_ok=True, mode=0o750)
        pack_index.sync_directory(one.parent)
