"""Where the frames of a stored instance lie, and reading one without the others.

A table holds offsets, never pixels: of two thousand frames, 32 KiB.
"""

import os
import struct
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.dicom import encapsulation, header, image, part10
from gateway.dicom.header import DEFLATED, EXPLICIT_BIG, IMPLICIT_LITTLE, UNDEFINED
from gateway.dicom.image import Image
from gateway.dicom.part10 import FileMeta
from gateway.dicom.storage_classes import EXPLICIT_LITTLE
from gateway.errors import IntegrityError, NoPixelData, Undecodable
from gateway.holdings.headers import HEAD_BYTES, Place
from gateway.packs import reading

NATIVE = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG})
FRAME_BYTES_MAX = 256 << 20
"""Of one frame: beyond it, somebody wrote nonsense."""
REMEMBERED_MAX = 64
_ITEM = struct.Struct("<HHL")
_ITEM_TAG = (0xFFFE, 0xE000)


@dataclass(frozen=True)
class Span:
    """A range of a file: what a web server can send without reading it."""

    path: Path
    offset_bytes: int
    size_bytes: int


@dataclass(frozen=True)
class FrameTable:
    """starts, ends: shape (frames,), bytes from the start of the file; of encapsulated frames
    with the items they lie in. data_set_at: where the data set begins."""

    path: Path
    place: Place
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set_at: int
    pixel_data_at: int
    encapsulated: bool
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)

    def span(self, frame_index: int) -> Span | None:
        """Return where a frame lies if it is one run of bytes; without padding if it is JPEG."""
        start, end = int(self.starts[frame_index]), int(self.ends[frame_index])
        if not self.encapsulated:
            return Span(self.path, start, end - start)
        tag, size = _item(reading.read_range(self.path, start, 8))
        whole = start + 8 + size
        # Behind the last frame stand the delimiter and, perhaps, elements behind the pixel data.
        last = frame_index + 1 == len(self) and whole <= end
        if tag != _ITEM_TAG or size < 2 or not (whole == end or (last and self._ends_at(whole))):
            return None
        tail = reading.read_range(self.path, whole - 2, 2)
        begins = reading.read_range(self.path, start + 8, 2)
        padded = begins == b"\xff\xd8" and tail == b"\xd9\0"
        return Span(self.path, start + 8, size - padded)

    def read(self, frame_index: int) -> bytes:
        """Return a frame's bytes, padding included. Raises IntegrityError, StorageError."""
        start, end = int(self.starts[frame_index]), int(self.ends[frame_index])
        if not self.encapsulated:
            return reading.read_range(self.path, start, end - start)
        data = memoryview(reading.read_range(self.path, start, end - start))
        pieces, position = [], 0
        while position + 8 <= len(data):
            tag, size = _item(data[position : position + 8])
            if tag != _ITEM_TAG:
                break
            if position + 8 + size > len(data):
                raise IntegrityError(f"Frame {frame_index + 1} of {self.path.name} is cut off.")
            pieces.append(data[position + 8 : position + 8 + size])
            position += 8 + size
        if not pieces:
            raise IntegrityError(f"Frame {frame_index + 1} of {self.path.name} is not there.")
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

    def head(self) -> bytes:
        """Return the data set up to its pixel data's value."""
        return reading.read_range(
            self.path, self.data_set_at, self.pixel_data_at - self.data_set_at
        )

    def image(self) -> Image:
        """Return what the instance says about its pixels. Raises IntegrityError."""
        return _image(self.head(), self.sop_class_uid, self.transfer_syntax_uid, self.path)

    def _ends_at(self, position: int) -> bool:
        raw = reading.read_range(self.path, position, 8) if position + 8 <= self._end else b""
        return len(raw) < 8 or _item(raw)[0] == (0xFFFE, 0xE0DD)

    @property
    def _end(self) -> int:
        return self.place.offset_bytes + self.place.size_bytes


