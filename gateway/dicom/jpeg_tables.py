"""Pure: Huffman tables of JPEG (ITU-T T.81 Annexes C and K), for reading and for writing."""

import functools
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LOOK_BITS = 16
"""No code is longer (T.81 C.2)."""


@dataclass(frozen=True)
class HuffmanTable:
    """counts: how many codes have 1, 2, ... 16 bits. symbols: in the order of their codes."""

    counts: bytes
    symbols: bytes

    def segment(self, table_class: int, identifier: int) -> bytes:
        """Return this table as a DHT segment. table_class: 0 for DC, 1 for AC."""
        body = bytes([table_class << 4 | identifier]) + self.counts + self.symbols
        return struct.pack(">BBH", 0xFF, 0xC4, len(body) + 2) + body


_DC_SYMBOLS = bytes(range(12))
STANDARD_DC = (
    HuffmanTable(bytes.fromhex("00010501010101010100000000000000"), _DC_SYMBOLS),
    HuffmanTable(bytes.fromhex("00030101010101010101010000000000"), _DC_SYMBOLS),
)
"""T.81 Tables K.3 (luminance) and K.4 (chrominance)."""
STANDARD_AC = (
    HuffmanTable(
        bytes.fromhex("0002010303020403050504040000017d"),
        bytes.fromhex(
            "01020300041105122131410613516107227114328191a1082342b1c11552d1f0"
            "2433627282090a161718191a25262728292a3435363738393a43444546474849"
            "4a535455565758595a636465666768696a737475767778797a83848586878889"
            "8a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5"
            "c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8"
            "f9fa"
        ),
    ),
    HuffmanTable(
        bytes.fromhex("00020102040403040705040400010277"),
        bytes.fromhex(
            "000102031104052131061241510761711322328108144291a1b1c109233352f0"
            "156272d10a162434e125f11718191a262728292a35363738393a434445464748"
            "494a535455565758595a636465666768696a737475767778797a828384858687"
            "88898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3"
            "c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8"
            "f9fa"
        ),
    ),
)
"""T.81 Tables K.5 (luminance) and K.6 (chrominance)."""
STANDARD_SEGMENTS = b"".join(
    table.segment(table_class, identifier)
    for table_class, tables in ((0, STANDARD_DC), (1, STANDARD_AC))
    for identifier, table in enumerate(tables)
)
"""The four of them as DHT segments: what a stream without tables means (MJPEG)."""


def read_segment(body: bytes) -> dict[tuple[int, int], HuffmanTable]:
    """Read the tables of a DHT segment, by (class, identifier). Raises ValueError."""
    tables: dict[tuple[int, int], HuffmanTable] = {}
    position = 0
    while position < len(body):
        counts = body[position + 1 : position + 17]
        count = sum(counts)
        symbols = body[position + 17 : position + 17 + count]
        if len(counts) < LOOK_BITS or len(symbols) < count:
            raise ValueError("a Huffman table is cut off")
        tables[body[position] >> 4, body[position] & 15] = HuffmanTable(counts, symbols)
        position += 17 + count
    return tables


@functools.lru_cache(maxsize=64)
def lookup(table: HuffmanTable) -> list[tuple[int, int]]:
    """Return (code length, symbol) for every value of the next 16 bits; length 0 where none is.

    Raises ValueError if the lengths are no prefix code.
    """
    entries: list[tuple[int, int]] = []
    position = 0
    for length, count in enumerate(table.counts, start=1):
        for symbol in table.symbols[position : position + count]:
            entries += [(length, symbol)] * (1 << (LOOK_BITS - length))
        position += count
    missing = (1 << LOOK_BITS) - len(entries)
    if missing < 0:
        raise ValueError("a Huffman table holds more codes than there are")
    return entries + [(0, 0)] * missing


@functools.lru_cache(maxsize=8)
def codes(table: HuffmanTable) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (code, its length) by symbol, shape (256,); length 0 where the table has none."""
    code_of, length_of = np.zeros(256, np.int64), np.zeros(256, np.int64)
    code = position = 0
    for length, count in enumerate(table.counts, start=1):
        for symbol in table.symbols[position : position + count]:
            code_of[symbol], length_of[symbol] = code, length
            code += 1
        code <<= 1
        position += count
    return code_of, length_of
