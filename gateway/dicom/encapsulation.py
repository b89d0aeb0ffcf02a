"""Pure: finding the frames in encapsulated pixel data (PS3.5 A.4), legal or not.

Nothing is held but the places of the fragments: an instance may be larger than the memory.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

FRAGMENTS_MAX = 1_000_000
"""A day of endoscopy at thirty frames a second has fewer frames than three times this."""
TABLE_BYTES_MAX = 8 * FRAGMENTS_MAX

_ITEM, _DELIMITER = 0xFFFEE000, 0xFFFEE0DD
_IMAGE_BEGINS = (b"\xff\xd8", b"\xff\x4f", b"\x00\x00\x00\x0cjP")
"""SOI of JPEG and JPEG-LS, SOC of JPEG 2000, the signature box of a JP2 file."""

ReadAt = Callable[[int, int], bytes]
"""(offset, size) to the bytes there; fewer where the instance ends."""


@dataclass(frozen=True)
class Fragments:
    """offsets, sizes: of the items' values, in order. table: the Basic Offset Table."""

    offsets: list[int]
    sizes: list[int]
    table: list[int]


def fragments(read_at: ReadAt, start: int, end: int) -> Fragments:
    """Walk the items of a pixel data element whose value begins at `start`.

    end: of the instance. A missing delimiter, a last item that is cut off and items of odd
    length are taken as they are. Raises ValueError where no item stands, or for too many.
    """
    offsets: list[int] = []
    sizes: list[int] = []
    table: list[int] | None = None
    position = start
    while position + 8 <= end:
        tag, size = _item(read_at(position, 8))
        if tag not in (_ITEM, _DELIMITER) and position > start:
            tag, size = _item(read_at(position + 1, 8))  # behind an odd length, padded after all
            position += 1
        if tag == _DELIMITER:
            break
        if tag != _ITEM or len(offsets) >= FRAGMENTS_MAX:
            raise ValueError("the pixel data is no sequence of fragments")
        size = min(size, end - position - 8)
        if table is None:
            table = _table(read_at(position + 8, min(size, TABLE_BYTES_MAX)))
        else:
            offsets.append(position + 8)
            sizes.append(size)
        position += 8 + size
    return Fragments(offsets, sizes, table or [])


def frames(
    found: Fragments,
    *,
    declared: int | None,
    extended_table: Sequence[int],
    begins: Callable[[int], bytes],
) -> list[list[int]]:
    """Say which fragments make up each frame; fragments are told by position, 0-based.

    declared: Number of Frames, None if absent or no number. extended_table: of (7FE0,0001).
    begins: the first bytes of a fragment. By count, else by an offset table that is right, else
    by where images begin. Raises ValueError if nothing says where one frame ends.
    """
    count = len(found.offsets)
    if count == (declared or 1):
        return [[one] for one in range(count)]
    for table in (extended_table, found.table):
        starts = _starts(found, table)
        if starts and declared in (None, len(starts)):
            return _grouped(starts, count)
    starts = [one for one in range(count) if begins(one).startswith(_IMAGE_BEGINS)]
    if not starts or starts[0] != 0:
        if declared in (None, 1) and count:
            return [list(range(count))]
        raise ValueError("nothing says where one frame ends and the next begins")
    return _grouped(starts, count)


def _grouped(starts: Sequence[int], count: int) -> list[list[int]]:
    ends = [*starts[1:], count]
    return [list(range(start, end)) for start, end in zip(starts, ends, strict=True)]


def _starts(found: Fragments, table: Sequence[int]) -> list[int]:
    """Return the fragments an offset table points at; none if it points elsewhere."""
    if not table or not found.offsets:
        return []
    base = found.offsets[0] - 8
    by_offset = {offset - 8 - base: at for at, offset in enumerate(found.offsets)}
    starts = [by_offset.get(entry, -1) for entry in table]
    ordered = starts[0] == 0 and all(one < other for one, other in pairwise(starts))
    return starts if ordered else []


def _item(header: bytes) -> tuple[int, int]:
    if len(header) < 8:
        return 0, 0
    group, element, size = struct.unpack("<HHL", header)
    return group << 16 | element, size


def _table(value: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(value) // 4}L", value[: len(value) // 4 * 4]))
