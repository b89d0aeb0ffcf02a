"""Pure: reading the few attributes the gateway steers by, without building a data set.

Walks the top level of an encoded data set up to the pixel data, in any transfer syntax, and
keeps the raw values of WANTED. Everything else is stepped over by its length.
"""

import struct
import zlib
from typing import NamedTuple

from gateway.dicom.storage_classes import DEFLATED as DEFLATED
from gateway.dicom.storage_classes import EXPLICIT_BIG as EXPLICIT_BIG
from gateway.dicom.storage_classes import IMPLICIT_LITTLE as IMPLICIT_LITTLE
from gateway.errors import Undecodable

SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
ACQUISITION_DATE, ACQUISITION_TIME = 0x00080022, 0x00080032
CONTENT_DATE, CONTENT_TIME = 0x00080023, 0x00080033
ACQUISITION_DATETIME = 0x0008002A
STUDY_INSTANCE_UID, SERIES_INSTANCE_UID = 0x0020000D, 0x0020000E
INSTANCE_NUMBER = 0x00200013
IMAGES_IN_ACQUISITION = 0x00201002
SAMPLES_PER_PIXEL = 0x00280002
PHOTOMETRIC_INTERPRETATION = 0x00280004
NUMBER_OF_FRAMES = 0x00280008
ROWS, COLUMNS = 0x00280010, 0x00280011
PIXEL_DATA = 0x7FE00010

WANTED = frozenset(
    {
        SOP_CLASS_UID,
        SOP_INSTANCE_UID,
        ACQUISITION_DATE,
        ACQUISITION_TIME,
        CONTENT_DATE,
        CONTENT_TIME,
        ACQUISITION_DATETIME,
        STUDY_INSTANCE_UID,
        SERIES_INSTANCE_UID,
        INSTANCE_NUMBER,
        IMAGES_IN_ACQUISITION,
        SAMPLES_PER_PIXEL,
        PHOTOMETRIC_INTERPRETATION,
        NUMBER_OF_FRAMES,
        ROWS,
        COLUMNS,
    }
)

UNDEFINED = 0xFFFFFFFF
NESTING_MAX = 64
"""Sequences inside sequences we follow. Real objects stay below ten."""
INFLATED_MAX = 1 << 20
"""Of a deflated data set only this much is unpacked to find the header: no zip bombs."""

_LONG_VRS = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)
_SHORT_VRS = frozenset({
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN",
    b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US",
})  # fmt: skip
_USUAL, _LENGTH = struct.Struct("<HH2sH"), struct.Struct("<L")


class Fragment(NamedTuple):
    """One item of encapsulated pixel data; offset counts from the start of the data set."""

    offset: int
    size: int


class Header(NamedTuple):
    """Raw values by tag. fragment: the only one of encapsulated pixel data, if there is one."""

    values: dict[int, bytes]
    big_endian: bool = False
    pixel_data_offset: int | None = None
    fragment: Fragment | None = None

    def text(self, tag: int) -> str:
        """Return an ASCII value without padding; empty if absent."""
        return text(self.values.get(tag, b""))

    def unsigned(self, tag: int) -> int:
        """Return a US value; 0 if absent."""
        raw = self.values.get(tag, b"")
        return int.from_bytes(raw[:2], "big" if self.big_endian else "little") if raw else 0

    def integer(self, tag: int) -> int | None:
        """Return an IS value; None if absent or no number."""
        raw = self.values.get(tag)
        if raw is None:
            return None
        try:
            return int(text(raw))
        except ValueError:
            return None


def text(raw: bytes) -> str:
    """Return an ASCII value without padding."""
    return raw.decode("ascii", "replace").strip("\0 ")


def read(
    data: bytes | bytearray | memoryview, transfer_syntax_uid: str, *, cut: bool = False
) -> Header:
    """Read the header of an encoded data set, or of its beginning.

    data may end inside the pixel data; it must hold everything before it. cut: it is known to
    be only the beginning and may end anywhere, as in a large document without pixel data; what
    comes later is not found. Raises Undecodable.
    """
    if transfer_syntax_uid == DEFLATED:
        try:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, INFLATED_MAX)
        except zlib.error as error:
            raise Undecodable(f"The deflated data set cannot be unpacked: {error}.") from error
        header = _Walk(memoryview(data), explicit=True, order="<").run(cut=cut)
        return Header(header.values)  # offsets would point into bytes nobody keeps
    if transfer_syntax_uid not in (IMPLICIT_LITTLE, EXPLICIT_BIG):
        found = _read_usual(memoryview(data))
        if found is not None:
            return found
    explicit = transfer_syntax_uid != IMPLICIT_LITTLE
    order = ">" if transfer_syntax_uid == EXPLICIT_BIG else "<"
    return _Walk(memoryview(data), explicit=explicit, order=order).run(cut=cut)


def _read_usual(view: memoryview) -> Header | None:
    """Read an Explicit VR Little Endian header in one flat loop, as nearly all of them allow.

    None where anything is unusual, an error included: the walk below decides then.
    """
    elements = usual_elements(view)
    if elements is None:
        return None
    values = {tag: bytes(view[start:end]) for tag, start, end in elements if tag in WANTED}
    tag, start, _ = elements[-1] if elements else (0, 0, 0)
    if tag != PIXEL_DATA:
        return Header(values)
    encapsulated = _LENGTH.unpack_from(view, start - 4)[0] == UNDEFINED
    walk = _Walk(view, explicit=True, order="<")
    fragment = walk.only_fragment(start) if encapsulated else None
    return Header(values, pixel_data_offset=start, fragment=fragment)


