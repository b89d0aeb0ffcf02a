"""Pure: the quantised coefficients of a Huffman-coded JPEG stream (ITU-T T.81 Annexes F and G).

Sequential and progressive streams, eight bits, any number of scans. Nothing is dequantised or
transformed: this is for writing the same coefficients down in another order, not for looking at
them. Arithmetic coding, lossless and hierarchical streams are refused.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.dicom import jpeg_tables
from gateway.dicom.jpeg_bits import BitReader
from gateway.dicom.jpeg_tables import HuffmanTable

PIXELS_MAX = 1 << 22
"""Of a frame; the coefficients are Python numbers, larger pictures are not worth that."""
SCANS_MAX = 64
"""Encoders write ten or so; each one costs a pass over all blocks."""

_SOF0, _SOF1, _SOF2 = 0xC0, 0xC1, 0xC2
_DHT, _EOI, _SOS, _DQT, _DRI, _DNL = 0xC4, 0xD9, 0xDA, 0xDB, 0xDD, 0xDC


@dataclass
class Component:
    """One colour component. blocks_wide, blocks_high: with those that fill up whole MCUs;
    own_wide, own_high: without. values: of all blocks, row by row, 64 each in zigzag order.
    """

    identifier: int
    horizontal: int
    vertical: int
    quantisation: int
    blocks_wide: int = 0
    blocks_high: int = 0
    own_wide: int = 0
    own_high: int = 0
    values: list[int] = field(default_factory=list)


@dataclass
class Coefficients:
    """kept: segments that are carried over as they are (APPn, COM, DQT), in order."""

    rows: int
    columns: int
    components: list[Component]
    kept: list[bytes]
    mcus_wide: int
    mcus_high: int


@dataclass(frozen=True)
class _Scan:
    """selected: (component, DC table, AC table). low, high: successive approximation, Al, Ah."""

    selected: list[tuple[Component, int, int]]
    first: int
    last: int
    high: int
    low: int


def read(stream: bytes) -> Coefficients:
    """Read all scans of a stream. Raises ValueError where it is none of those, or damaged."""
    reading = _Reading()
    position = 2
    while True:
        marker, position = _next_marker(stream, position)
        if marker == _EOI:
            return reading.finished()
        body, position = _segment(stream, position)
        if marker == _SOS:
            data, position = _entropy_coded(stream, position)
            reading.scan(body, data)
        else:
            reading.note(marker, body)


def _next_marker(stream: bytes, position: int) -> tuple[int, int]:
    while stream[position : position + 2] == b"\xff\xff":  # fill bytes
        position += 1
    if position + 2 > len(stream) or stream[position] != 0xFF:
        raise ValueError("no marker where one belongs")
    return stream[position + 1], position + 2


def _segment(stream: bytes, position: int) -> tuple[bytes, int]:
    if position + 2 > len(stream):
        raise ValueError("a segment is cut off")
    (length,) = struct.unpack_from(">H", stream, position)
    end = position + length
    if length < 2 or end > len(stream):
        raise ValueError("a segment is cut off")
    return stream[position + 2 : end], end


def _entropy_coded(stream: bytes, position: int) -> tuple[list[bytes], int]:
    """Return the restart intervals of a scan without their stuffing, and what follows them."""
    intervals, start = [], position
    while True:
        position = stream.find(b"\xff", position)
        if position < 0 or position + 1 >= len(stream):
            raise ValueError("a scan is cut off")
        following = stream[position + 1]
        if following == 0:
            position += 2
        elif following == 0xFF:
            position += 1
        else:
            intervals.append(stream[start:position].replace(b"\xff\x00", b"\xff"))
            if not 0xD0 <= following <= 0xD7:
                return intervals, position
            position += 2
            start = position


class _Reading:
    """What the segments said so far."""

    def __init__(self) -> None:
        self._progressive = False
        self._tables: dict[tuple[int, int], HuffmanTable] = {}
        self._restart_interval = 0
        self._scan_count = 0
        self._found: Coefficients | None = None
        self._kept: list[bytes] = []

    def note(self, marker: int, body: bytes) -> None:
        if marker in (_SOF0, _SOF1, _SOF2):
            self._frame(marker, body)
        elif marker == _DHT:
            self._tables |= jpeg_tables.read_segment(body)
        elif marker == _DRI:
            self._restart_interval = int.from_bytes(body[:2], "big")
        elif marker == _DQT or marker == 0xFE or 0xE0 <= marker <= 0xEF:
            if marker == _DQT and self._scan_count:
                raise ValueError("quantisation changes between scans")
            if marker == _DQT and _has_wide_values(body):
                raise ValueError("quantisation values of 16 bits")
            self._kept.append(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body)
        else:
            raise ValueError(f"marker {marker:02X} is not supported")

    def finished(self) -> Coefficients:
        if self._found is None or not self._scan_count:
            raise ValueError("there is no picture")
        return self._found

    def _frame(self, marker: int, body: bytes) -> None:
        if self._found is not None:
            raise ValueError("a second frame header")
        precision, rows, columns, count = struct.unpack_from(">BHHB", body)
        if precision != 8 or not 1 <= count <= 4 or len(body) != 6 + 3 * count:
            raise ValueError("not eight bits, or no component")
        if not 0 < rows * columns <= PIXELS_MAX:
            raise ValueError("the picture has no size, or is too large")
        components = [
            Component(body[at], body[at + 1] >> 4, body[at + 1] & 15, body[at + 2])
            for at in range(6, len(body), 3)
        ]
        self._progressive = marker == _SOF2
        self._found = _laid_out(rows, columns, components, self._kept)

    def scan(self, body: bytes, intervals: list[bytes]) -> None:
        """Decode one scan into the coefficients."""
        self._scan_count += 1
        if self._found is None or self._scan_count > SCANS_MAX:
            raise ValueError("a scan before its frame header, or too many of them")
        scan = self._header(body, self._found.components)
        decode = _Blocks(scan, self._tables, progressive=self._progressive)
        places = _places(scan, self._found)
        per_interval = self._restart_interval or (1 << 62)
        for interval in intervals:
            decode.restart(BitReader(interval))
            for _, mcu in zip(range(per_interval), places, strict=False):
                for place in mcu:
                    decode.block(*place)
        if next(places, None) is not None:
            raise ValueError("a scan ends early")

    @staticmethod
    def _header(body: bytes, components: list[Component]) -> _Scan:
        count = body[0] if body else 0
        if not 1 <= count <= 4 or len(body) != 4 + 2 * count:
            raise ValueError("a scan header is cut off")
        by_identifier = {one.identifier: one for one in components}
        try:
            selected = [
                (by_identifier[body[at]], body[at + 1] >> 4, body[at + 1] & 15)
                for at in range(1, 1 + 2 * count, 2)
            ]
        except KeyError as error:
            raise ValueError("a scan of a component that is not there") from error
        first, last, approximation = body[-3:]
        if first > last or last > 63 or (first and count > 1):
            raise ValueError("a scan of coefficients that are not there")
        return _Scan(selected, first, last, approximation >> 4, approximation & 15)


def _has_wide_values(body: bytes) -> bool:
    position = 0
    while position < len(body):
        if body[position] >> 4:
            return True
        position += 65
    return False


def _laid_out(
    rows: int, columns: int, components: list[Component], kept: list[bytes]
) -> Coefficients:
    if not all(1 <= one.horizontal <= 4 and 1 <= one.vertical <= 4 for one in components):
        raise ValueError("sampling factors that are not there")
    wide = max(one.horizontal for one in components)
    high = max(one.vertical for one in components)
    mcus_wide, mcus_high = -(-columns // (8 * wide)), -(-rows // (8 * high))
    for one in components:
        one.own_wide = -(-columns * one.horizontal // (8 * wide))
        one.own_high = -(-rows * one.vertical // (8 * high))
        one.blocks_wide, one.blocks_high = mcus_wide * one.horizontal, mcus_high * one.vertical
        one.values = [0] * (64 * one.blocks_wide * one.blocks_high)
    return Coefficients(rows, columns, components, kept, mcus_wide, mcus_high)


Place = tuple[int, int]
"""Which of the scan's components, and where in its values the block begins."""


