"""One file opened for a check: its header, and its frames one after the other."""

import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from pydicom import Dataset

from gateway.dicom import data_set, identity, part10
from gateway.dicom.header import UNDEFINED
from gateway.dicom.part10 import FileMeta
from gateway.dicom.storage_classes import DEFLATED, EXPLICIT_BIG, IMPLICIT_LITTLE
from gateway.errors import Undecodable
from gateway.preflight.report import Findings

META_BYTES = 64 << 10
FRAME_BYTES_MAX = 64 << 20
"""Larger frames are not looked at: they are video streams."""
FRAGMENTS_MAX = 1_000_000
DEFERRED_BYTES = "8 MB"
"""Header values longer than this are left in the file."""
_ITEM = struct.Struct("<HHL")
_ITEM_TAG, _DELIMITER_TAG = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
UNREADABLE = (*identity.UNREADABLE, ArithmeticError, RecursionError)
"""What the library raises, all in all, for a header that is none."""


class Fragment(NamedTuple):
    """offset: of its item, bytes from the first item behind the Basic Offset Table."""

    offset: int
    size_bytes: int


class OpenInstance:
    """A Part 10 file. Use it as a context manager.

    Opening raises Undecodable if it is no instance, OSError if it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.size_bytes = path.stat().st_size
        self._file: BinaryIO = path.open("rb", buffering=1 << 20)
        try:
            self.meta: FileMeta = part10.parse_file_meta(self._file.read(META_BYTES))
            self.header: Dataset = self._read_header()
            self._begin_pixel_data()
        except UNREADABLE as error:
            self._file.close()
            raise Undecodable(f"The header cannot be read: {error}.") from error
        except Undecodable:
            self._file.close()
            raise

    def _read_header(self) -> Dataset:
        syntax = self.meta.transfer_syntax_uid
        if syntax == DEFLATED:
            raise Undecodable("A deflated data set is not checked: inflate it first.")
        self._file.seek(self.meta.data_set_offset)
        return data_set.read(self._file, syntax, defer_size=DEFERRED_BYTES)

    def _begin_pixel_data(self) -> None:
        """Read the pixel data element's own header, and the Basic Offset Table."""
        self.has_pixel_data = self.encapsulated = False
        self.pixel_bytes = 0
        self.offset_table: tuple[int, ...] = ()
        self._first_item = 0
        order = ">" if self.meta.transfer_syntax_uid == EXPLICIT_BIG else "<"
        raw = self._file.read(12)
        if len(raw) < 8 or struct.unpack(f"{order}HH", raw[:4]) != (0x7FE0, 0x0010):
            return
        self.has_pixel_data = True
        if self.meta.transfer_syntax_uid == IMPLICIT_LITTLE:
            self._file.seek(-4, 1)
            (self.pixel_bytes,) = struct.unpack("<L", raw[4:8])
        else:
            (self.pixel_bytes,) = struct.unpack(f"{order}L", raw[8:12])
        if self.pixel_bytes == UNDEFINED:
            self.encapsulated = True
            self._read_table()

    def _read_table(self) -> None:
        tag, size = _item(self._file.read(_ITEM.size))
        if tag != _ITEM_TAG or size > self._remaining():
            raise Undecodable("The pixel data does not begin with a Basic Offset Table item.")
        table = self._file.read(size)
        self.offset_table = tuple(np.frombuffer(table[: size // 4 * 4], "<u4").tolist())
        self._first_item = self._file.tell()

    def fragments(self, findings: Findings) -> list[Fragment]:
        """Return where the fragments behind the Basic Offset Table are; reads none of them."""
        found: list[Fragment] = []
        first = position = self._first_item
        while len(found) < FRAGMENTS_MAX:
            tag, size = _item(os.pread(self._file.fileno(), _ITEM.size, position))
            if tag == _DELIMITER_TAG:
                return found
            if tag != _ITEM_TAG or position + _ITEM.size + size > self.size_bytes:
                what = "ends in the middle of" if tag == _ITEM_TAG else "is not closed behind"
                findings.error("not-closed", f"The pixel data {what} its last fragment.")
                return found
            found.append(Fragment(position - first, size))
            position += _ITEM.size + size
        findings.error("not-closed", f"There are more than {FRAGMENTS_MAX} fragments.")
        return found

    def read(self, fragments: Sequence[Fragment]) -> bytes:
        """Return what fragments hold, joined."""
        descriptor, start = self._file.fileno(), self._first_item + _ITEM.size
        return b"".join(
            os.pread(descriptor, one.size_bytes, start + one.offset) for one in fragments
        )

    def native_bytes_left(self) -> int:
        """Return how many bytes of native pixel data the file holds, at most what it says."""
        return min(self.pixel_bytes, self._remaining())

    def _remaining(self) -> int:
        return self.size_bytes - self._file.tell()

    def __enter__(self) -> "OpenInstance":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _item(raw: bytes) -> tuple[tuple[int, int], int]:
    if len(raw) < _ITEM.size:
        return (0, 0), 0
    group, element, size = _ITEM.unpack(raw)
    return (group, element), size
