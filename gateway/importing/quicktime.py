"""Pure: the video track of a MOV or MP4 file, from its sample tables (ISO/IEC 14496-12 8.5 to 8.7).

Fragmented files, whose pictures are not in these tables, have no track here.
"""

import struct
from collections.abc import Iterator, Sequence
from itertools import islice

from gateway.errors import FileRefused
from gateway.importing.tracks import SAMPLES_MAX, Readable, Sample, Track

_MOOV_BYTES_MAX = 256 << 20
_BOXES_MAX = 100_000
_CONTAINERS = {b"trak", b"mdia", b"minf", b"stbl"}

_Tables = dict[bytes, bytes]


def track(file: Readable) -> Track:
    """Read the first video track that has pictures. Raises FileRefused if there is none."""
    try:
        for tables in _tracks(_moov(file)):
            if tables.get(b"hdlr", b"")[8:12] == b"vide" and b"stsz" in tables:
                return _track(tables)
    except (struct.error, IndexError, KeyError) as error:
        raise FileRefused("The tables of the MOV or MP4 file are damaged.") from error
    raise FileRefused("The MOV or MP4 file has no video whose tables could be read.")


def _moov(file: Readable) -> bytes:
    """Return the content of the movie box."""
    position = 0
    for _ in range(_BOXES_MAX):
        head = file.read_at(position, 16)
        if len(head) < 8:
            break
        size, name = struct.unpack_from(">L4s", head)
        start = 8
        if size == 1:
            (size,), start = struct.unpack_from(">Q", head, 8), 16
        elif size == 0:
            size = file.size_bytes - position
        if size < start:
            break
        if name == b"moov":
            if size > _MOOV_BYTES_MAX:
                raise FileRefused("The MOV or MP4 file's tables are absurdly long.")
            return file.read_at(position + start, size - start)
        position += size
    raise FileRefused("The MOV or MP4 file was not finished: its tables are missing.")


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position + 8 <= len(data):
        size, name = struct.unpack_from(">L4s", data, position)
        start = 8
        if size == 1:
            (size,), start = struct.unpack_from(">Q", data, position + 8), 16
        elif size == 0:
            size = len(data) - position
        if size < start or position + size > len(data):
            raise struct.error("a box is longer than what it lies in")
        yield name, data[position + start : position + size]
        position += size


def _tracks(moov: bytes) -> Iterator[_Tables]:
    for name, content in islice(_boxes(moov), _BOXES_MAX):
        if name == b"trak":
            tables: _Tables = {}
            _collect(content, tables, depth=0)
            yield tables


def _collect(data: bytes, tables: _Tables, *, depth: int) -> None:
    for name, content in islice(_boxes(data), _BOXES_MAX):
        if name in _CONTAINERS and depth < len(_CONTAINERS):
            _collect(content, tables, depth=depth + 1)
        else:
            tables.setdefault(name, content)


def _track(tables: _Tables) -> Track:
    sizes = _sizes(tables[b"stsz"])
    offsets = _offsets(tables, sizes)
    ticks, timescale = _ticks(tables, len(sizes))
    samples = [
        Sample(offset, size, tick * 1_000_000 // timescale if timescale else 0)
        for offset, size, tick in zip(offsets, sizes, ticks, strict=True)
    ]
    (entry,) = struct.unpack_from(">4s", tables[b"stsd"], 12)
    columns, rows = struct.unpack_from(">HH", tables[b"stsd"], 40)
    codec = entry.decode("ascii", "replace").strip()
    return Track(codec, rows, columns, samples, timed=timescale > 0)


def _sizes(table: bytes) -> Sequence[int]:
    """Sample Size Box, 8.7.3.2."""
    fixed, count = struct.unpack_from(">LL", table, 4)
    if not 0 < count <= SAMPLES_MAX:
        raise FileRefused("The MOV or MP4 file's tables hold no pictures, or absurdly many.")
    return [fixed] * count if fixed else struct.unpack_from(f">{count}L", table, 12)


def _offsets(tables: _Tables, sizes: Sequence[int]) -> list[int]:
    """Where each sample lies: Sample To Chunk and Chunk Offset Boxes, 8.7.4 and 8.7.5."""
    table = tables.get(b"stco") or tables[b"co64"]
    (count,) = struct.unpack_from(">L", table, 4)
    chunks = struct.unpack_from(f">{count}{'L' if b'stco' in tables else 'Q'}", table, 8)
    (runs,) = struct.unpack_from(">L", tables[b"stsc"], 4)
    numbers = struct.unpack_from(f">{3 * runs}L", tables[b"stsc"], 8)
    firsts = [*numbers[0::3], len(chunks) + 1]
    offsets: list[int] = []
    for run in range(runs):
        for chunk in range(firsts[run], min(firsts[run + 1], len(chunks) + 1)):
            position = chunks[chunk - 1]
            for size in sizes[len(offsets) : len(offsets) + numbers[3 * run + 1]]:
                offsets.append(position)
                position += size
    if len(offsets) != len(sizes):
        raise struct.error("the tables disagree about the number of pictures")
    return offsets


def _ticks(tables: _Tables, count: int) -> tuple[list[int], int]:
    """Decoding times, all of them (8.6.1.2), and the media's ticks per second (8.4.2)."""
    media = tables[b"mdhd"]
    (timescale,) = struct.unpack_from(">L", media, 20 if media[0] == 1 else 12)
    (runs,) = struct.unpack_from(">L", tables[b"stts"], 4)
    ticks: list[int] = []
    at = 0
    for run in range(runs):
        number, delta = struct.unpack_from(">LL", tables[b"stts"], 8 + 8 * run)
        for _ in range(min(number, count - len(ticks))):
            ticks.append(at)
            at += delta
    return ticks + [at] * (count - len(ticks)), timescale