def usual_elements(view: memoryview) -> list[tuple[int, int, int]] | None:
    """Return (tag, start, end of the value) of each Explicit VR Little Endian element.

    Up to and with the pixel data, whose end is its start. None where anything is unusual: a
    sequence of undefined length, an element out of order, a value that is cut off.
    """
    elements: list[tuple[int, int, int]] = []
    unpack, end, position, last = _USUAL.unpack_from, len(view), 0, -1
    while position + 12 <= end:
        group, element, vr, length = unpack(view, position)
        tag = group << 16 | element
        if tag <= last:
            return None
        last = tag
        if vr in _SHORT_VRS:
            start = position + 8
        elif vr in _LONG_VRS:
            length = _LENGTH.unpack_from(view, position + 8)[0]
            start = position + 12
            if tag == PIXEL_DATA:
                elements.append((tag, start, start))
                return elements
            if length == UNDEFINED:
                return None
        else:
            return None
        position = start + length
        if position > end:
            return None
        elements.append((tag, start, position))
    return elements if position == end else None


class _Walk:
    def __init__(self, view: memoryview, *, explicit: bool, order: str) -> None:
        self.view, self.explicit, self.order = view, explicit, order
        self._tag = struct.Struct(order + "HH")
        self._short = struct.Struct(order + "H")
        self._long = struct.Struct(order + "L")

    def run(self, *, cut: bool = False) -> Header:
        values: dict[int, bytes] = {}
        try:
            return self._run(values)
        except Undecodable:
            if cut:
                return Header(values, self.order == ">")
            raise

    def _run(self, values: dict[int, bytes]) -> Header:
        position, end, last = 0, len(self.view), -1
        while position + 8 <= end:
            tag, vr, length, start = self._element(position, self.explicit)
            if tag <= last:
                raise Undecodable(f"Data elements are out of order at ({tag:08X}).")
            last = tag
            if tag == PIXEL_DATA:
                fragment = self.only_fragment(start) if length == UNDEFINED else None
                return Header(values, self.order == ">", start, fragment)
            if length == UNDEFINED:
                # Inside UN of undefined length, elements are implicit (PS3.5 6.2.2 note 2).
                position = self._skip_sequence(start, self.explicit and vr != b"UN", 0)
                continue
            position = start + length
            if position > end:
                raise Undecodable(f"The data set ends inside ({tag:08X}).")
            if tag in WANTED:
                values[tag] = bytes(self.view[start:position])
        if position != end:
            raise Undecodable("The data set ends inside a data element.")
        return Header(values, self.order == ">")

    def _element(self, position: int, explicit: bool) -> tuple[int, bytes, int, int]:
        """Return (tag, VR, length, offset of the value) of the element at `position`."""
        try:
            group, element = self._tag.unpack_from(self.view, position)
            tag = group << 16 | element
            if not explicit or group == 0xFFFE:
                return tag, b"", self._long.unpack_from(self.view, position + 4)[0], position + 8
            vr = bytes(self.view[position + 4 : position + 6])
            if vr in _LONG_VRS:
                length = self._long.unpack_from(self.view, position + 8)[0]
                return tag, vr, length, position + 12
            if vr not in _SHORT_VRS:
                raise Undecodable(f"({tag:08X}) has no value representation this syntax allows.")
            return tag, vr, self._short.unpack_from(self.view, position + 6)[0], position + 8
        except struct.error as error:
            raise Undecodable("The data set ends inside a data element.") from error

    def _skip_sequence(self, position: int, explicit: bool, depth: int) -> int:
        """Return the offset behind a sequence of undefined length."""
        if depth > NESTING_MAX:
            raise Undecodable("Sequences are nested too deeply.")
        while True:
            tag, _, length, start = self._element(position, explicit)
            if tag == 0xFFFEE0DD:
                return start
            if tag != 0xFFFEE000:
                raise Undecodable("A sequence holds something that is not an item.")
            if length == UNDEFINED:
                position = self._skip_item(start, explicit, depth)
            else:
                position = start + length

    def _skip_item(self, position: int, explicit: bool, depth: int) -> int:
        while True:
            tag, vr, length, start = self._element(position, explicit)
            if tag == 0xFFFEE00D:
                return start
            if length == UNDEFINED:
                position = self._skip_sequence(start, explicit and vr != b"UN", depth + 1)
            else:
                position = start + length

    def only_fragment(self, position: int) -> Fragment | None:
        """Return the fragment if there is exactly one behind the Basic Offset Table (PS3.5 A.4)."""
        try:
            tag, _, length, start = self._element(position, self.explicit)
            if tag != 0xFFFEE000 or length == UNDEFINED:
                return None
            tag, _, length, start = self._element(start + length, self.explicit)
            if tag != 0xFFFEE000 or length == UNDEFINED or start + length > len(self.view):
                return None
            closing, _, _, _ = self._element(start + length, self.explicit)
        except Undecodable:
            return None
        return Fragment(start, length) if closing == 0xFFFEE0DD else None
