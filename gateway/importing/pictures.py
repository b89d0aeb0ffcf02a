"""Pure: what the headers of PNG, BMP and TIFF files say, before anything is decoded.

A few bytes may claim a picture that fills the memory: size and depth are checked first.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.errors import FileRefused
from gateway.importing.kinds import Kind

SIDE_MAX = 16_384
PIXELS_MAX = 64 << 20
"""Decoded, 192 MiB. Capsules give 0.3 million pixels, the largest endoscopes 8 million."""
_DIRECTORY_ENTRIES_MAX = 1000

IMAGE_WIDTH, IMAGE_LENGTH, BITS_PER_SAMPLE = 256, 257, 258
DATE_TIME, EXIF_DIRECTORY = 0x0132, 0x8769
DATE_TIME_ORIGINAL, SUB_SECOND_ORIGINAL = 0x9003, 0x9291
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_ASCII, _SHORT, _LONG, _IFD = 2, 3, 4, 13


@dataclass(frozen=True)
class Size:
    """bits: per sample."""

    rows: int
    columns: int
    bits: int = 8


def check(size: Size) -> None:
    """Raise FileRefused for a picture no endoscope takes."""
    if not (0 < size.rows <= SIDE_MAX and 0 < size.columns <= SIDE_MAX):
        raise FileRefused(f"{size.columns}×{size.rows} pixels is no size of a frame.")
    if size.rows * size.columns > PIXELS_MAX:
        raise FileRefused(f"{size.columns}×{size.rows} pixels are more than a frame may have.")


def size_of(kind: Kind, data: bytes) -> Size:
    """Read the size a PNG, BMP or TIFF file claims. Raises FileRefused if it is cut off."""
    try:
        if kind is Kind.PNG:
            return _png(data)
        return _bitmap(data) if kind is Kind.BMP else _tiff(data)
    except (struct.error, IndexError, KeyError) as error:
        raise FileRefused(f"The {kind} header is cut off or damaged.") from error


def _png(data: bytes) -> Size:
    if data[12:16] != b"IHDR":
        raise FileRefused("The PNG file does not begin with its header.")
    columns, rows, bits = struct.unpack_from(">LLB", data, 16)
    if b"acTL" in data[33:128]:
        raise FileRefused("The PNG file is an animation.")
    if not data.rstrip(b"\0").endswith(b"IEND\xae\x42\x60\x82"):
        raise FileRefused("The PNG file is cut off.")
    return Size(rows, columns, bits)


def _bitmap(data: bytes) -> Size:
    (header_bytes,) = struct.unpack_from("<L", data, 14)
    if header_bytes == 12:
        columns, rows = struct.unpack_from("<HH", data, 18)
        return Size(rows, columns)
    columns, rows = struct.unpack_from("<ll", data, 18)
    return Size(abs(rows), abs(columns))


def _tiff(data: bytes) -> Size:
    directory, following = tiff_directory(data, struct.unpack_from(_order(data) + "L", data, 4)[0])
    if following:
        raise FileRefused("The TIFF file holds several pictures.")
    said = (directory[IMAGE_LENGTH], directory[IMAGE_WIDTH], directory.get(BITS_PER_SAMPLE, 8))
    return Size(*(value if isinstance(value, int) else 0 for value in said))


def tiff_directory(data: bytes, offset: int) -> tuple[dict[int, int | bytes], int]:
    """Read one image file directory of a TIFF structure (TIFF 6.0 section 2, EXIF).

    Returns the first number, or the text, of each tag; and the offset of the next directory.
    Raises struct.error where it is cut off.
    """
    order = _order(data)
    (count,) = struct.unpack_from(order + "H", data, offset)
    if count > _DIRECTORY_ENTRIES_MAX:
        raise struct.error("an absurd number of entries")
    values = dict(_entries(data, order, offset + 2, count))
    (following,) = struct.unpack_from(order + "L", data, offset + 2 + 12 * count)
    return values, following


def _entries(data: bytes, order: str, start: int, count: int) -> Iterator[tuple[int, int | bytes]]:
    for position in range(start, start + 12 * count, 12):
        tag, kind, number = struct.unpack_from(order + "HHL", data, position)
        length = _TYPE_BYTES.get(kind, 1) * number
        value = position + 8
        if length > 4:
            (value,) = struct.unpack_from(order + "L", data, value)
        if kind in (_SHORT, _LONG, _IFD):
            yield tag, struct.unpack_from(order + ("H" if kind == _SHORT else "L"), data, value)[0]
        elif kind == _ASCII:
            yield tag, data[value : value + min(length, 64)].rstrip(b"\0 ")


def _order(data: bytes) -> str:
    if data[:4] not in (b"II*\0", b"MM\0*"):
        raise struct.error("no TIFF structure")
    return "<" if data[:2] == b"II" else ">"
