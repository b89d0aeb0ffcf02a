"""Pure: compressed frames without what is not picture: APPn, COM, and bytes behind the end.

Cameras and programs leave serial numbers, times, positions and names there. No coefficient is
touched. What decoders need to tell the colours stays, cut to what it needs.
"""

import re
import struct
from collections.abc import Iterator

_SOI, _EOI, _SOS, _COM = 0xD8, 0xD9, 0xDA, 0xFE
_APP0, _APP8, _APP14 = 0xE0, 0xE8, 0xEE
_NEXT_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_NEXT_MARKER_LS = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
"""JPEG-LS stuffs a bit, not a byte: after FF anything below 80 is data (T.87 A.1)."""
_J2K_SOC, _J2K_SOT, _J2K_SOD, _J2K_COM, _J2K_EOC = 0xFF4F, 0xFF90, 0xFF93, 0xFF64, 0xFFD9
_SOT_BYTES = 12


def without_metadata(stream: bytes) -> bytes:
    """Return a JPEG, JPEG-LS or JPEG 2000 stream with its picture only.

    Raises ValueError if it cannot be followed from marker to marker.
    """
    if stream[:2] == b"\xff\x4f":
        return b"".join(_codestream(stream))
    if stream[:2] != b"\xff\xd8":
        raise ValueError("no JPEG stream begins here")
    return b"".join(_pieces(stream))


def _pieces(stream: bytes) -> Iterator[bytes]:
    """Yield what stays of a JPEG or JPEG-LS stream (T.81 Annex B, T.87 Annex C)."""
    yield stream[:2]
    position, lossless_scan = 2, False
    while True:
        while stream[position : position + 2] == b"\xff\xff":  # fill bytes
            position += 1
        if position + 2 > len(stream) or stream[position] != 0xFF:
            raise ValueError("no marker where one belongs")
        marker = stream[position + 1]
        if marker == _EOI:
            yield stream[position : position + 2]
            return
        end = _segment_end(stream, position)
        lossless_scan = lossless_scan or marker == 0xF7  # SOF55
        yield _allowed(marker, stream[position:end])
        position = end
        if marker == _SOS:
            following = (_NEXT_MARKER_LS if lossless_scan else _NEXT_MARKER).search(stream, end)
            if following is None:
                raise ValueError("a scan is cut off")
            yield stream[end : following.start()]
            position = following.start()


def _segment_end(stream: bytes, position: int) -> int:
    if position + 4 > len(stream):
        raise ValueError("a segment is cut off")
    (length,) = struct.unpack_from(">H", stream, position + 2)
    end: int = position + 2 + length
    if length < 2 or end > len(stream):
        raise ValueError("a segment is cut off")
    return end


def _allowed(marker: int, segment: bytes) -> bytes:
    """Return a segment as it may stay: whole, cut, or not at all."""
    body = segment[4:]
    if marker == _APP0 and body.startswith(b"JFIF\0") and len(body) >= 14:
        return segment[:2] + struct.pack(">H", 16) + body[:12] + b"\0\0"  # without a thumbnail
    if marker == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:
        # Version and flags say nothing about colours; the transform is the last byte.
        return segment[:2] + struct.pack(">H", 14) + b"Adobe\0\x64\0\0\0\0" + body[11:12]
    if marker == _APP8 and body.startswith(b"mrfx") and len(body) == 5:  # colour transform of LS
        return segment
    return b"" if marker == _COM or 0xE0 <= marker <= 0xEF else segment


def _codestream(stream: bytes) -> Iterator[bytes]:
    """Yield what stays of a JPEG 2000 codestream (T.800 Annex A)."""
    head, position = _marker_segments(stream, 2, _J2K_SOT)
    yield stream[:2] + head
    while _marker(stream, position) == _J2K_SOT:
        if position + _SOT_BYTES > len(stream):
            raise ValueError("a tile-part is cut off")
        (size,) = struct.unpack_from(">L", stream, position + 6)
        end = position + size if size else _last(stream)
        inner, data = _marker_segments(stream, position + _SOT_BYTES, _J2K_SOD)
        if not data < end <= len(stream):
            raise ValueError("a tile-part is cut off")
        kept = inner + stream[data:end]
        length = struct.pack(">L", _SOT_BYTES + len(kept)) if size else bytes(4)
        yield stream[position : position + 6] + length + stream[position + 10 : position + 12]
        yield kept
        position = end
    if _marker(stream, position) != _J2K_EOC:
        raise ValueError("a codestream does not end")
    yield stream[position : position + 2]


def _marker_segments(stream: bytes, position: int, until: int) -> tuple[bytes, int]:
    """Return the segments before a marker, without comments, and where the marker stands."""
    kept = []
    while (marker := _marker(stream, position)) != until:
        end = _segment_end(stream, position)
        if marker != _J2K_COM:
            kept.append(stream[position:end])
        position = end
    return b"".join(kept), position


def _marker(stream: bytes, position: int) -> int:
    if position + 2 > len(stream) or stream[position] != 0xFF:
        raise ValueError("no marker where one belongs")
    return 0xFF00 | stream[position + 1]


def _last(stream: bytes) -> int:
    """Return where the end marker stands of a stream whose last tile-part has no length."""
    end = stream.rfind(b"\xff\xd9")
    if end < 0:
        raise ValueError("a codestream does not end")
    return end
