"""Pure: the coefficients of a JPEG stream written down as one sequential Baseline scan.

What jpegtran does: the quantised coefficients stay what they are, only the order and the codes
in which they are written change. No library that installs as a wheel offers this without ending
the process on a damaged stream, hence these pages of T.81 Annex F.
"""

import struct

import numpy as np
from numpy.typing import NDArray

from gateway.dicom import jpeg_coefficients, jpeg_tables
from gateway.dicom.jpeg_coefficients import Coefficients, Component

_END_OF_BLOCK, _ZEROS_16 = 0x00, 0xF0
_PLACES = 256
"""Sort keys per block: DC first, then two for each coefficient, the end of block last."""

Integers = NDArray[np.int64]


def to_baseline(stream: bytes) -> bytes:
    """Return a Huffman-coded stream of eight bits as JPEG Baseline, coefficients untouched.

    APPn, COM and quantisation tables are carried over. Raises ValueError if the stream is
    damaged, of another process, or has coefficients Baseline cannot write.
    """
    return written(jpeg_coefficients.read(stream))


def written(found: Coefficients) -> bytes:
    """Return coefficients as a JPEG Baseline stream. Raises ValueError where that cannot be."""
    if len(found.components) not in (1, 3):
        raise ValueError("neither grey nor three colours")
    if len(found.components) == 1:  # one component is never interleaved (T.81 A.2.2)
        found.components[0].horizontal = found.components[0].vertical = 1
    elif sum(one.horizontal * one.vertical for one in found.components) > 10:
        raise ValueError("more than ten blocks in an MCU")
    tables = [min(index, 1) for index in range(len(found.components))]
    frame = struct.pack(">BHHB", 8, found.rows, found.columns, len(found.components))
    scan = bytes([len(found.components)])
    for one, table in zip(found.components, tables, strict=True):
        frame += bytes([one.identifier, one.horizontal << 4 | one.vertical, one.quantisation])
        scan += bytes([one.identifier, table << 4 | table])
    return b"".join(
        (
            b"\xff\xd8",
            *found.kept,
            _segment(0xC0, frame),
            jpeg_tables.STANDARD_SEGMENTS,
            _segment(0xDA, scan + b"\x00\x3f\x00"),
            _scan_data(found, tables),
            b"\xff\xd9",
        )
    )


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _scan_data(found: Coefficients, tables: list[int]) -> bytes:
    keys, values, lengths = [], [], []
    for (one, order), table in zip(_ordered(found), tables, strict=True):
        blocks = np.array(one.values, np.int64).reshape(-1, 64)[order[:, 0]]
        for tokens in _tokens(blocks, order[:, 1] * _PLACES, table):
            keys.append(tokens[0])
            values.append(tokens[1])
            lengths.append(tokens[2])
    rank = np.argsort(np.concatenate(keys), kind="stable")
    return _packed(np.concatenate(values)[rank], np.concatenate(lengths)[rank])


def _ordered(found: Coefficients) -> list[tuple[Component, Integers]]:
    """Return, per component, its blocks in scan order: (block of the component, place in scan)."""
    if len(found.components) == 1:
        only = found.components[0]
        rows, columns = np.divmod(np.arange(only.own_high * only.own_wide), only.own_wide)
        return [(only, np.stack([rows * only.blocks_wide + columns, np.arange(len(rows))], 1))]
    per_mcu = sum(one.horizontal * one.vertical for one in found.components)
    ordered, before = [], 0
    for one in found.components:
        block = np.arange(one.blocks_wide * one.blocks_high)
        row, column = np.divmod(block, one.blocks_wide)
        mcu = row // one.vertical * found.mcus_wide + column // one.horizontal
        inside = row % one.vertical * one.horizontal + column % one.horizontal
        place = mcu * per_mcu + before + inside
        rank = np.argsort(place)
        ordered.append((one, np.stack([block[rank], place[rank]], 1)))
        before += one.horizontal * one.vertical
    return ordered


def _tokens(
    blocks: Integers, keys: Integers, table: int
) -> list[tuple[Integers, Integers, Integers]]:
    """Return what is written of a component: lists of (sort key, bits, how many).

    blocks: shape (blocks, 64), in scan order; keys: where each one begins.
    """
    dc = np.diff(blocks[:, 0], prepend=0)
    found = [_coded(keys, dc, np.zeros_like(dc), jpeg_tables.STANDARD_DC[table], size_max=11)]
    codes, lengths = jpeg_tables.codes(jpeg_tables.STANDARD_AC[table])
    row, column = np.nonzero(blocks[:, 1:])
    previous = np.full(len(row), -1)
    follows = np.flatnonzero(row[1:] == row[:-1]) + 1
    previous[follows] = column[follows - 1]
    run = column - previous - 1
    at = keys[row] + 2 * (column + 1)
    ac = jpeg_tables.STANDARD_AC[table]
    found.append(_coded(at + 1, blocks[row, column + 1], (run % 16) << 4, ac, size_max=10))
    zeros = np.repeat(at, run // 16)
    found.append(_repeated(zeros, codes[_ZEROS_16], lengths[_ZEROS_16]))
    ends = keys[~blocks[:, 63].astype(np.bool_)] + _PLACES - 1
    found.append(_repeated(ends, codes[_END_OF_BLOCK], lengths[_END_OF_BLOCK]))
    return found


def _coded(
    keys: Integers,
    values: Integers,
    runs: Integers,
    table: jpeg_tables.HuffmanTable,
    *,
    size_max: int,
) -> tuple[Integers, Integers, Integers]:
    """Return values with the Huffman codes of their run and size (T.81 F.1.2)."""
    magnitude = np.abs(values)
    size = np.zeros(len(values), np.int64)
    for bits in range(size_max + 1):
        size += magnitude >> bits > 0
    if (magnitude >> size_max > 0).any():
        raise ValueError("a coefficient is too large for Baseline")
    codes, lengths = jpeg_tables.codes(table)
    extra = np.where(values < 0, values - 1, values) & ((1 << size) - 1)
    symbol = runs | size
    return keys, codes[symbol] << size | extra, lengths[symbol] + size


def _repeated(
    keys: Integers, code: np.int64, length: np.int64
) -> tuple[Integers, Integers, Integers]:
    return keys, np.full(len(keys), code), np.full(len(keys), length)


def _packed(values: Integers, lengths: Integers) -> bytes:
    """Return bit strings one behind the other, filled up with ones, stuffed (T.81 F.1.2.3)."""
    ends = np.cumsum(lengths)
    place = np.repeat(ends, lengths) - 1 - np.arange(int(ends[-1]))
    bits = np.repeat(values, lengths) >> place & 1
    filled = np.ones(-(-len(bits) // 8) * 8, np.uint8)
    filled[: len(bits)] = bits
    return np.packbits(filled).tobytes().replace(b"\xff", b"\xff\x00")
