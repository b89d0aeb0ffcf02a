"""Pure: the bytes of a multi-frame instance around its untouched frames (PS3.5 A.4).

One fragment per frame and a filled Basic Offset Table. Never an Extended Offset Table: its VR
makes widespread viewers reject the whole file.
"""

import struct
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from gateway.errors import LimitExceeded
from workers.wrap.segment import ITEM_BYTES, PIXEL_DATA_BYTES_MAX

_PIXEL_DATA = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
_ITEM = struct.Struct("<HHL")
DELIMITER = _ITEM.pack(0xFFFE, 0xE0DD, 0)


def before_frames(head: bytes, sizes: NDArray[np.int64]) -> bytes:
    """Return the file up to its first frame: `head`, the element, the Basic Offset Table.

    sizes: of the fragments, bytes, in order. Raises LimitExceeded if a 32-bit offset cannot
    reach the last one.
    """
    ends = np.cumsum(on_disk(sizes))
    offsets = np.concatenate([[0], ends[:-1]])
    if offsets[-1] > PIXEL_DATA_BYTES_MAX:
        raise LimitExceeded("A multi-frame instance would be larger than 4 GiB.")
    table = offsets.astype("<u4").tobytes()
    return b"".join((head, _PIXEL_DATA, _ITEM.pack(0xFFFE, 0xE000, len(table)), table))


def pieces(
    beginning: bytes, fragments: Iterable[bytes | memoryview]
) -> Iterator[bytes | memoryview]:
    """Yield the whole file: `beginning`, each fragment behind its item header, the delimiter.

    Fragments pass untouched; one of odd length is followed by a zero byte.
    """
    yield beginning
    for fragment in fragments:
        padding = len(fragment) % 2
        yield item_header(len(fragment))
        yield fragment
        if padding:
            yield b"\0"
    yield DELIMITER


def item_header(size: int) -> bytes:
    """Return what stands before a fragment of this many bytes."""
    return _ITEM.pack(0xFFFE, 0xE000, size + size % 2)


def size_bytes(beginning: bytes, sizes: NDArray[np.int64]) -> int:
    """Return how long the file will be."""
    return len(beginning) + int(on_disk(sizes).sum()) + len(DELIMITER)


def on_disk(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many bytes each fragment takes with its item header and its padding."""
    return sizes + sizes % 2 + ITEM_BYTES
