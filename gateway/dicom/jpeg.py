"""Pure: the marker scan of a JPEG stream (ITU-T T.81 Annex B). Nothing is decoded.

The stream's own markers, never the DICOM header, say what it is: labels are wrong in the field.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from gateway.model import FrameEncoding, FrameFault

SOI, EOI, SOS, DHT, DQT = 0xD8, 0xD9, 0xDA, 0xC4, 0xDB
SOF0_BASELINE = 0xC0
APP0, APP14 = 0xE0, 0xEE
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})


class ColourSpace(StrEnum):
    GREY = "grey"
    YCBCR = "YCbCr"
    RGB = "RGB"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class JpegStream:
    """What the markers say. frame_marker is the SOFn code, 0xC0 for Baseline."""

    frame_marker: int
    precision: int
    rows: int
    columns: int
    colour_space: ColourSpace
    has_tables: bool
    """Both quantisation and Huffman tables are inside (MJPEG frames may lack the latter)."""
    complete: bool
    """Ends with EOI, one padding byte allowed."""


def scan(stream: bytes | memoryview) -> JpegStream | None:
    """Read the markers up to the first scan; None if this is not a JPEG stream."""
    found = _scan(memoryview(stream))
    return found and found[0]


def _scan(view: memoryview) -> tuple[JpegStream, int] | None:
    """Return what the markers say, and where the entropy-coded data begins or the markers end."""
    if len(view) < 4 or view[0] != 0xFF or view[1] != SOI:
        return None
    seen, end = _Markers(), 2
    try:
        for marker, body, length in _segments(view):
            seen.note(view, marker, body, length)
            end = body + length
    except ValueError:
        return None
    stream = JpegStream(
        frame_marker=seen.frame[0],
        precision=seen.frame[1],
        rows=seen.frame[2],
        columns=seen.frame[3],
        colour_space=seen.colour_space(),
        has_tables=seen.tables == {DHT, DQT},
        complete=seen.scan_begun and _ends_whole(bytes(view[-3:])),
    )
    return stream, end


def _ends_whole(tail: bytes) -> bool:
    """Tell whether the last three bytes are EOI, one padding byte allowed."""
    return tail.endswith(b"\xff\xd9") or tail == b"\xff\xd9\x00"


def classify(
    stream: bytes | memoryview, *, rows: int, columns: int
) -> tuple[FrameEncoding, FrameFault]:
    """Say how a JPEG Baseline fragment can be wrapped, and what is wrong with it.

    rows, columns: what the instance's own header says.
    """
    return _classified(scan(stream), rows, columns)


class Classifier:
    """Classifies frames of one encoder: nearly all begin with the same tables.

    A stream that begins like the last one, up to its entropy-coded data, is what that one was.
    """

    def __init__(self) -> None:
        self._beginning, self._size = b"", (0, 0)
        self._answer = (FrameEncoding.OTHER, FrameFault.CORRUPT)

    def classify(
        self, data: bytes | bytearray, offset: int, size: int, *, rows: int, columns: int
    ) -> tuple[FrameEncoding, FrameFault]:
        """Do what `classify` does for a stream that lies inside `data`."""
        beginning, end = self._beginning, offset + size
        if (
            beginning
            and (rows, columns) == self._size
            and len(beginning) + 3 <= size
            and data.startswith(beginning, offset)
        ):
            if _ends_whole(bytes(data[end - 3 : end])):
                return self._answer
            return FrameEncoding.OTHER, FrameFault.TRUNCATED
        with memoryview(data) as whole, whole[offset:end] as view:
            found = _scan(view)
            stream, begun = found or (None, 0)
            answer = _classified(stream, rows, columns)
            if stream is not None and stream.complete:
                self._beginning, self._size = bytes(view[:begun]), (rows, columns)
                self._answer = answer
        return answer


def _classified(
    found: JpegStream | None, rows: int, columns: int
) -> tuple[FrameEncoding, FrameFault]:
    if found is None:
        return FrameEncoding.OTHER, FrameFault.CORRUPT
    if not found.complete:
        return FrameEncoding.OTHER, FrameFault.TRUNCATED
    if found.frame_marker == 0:
        return FrameEncoding.OTHER, FrameFault.CORRUPT
    if (found.rows, found.columns) != (rows, columns):
        return FrameEncoding.OTHER, FrameFault.SIZE_DISAGREES
    baseline = found.frame_marker == SOF0_BASELINE and found.precision == 8 and found.has_tables
    if baseline and found.colour_space is ColourSpace.YCBCR:
        return FrameEncoding.JPEG_YBR, FrameFault.NONE
    if baseline and found.colour_space is ColourSpace.RGB:
        return FrameEncoding.JPEG_RGB, FrameFault.NONE
    return FrameEncoding.OTHER, FrameFault.NONE


def _segments(view: memoryview) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, offset of the body, length of the body) up to and with the first SOS.

    Stops early where the stream is cut off. Raises ValueError where no marker stands.
    """
    position, end = 2, len(view)
    while position + 4 <= end:
        if view[position] != 0xFF:
            raise ValueError("no marker")
        marker = view[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker in _STANDALONE:
            position += 2
        else:
            (length,) = struct.unpack_from(">H", view, position + 2)
            if length < 2:
                raise ValueError("impossible length")
            if position + 2 + length > end:
                return
            yield marker, position + 4, length - 2
            if marker == SOS:
                return
            position += 2 + length


class _Markers:
    """What the segments said so far."""

    def __init__(self) -> None:
        self.frame = (0, 0, 0, 0)  # marker, precision, rows, columns
        self.component_ids: tuple[int, ...] = ()
        self.tables: set[int] = set()
        self.jfif = False
        self.adobe_transform = -1
        self.scan_begun = False

    def note(self, view: memoryview, marker: int, body: int, length: int) -> None:
        """Take in one segment. Raises ValueError if a frame header contradicts its length."""
        if marker in _SOF:
            if length < 6 or length < 6 + 3 * view[body + 5]:
                raise ValueError("frame header too short")
            precision, rows, columns, count = struct.unpack_from(">BHHB", view, body)
            self.frame = (marker, precision, rows, columns)
            self.component_ids = tuple(view[body + 6 + 3 * i] for i in range(count))
        elif marker in (DHT, DQT):
            self.tables.add(marker)
        elif marker == APP0 and bytes(view[body : body + 5]) == b"JFIF\0":
            self.jfif = True
        elif marker == APP14 and length >= 12 and bytes(view[body : body + 5]) == b"Adobe":
            self.adobe_transform = view[body + 11]
        elif marker == SOS:
            self.scan_begun = True

    def colour_space(self) -> ColourSpace:
        """Follow libjpeg: JFIF means YCbCr whatever else is said, then Adobe, then the ids."""
        if len(self.component_ids) == 1:
            return ColourSpace.GREY
        if len(self.component_ids) != 3:
            return ColourSpace.OTHER
        if self.jfif:
            return ColourSpace.YCBCR
        if self.adobe_transform >= 0:
            return ColourSpace.RGB if self.adobe_transform == 0 else ColourSpace.YCBCR
        return ColourSpace.RGB if self.component_ids == (0x52, 0x47, 0x42) else ColourSpace.YCBCR