class FrameTables:
    """Makes tables and remembers the latest; for all threads of a process."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._known: OrderedDict[Place, FrameTable] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, place: Place) -> FrameTable:
        """Return the table of an instance.

        Raises NoPixelData if it has none that frames could be read of, IntegrityError,
        ObjectMissing, StorageUnavailable.
        """
        with self._lock:
            known = self._known.get(place)
            if known is not None:
                self._known.move_to_end(place)
                return known
        made = load(self._home, place)
        with self._lock:
            self._known[place] = made
            while len(self._known) > REMEMBERED_MAX:
                self._known.popitem(last=False)
        return made


def load(home: Path, place: Place) -> FrameTable:
    """Make the table of an instance; raises as FrameTables.of does."""
    path = home / place.storage_key
    head = reading.read_range(path, place.offset_bytes, min(place.size_bytes, HEAD_BYTES))
    try:
        meta = part10.parse_file_meta(head)
        if meta.transfer_syntax_uid == DEFLATED:
            raise NoPixelData("The data set is deflated: its frames have no place of their own.")
        data_set = memoryview(head)[meta.data_set_offset :]
        found = header.read(data_set, meta.transfer_syntax_uid, cut=True)
    except Undecodable as error:
        raise IntegrityError(f"{path.name} cannot be read: {error}") from error
    if found.pixel_data_offset is None:
        raise NoPixelData(f"{meta.sop_instance_uid} has no pixel data.")
    at = found.pixel_data_offset
    length = int.from_bytes(data_set[at - 4 : at], "big" if found.big_endian else "little")
    base = place.offset_bytes + meta.data_set_offset
    value = _Value(
        path, base + at, place.offset_bytes + place.size_bytes,
        found.integer(header.NUMBER_OF_FRAMES), bytes(data_set[:at]), meta,
    )  # fmt: skip
    encapsulated = length == UNDEFINED
    starts, ends = _encapsulated(value) if encapsulated else _native(value, length)
    too_long = len(starts) == 0 or int((ends - starts).max()) > FRAME_BYTES_MAX
    if too_long or int(ends[-1]) > value.end:
        raise IntegrityError(f"The frames of {path.name} are not where they should be.")
    return FrameTable(
        path, place, meta.sop_class_uid, meta.sop_instance_uid, meta.transfer_syntax_uid,
        base, base + at, encapsulated, starts, ends,
    )  # fmt: skip


class _Value(NamedTuple):
    """Pixel data: start of its value and end of the instance, and what was said before it."""

    path: Path
    start: int
    end: int
    declared: int | None
    head: bytes
    meta: FileMeta

    def image(self) -> Image:
        meta = self.meta
        return _image(self.head, meta.sop_class_uid, meta.transfer_syntax_uid, self.path)


Ranges = tuple[NDArray[np.int64], NDArray[np.int64]]


def _native(value: _Value, length: int) -> Ranges:
    length = min(length, value.end - value.start)
    count = max(value.declared or 1, 1)
    size = value.image().native_bytes or (length if count == 1 else 0)
    if size == 0 or size * count > length:
        raise NoPixelData("The pixel data is not as long as its frames.")
    starts = value.start + np.arange(count, dtype=np.int64) * size
    return starts, starts + size


def _encapsulated(value: _Value) -> Ranges:
    """Trust a Basic Offset Table that fits; else look at every fragment."""
    tag, size = _item(reading.read_range(value.path, value.start, 8))
    first = value.start + 8 + size
    if tag == _ITEM_TAG and size <= encapsulation.TABLE_BYTES_MAX and first < value.end:
        raw = reading.read_range(value.path, value.start + 8, size // 4 * 4)
        table = np.frombuffer(raw, "<u4").astype(np.int64)
        fits = len(table) == (value.declared or 1) and table[0] == 0
        if fits and bool((np.diff(table) > 8).all()):
            starts = first + table
            return starts, np.append(starts[1:], value.end)
    return _by_fragments(value)


def _by_fragments(value: _Value) -> Ranges:
    extended = value.image().extended_table
    with value.path.open("rb", buffering=0) as file:
        fd = file.fileno()
        try:
            found = encapsulation.fragments(
                lambda offset, size: os.pread(fd, size, offset), value.start, value.end
            )
            groups = encapsulation.frames(
                found,
                declared=value.declared,
                extended_table=extended,
                begins=lambda one: os.pread(fd, 16, found.offsets[one]),
            )
        except ValueError as error:
            raise IntegrityError(
                f"The frames of {value.path.name} cannot be told: {error}."
            ) from error
    starts = np.array([found.offsets[one[0]] - 8 for one in groups], np.int64)
    ends = np.array([found.offsets[one[-1]] + found.sizes[one[-1]] for one in groups], np.int64)
    return starts, ends


def _image(head: bytes, sop_class_uid: str, transfer_syntax_uid: str, path: Path) -> Image:
    try:
        return image.read(head, sop_class_uid, transfer_syntax_uid)
    except ValueError as error:
        raise IntegrityError(f"{path.name} cannot be read: {error}") from error


def _item(raw: bytes | memoryview) -> tuple[tuple[int, int], int]:
    group, element, size = _ITEM.unpack(raw)
    return (group, element), size
