"""Pure: reading the entropy-coded bits of a JPEG scan (ITU-T T.81 F.2.2)."""

_REFILL_BYTES = 8


class BitReader:
    """The bits of one restart interval, its byte stuffing removed."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self._value = 0
        self._left = 0
        self._spare = 64
        """Bits that may be asked for behind the end: codes are looked at 16 bits at a time."""

    def _refill(self) -> None:
        chunk = self._data[self._position : self._position + _REFILL_BYTES]
        if not chunk:
            self._spare -= 8 * _REFILL_BYTES
            if self._spare < 0:
                raise ValueError("a scan ends early")
        self._position += len(chunk)
        kept = self._value & ((1 << self._left) - 1)
        self._value = kept << 64 | int.from_bytes(chunk.ljust(_REFILL_BYTES, b"\0"), "big")
        self._left += 64

    def symbol(self, table: list[tuple[int, int]]) -> int:
        """Read one Huffman code. table: of jpeg_tables.lookup. Raises ValueError."""
        if self._left < 16:
            self._refill()
        length, symbol = table[self._value >> (self._left - 16) & 0xFFFF]
        if not length:
            raise ValueError("a Huffman code that is not in its table")
        self._left -= length
        return symbol

    def unsigned(self, size: int) -> int:
        """Read `size` bits, at most 16. Raises ValueError."""
        if self._left < size:
            self._refill()
        self._left -= size
        return self._value >> self._left & ((1 << size) - 1)

    def signed(self, size: int) -> int:
        """Read a difference or a coefficient of `size` bits (T.81 F.2.2.1, EXTEND)."""
        if self._left < size:
            self._refill()
        self._left -= size
        value = self._value >> self._left & ((1 << size) - 1)
        return value if not size or value >> (size - 1) else value - (1 << size) + 1
