"""Pure: rectangles of a JPEG stream made black by whole MCUs; every other block stays as it is."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.dicom import jpeg_coefficients, jpeg_sequential
from gateway.dicom.jpeg import ColourSpace, scan
from gateway.dicom.jpeg_coefficients import Coefficients, Component


@dataclass(frozen=True)
class Rectangle:
    """In pixels of the picture; what lies outside of it is cut off."""

    x: int
    y: int
    width: int
    height: int


def blanked(stream: bytes, rectangles: Sequence[Rectangle]) -> bytes:
    """Return the stream as JPEG Baseline with every MCU that touches a rectangle black.

    Raises ValueError for what jpeg_coefficients cannot read.
    """
    seen = scan(stream)
    found = jpeg_coefficients.read(stream)
    if seen is None or seen.colour_space is ColourSpace.OTHER:
        raise ValueError("the colours of the stream are not known")
    steps = _first_steps(found)
    for number, one in enumerate(found.components):
        colour = number > 0 and seen.colour_space is ColourSpace.YCBCR
        black = 0 if colour else -(-1024 // -steps[one.quantisation])
        for rectangle in rectangles:
            _blank(found, one, rectangle, black)
    return jpeg_sequential.written(found)


def mcu_range(start: int, length: int, mcu: int, count: int) -> range:
    """Return the MCUs of one direction that a stretch of pixels touches."""
    return range(min(start // mcu, count), min(-(-(start + length) // mcu), count))


def _blank(found: Coefficients, one: Component, area: Rectangle, black: int) -> None:
    wide = max(other.horizontal for other in found.components)
    high = max(other.vertical for other in found.components)
    for row in mcu_range(area.y, area.height, 8 * high, found.mcus_high):
        for column in mcu_range(area.x, area.width, 8 * wide, found.mcus_wide):
            for down in range(one.vertical):
                for across in range(one.horizontal):
                    block = (row * one.vertical + down) * one.blocks_wide
                    at = 64 * (block + column * one.horizontal + across)
                    one.values[at : at + 64] = [black] + [0] * 63


def _first_steps(found: Coefficients) -> dict[int, int]:
    """Return the quantisation step of the DC coefficient, by table."""
    steps = {}
    for segment in found.kept:
        if segment[1] == 0xDB:
            (length,) = struct.unpack_from(">H", segment, 2)
            for at in range(4, 2 + length, 65):
                steps[segment[at] & 15] = segment[at + 1]
    if any(one.quantisation not in steps for one in found.components):
        raise ValueError("a quantisation table is missing")
    return steps
