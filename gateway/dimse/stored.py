"""A stored instance as a stream: where its bytes lie, and proof that they are the recorded ones."""

import hashlib
from pathlib import Path
from typing import BinaryIO

from gateway.dicom.part10 import FileMeta, parse_file_meta
from gateway.dimse.store_scu import SopInstance
from gateway.errors import IntegrityError, ObjectMissing, StorageUnavailable, Undecodable

_HEAD_BYTES = 16 << 10
"""The file meta information of a file of ours is some 400 bytes."""


class StoredInstance:
    """The data set of one Part 10 file, or of a member of a pack, read once from front to end.

    digest: SHA-256 of the whole Part 10 file, hexadecimal. Everything read is hashed; `verify`
    compares. Usable as a context manager. Opening it raises ObjectMissing, StorageUnavailable,
    or IntegrityError if the file is visibly not the instance.
    """

    def __init__(
        self, path: Path, instance: SopInstance, *, offset_bytes: int, size_bytes: int, digest: str
    ) -> None:
        self._path, self._uid, self._digest = path, instance.sop_instance_uid, digest
        self._hash = hashlib.sha256()
        self._file = self._open()
        try:
            head = self._read_head(offset_bytes, size_bytes)
            meta = self._file_meta(head, instance)
            self._hash.update(head[: meta.data_set_offset])
            self._file.seek(offset_bytes + meta.data_set_offset)
        except OSError as error:
            self._file.close()
            raise self._unreadable(error) from error
        except IntegrityError:
            self._file.close()
            raise
        self.size_bytes = size_bytes - meta.data_set_offset
        self._remaining = self.size_bytes

    def __enter__(self) -> "StoredInstance":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def readinto(self, buffer: memoryview) -> int:
        """Read the next bytes of the data set. Raises StorageUnavailable."""
        try:
            count: int = self._file.readinto(buffer[: self._remaining])  # type: ignore[attr-defined]
        except OSError as error:
            raise self._unreadable(error) from error
        self._hash.update(buffer[:count])
        self._remaining -= count
        return count

    def verify(self) -> None:
        """Raise IntegrityError unless all of it was read and is what was recorded."""
        if self._remaining or self._hash.hexdigest() != self._digest:
            raise IntegrityError(
                f"The stored bytes of {self._uid} differ from what was recorded: not sent."
            )

    def _open(self) -> BinaryIO:
        try:
            return self._path.open("rb", buffering=0)
        except FileNotFoundError as error:
            raise ObjectMissing(f"The file of {self._uid} is gone: {self._path.name}.") from error
        except OSError as error:
            raise self._unreadable(error) from error

    def _read_head(self, offset_bytes: int, size_bytes: int) -> bytes:
        self._file.seek(offset_bytes)
        return self._file.read(min(_HEAD_BYTES, size_bytes))

    def _file_meta(self, head: bytes, instance: SopInstance) -> FileMeta:
        try:
            meta = parse_file_meta(head)
        except Undecodable as error:
            raise IntegrityError(f"The file of {self._uid} is damaged: {error}") from error
        found = SopInstance(meta.sop_class_uid, meta.sop_instance_uid, meta.transfer_syntax_uid)
        if found != instance or meta.data_set_offset >= len(head):
            raise IntegrityError(f"The file of {self._uid} holds something else: not sent.")
        return meta

    def _unreadable(self, error: OSError) -> StorageUnavailable:
        return StorageUnavailable(f"The file of {self._uid} cannot be read: {error.strerror}.")
