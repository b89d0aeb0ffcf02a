"""Pure: the video track of an AVI file (RIFF; Microsoft AVI 1.0, OpenDML 1.02).

The chunks of `movi` are walked one by one; the index at the end, which an interrupted
recording lacks, is not needed.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.errors import FileRefused
from gateway.importing.tracks import SAMPLES_MAX, Readable, Sample, Track

_HEADER_BYTES_MAX = 1 << 20
_LISTS_MAX = 100_000
"""Lists entered. OpenDML has one per gigabyte, interleaved files one `rec ` per picture."""


@dataclass(frozen=True)
class _Stream:
    number: int
    codec: str
    rows: int
    columns: int
    scale: int
    rate: int


def track(file: Readable) -> Track:
    """Read the first video stream. Raises FileRefused if there is none."""
    stream: _Stream | None = None
    samples: list[Sample] = []
    tick = 0
    for name, offset, size in _chunks(file):
        if name == b"hdrl":
            stream = _video_stream(file.read_at(offset, min(size, _HEADER_BYTES_MAX)))
        elif stream is not None and name in _picture_names(stream.number):
            if size:  # an empty chunk repeats the picture before it: only time goes on
                samples.append(Sample(offset, size, _elapsed_us(stream, tick)))
            tick += 1
            if len(samples) > SAMPLES_MAX:
                raise FileRefused("The AVI file holds an absurd number of pictures.")
    if stream is None or not samples:
        raise FileRefused("The AVI file has no video in it.")
    return Track(stream.codec, stream.rows, stream.columns, samples, timed=stream.rate > 0)


def _chunks(file: Readable) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, offset, size) of `hdrl` and of what lies in `movi`, in file order.

    A chunk that the file's end cuts off is yielded with the size it claims. Damage ends the walk.
    """
    position, lists = 0, 0
    while position + 8 <= file.size_bytes:
        head = file.read_at(position, 12)
        name, (size,) = head[:4], struct.unpack_from("<L", head, 4)
        if name in (b"RIFF", b"LIST"):
            lists += 1
            kind = head[8:12]
            if lists > _LISTS_MAX + SAMPLES_MAX:
                return
            if kind == b"hdrl":
                yield b"hdrl", position + 12, max(0, size - 4)
            elif kind in (b"AVI ", b"AVIX", b"movi", b"rec "):
                position += 12  # enter it
                continue
        elif not name.strip(b"\0"):
            return
        else:
            yield name, position + 8, size
        position += 8 + size + size % 2


def _picture_names(stream: int) -> tuple[bytes, bytes]:
    number = f"{stream:02d}".encode()
    return number + b"dc", number + b"db"


def _video_stream(header: bytes) -> _Stream | None:
    """Find the first video stream in the content of `hdrl`."""
    number = -1
    position = 0
    kind, scale, rate, handler = b"", 0, 0, b""
    while position + 8 <= len(header):
        name, size = (
            header[position : position + 4],
            *struct.unpack_from("<L", header, position + 4),
        )
        body = header[position + 8 : position + 8 + size]
        if name == b"LIST":
            number += body[:4] == b"strl"
            position += 12
            continue
        if name == b"strh" and len(body) >= 28:
            kind, handler = body[:4], body[4:8]
            scale, rate = struct.unpack_from("<LL", body, 20)
        elif name == b"strf" and kind == b"vids" and len(body) >= 20:
            columns, rows = struct.unpack_from("<ll", body, 4)
            codec = (body[16:20].strip(b"\0 ") or handler).decode("ascii", "replace")
            known = scale and rate
            return _Stream(number, codec, abs(rows), abs(columns), scale, rate if known else 0)
        position += 8 + size + size % 2
    return None


def _elapsed_us(stream: _Stream, tick: int) -> int:
    return tick * stream.scale * 1_000_000 // stream.rate if stream.rate else 0