def _places(scan: _Scan, found: Coefficients) -> Iterator[list[Place]]:
    """Yield the blocks of each MCU in the order of the scan (T.81 A.2)."""
    if len(scan.selected) == 1:
        only = scan.selected[0][0]
        for row in range(only.own_high):
            for column in range(only.own_wide):
                yield [(0, 64 * (row * only.blocks_wide + column))]
        return
    for mcu_row in range(found.mcus_high):
        for mcu_column in range(found.mcus_wide):
            yield [
                (
                    which,
                    64
                    * (
                        (mcu_row * one.vertical + down) * one.blocks_wide
                        + mcu_column * one.horizontal
                        + across
                    ),
                )
                for which, (one, _, _) in enumerate(scan.selected)
                for down in range(one.vertical)
                for across in range(one.horizontal)
            ]


class _Blocks:
    """Decodes the blocks of one scan."""

    def __init__(
        self, scan: _Scan, tables: dict[tuple[int, int], HuffmanTable], *, progressive: bool
    ) -> None:
        self._scan = scan
        try:
            self._dc = [self._table(tables, 0, dc, scan.first == 0) for _, dc, _ in scan.selected]
            self._ac = [self._table(tables, 1, ac, scan.last > 0) for _, _, ac in scan.selected]
        except KeyError as error:
            raise ValueError("a Huffman table is missing") from error
        self._values = [one.values for one, _, _ in scan.selected]
        self._bits = BitReader(b"")
        self._predictions = [0] * len(scan.selected)
        self._end_of_band_run = 0
        if not progressive:
            self.block = self._sequential
        elif scan.first == 0 and scan.last == 0:
            self.block = self._dc_refined if scan.high else self._dc_first
        elif scan.first:
            self.block = self._ac_refined if scan.high else self._ac_first
        else:
            raise ValueError("a progressive scan of both DC and AC coefficients")

    def _table(
        self, tables: dict[tuple[int, int], HuffmanTable], kind: int, number: int, needed: bool
    ) -> list[tuple[int, int]]:
        refining_dc = kind == 0 and self._scan.high  # plain bits, no table
        if not needed or refining_dc:
            return []
        return jpeg_tables.lookup(tables[kind, number])

    def restart(self, bits: BitReader) -> None:
        """Begin a restart interval."""
        self._bits = bits
        self._predictions = [0] * len(self._predictions)
        self._end_of_band_run = 0

    def _sequential(self, which: int, at: int) -> None:
        bits, values, table = self._bits, self._values[which], self._ac[which]
        self._predictions[which] += bits.signed(bits.symbol(self._dc[which]))
        values[at] = self._predictions[which]
        position = 1
        while position < 64:
            symbol = bits.symbol(table)
            size = symbol & 15
            if size == 0:
                if symbol != 0xF0:
                    return
                position += 16
                continue
            position += symbol >> 4
            if position > 63:
                raise ValueError("a block runs over")
            values[at + position] = bits.signed(size)
            position += 1

    def _dc_first(self, which: int, at: int) -> None:
        bits = self._bits
        self._predictions[which] += bits.signed(bits.symbol(self._dc[which]))
        self._values[which][at] = self._predictions[which] << self._scan.low

    def _dc_refined(self, which: int, at: int) -> None:
        self._values[which][at] |= self._bits.unsigned(1) << self._scan.low

    def _ac_first(self, which: int, at: int) -> None:
        if self._end_of_band_run:
            self._end_of_band_run -= 1
            return
        bits, values, table = self._bits, self._values[which], self._ac[which]
        position, last, low = self._scan.first, self._scan.last, self._scan.low
        while position <= last:
            symbol = bits.symbol(table)
            run, size = symbol >> 4, symbol & 15
            if size:
                position += run
                if position > last:
                    raise ValueError("a block runs over")
                value = bits.signed(size)
                values[at + position] = value << low if value >= 0 else -(-value << low)
                position += 1
            elif run == 15:
                position += 16
            else:
                self._end_of_band_run = (1 << run) + bits.unsigned(run) - 1
                return

    def _ac_refined(self, which: int, at: int) -> None:
        """Add one bit to what is known, and what begins with that bit (T.81 G.1.2.3)."""
        bits, values = self._bits, self._values[which]
        position, end = at + self._scan.first, at + self._scan.last + 1
        step = 1 << self._scan.low
        while position < end and not self._end_of_band_run:
            symbol = bits.symbol(self._ac[which])
            run, size = symbol >> 4, symbol & 15
            value = 0
            if size == 1:
                value = step if bits.unsigned(1) else -step
            elif size:
                raise ValueError("a refinement by more than one bit")
            elif run < 15:
                self._end_of_band_run = (1 << run) + bits.unsigned(run)
                break
            position = self._corrected(values, position, end, run)
            if position < end:
                values[position] = value
                position += 1
        if self._end_of_band_run:
            self._end_of_band_run -= 1
            self._corrected(values, position, end, end)

    def _corrected(self, values: list[int], position: int, end: int, zeros: int) -> int:
        """Read a bit for each known coefficient up to the one behind `zeros` unknown ones.

        Returns the position of that one, or `end`.
        """
        bits, step = self._bits, 1 << self._scan.low
        while position < end:
            known = values[position]
            if known:
                if bits.unsigned(1):
                    values[position] = known + step if known > 0 else known - step
            elif zeros:
                zeros -= 1
            else:
                break
            position += 1
        return position
