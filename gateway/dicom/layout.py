"""Pure: reading headers that repeat the layout of earlier ones, as the frames of a recording do.

A layout is where each element of a header lies. If all bytes outside the values that are known
to vary are the same as in an earlier header, the elements are where they were there, and only
the varying values need to be cut out: a tenth of the work of walking through them.
"""

import struct

from gateway.dicom import header
from gateway.dicom.header import (
    DEFLATED,
    EXPLICIT_BIG,
    IMPLICIT_LITTLE,
    PIXEL_DATA,
    UNDEFINED,
    WANTED,
    Fragment,
    Header,
)

LAYOUTS_MAX = 8
"""Layouts remembered at once. Numbers and times of several lengths make a few."""

_VARYING = frozenset(
    {
        header.SOP_INSTANCE_UID,
        header.INSTANCE_NUMBER,
        header.ACQUISITION_DATETIME,
        header.ACQUISITION_TIME,
        header.CONTENT_TIME,
    }
)
"""Expected to differ from instance to instance; what else does is learned."""
_LENGTH = struct.Struct("<L")
_SEQUENCE_DELIMITER = b"\xfe\xff\xdd\xe0"

_Elements = list[tuple[int, int, int]]


class HeaderReader:
    """Reads what `header.read` reads, with a memory. One for each association or pack."""

    def __init__(self) -> None:
        self._layouts: list[_Layout] = []  # the latest used first

    def read(self, data: bytes | bytearray, transfer_syntax_uid: str) -> Header:
        """Read the header of an encoded data set. Raises Undecodable."""
        if transfer_syntax_uid in (IMPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED):
            return header.read(data, transfer_syntax_uid)
        for layout in self._layouts:
            found = layout.read(data)
            if found is not None:
                if layout is not self._layouts[0]:
                    self._layouts.remove(layout)
                    self._layouts.insert(0, layout)
                return found
        found = header.read(data, transfer_syntax_uid)
        if found.pixel_data_offset is not None:
            self._learn(data, found)
        return found

    def _learn(self, data: bytes | bytearray, found: Header) -> None:
        with memoryview(data) as view:
            elements = header.usual_elements(view)
        end = _end(data, found)
        if not elements or end is None:
            return
        known = next((one for one in self._layouts if one.covers(elements, end)), None)
        if known is not None:
            known.learn(data)
        else:
            self._layouts.insert(0, _Layout(data, elements, end))
            del self._layouts[LAYOUTS_MAX:]


class _Layout:
    """Where the elements of a header lie, up to `end`: the pixel data, or its only fragment."""

    def __init__(self, data: bytes | bytearray, elements: _Elements, end: int) -> None:
        self._elements, self._end = elements, end
        self._fragmented = end != elements[-1][1]
        self._varying = {place for place, one in enumerate(elements) if one[0] in _VARYING}
        self._compile(bytes(data[:end]))

    def _compile(self, beginning: bytes) -> None:
        self._beginning = beginning
        self._constant: dict[int, bytes] = {}
        self._wanted: _Elements = []
        self._pieces: list[tuple[int, bytes]] = []
        position = 0
        for place, (tag, start, end) in enumerate(self._elements):
            if place in self._varying:
                self._pieces.append((position, beginning[position:start]))
                position = end
                if tag in WANTED:
                    self._wanted.append((tag, start, end))
            elif tag in WANTED:
                self._constant[tag] = beginning[start:end]
        # The length of the fragment, the last four bytes before `end`, varies.
        last = self._end - 4 if self._fragmented else self._end
        self._pieces.append((position, beginning[position:last]))

    def covers(self, elements: _Elements, end: int) -> bool:
        return self._elements == elements and self._end == end

    def learn(self, data: bytes | bytearray) -> None:
        """Take note of which values vary besides those known to. data: of the same layout."""
        for place, (tag, start, end) in enumerate(self._elements):
            if tag != PIXEL_DATA and data[start:end] != self._beginning[start:end]:
                self._varying.add(place)
        self._compile(bytes(data[: self._end]))

    def read(self, data: bytes | bytearray) -> Header | None:
        """Return the header if `data` has this layout."""
        for position, piece in self._pieces:
            if not data.startswith(piece, position):
                return None
        fragment = None
        if self._fragmented:
            fragment = _fragment(data, self._end)
            if fragment is None:
                return None
        values = self._constant.copy()
        for tag, start, end in self._wanted:
            values[tag] = bytes(data[start:end])
        return Header(values, False, self._elements[-1][1], fragment)


def _end(data: bytes | bytearray, found: Header) -> int | None:
    """Return where the fragment begins, or native pixel data; None for anything else."""
    if found.fragment is not None:
        return found.fragment.offset
    start = found.pixel_data_offset
    if start is None or _LENGTH.unpack_from(data, start - 4)[0] == UNDEFINED:
        return None
    return start


def _fragment(data: bytes | bytearray, start: int) -> Fragment | None:
    """Return the fragment that begins at `start` if it is there, whole, and the only one."""
    if len(data) < start + 8:
        return None
    (size,) = _LENGTH.unpack_from(data, start - 4)
    end = start + size
    if end + 8 > len(data) or not data.startswith(_SEQUENCE_DELIMITER, end):
        return None
    return Fragment(start, size)
