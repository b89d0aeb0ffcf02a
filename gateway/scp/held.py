"""Pure: how much of the instances under way one association may hold in memory, all together.

A peer may interleave as many instances as it has presentation contexts, 128 (PS3.8 9.3.2.2).
"""

from gateway.packs.reading import HELD_BYTES_MAX
from gateway.packs.writer import STREAM_WRITE_BYTES

HELD_FREELY_BYTES = 256 << 10
"""Up to this much of each instance is held uncounted: 32 MiB in 128 contexts."""
HELD_TOGETHER_BYTES_MAX = 32 << 20
"""Of the larger ones, all together. Four of the longest, which is more than any sender
interleaves without meaning harm."""
GATHERED_BYTES_MAX = 16 << 20
"""What those that are written as they arrive gather for their next writes, all together."""


class HeldBytes:
    """What an association holds. Each instance has a Share of it."""

    def __init__(self) -> None:
        self._total = 0
        self._streams = 0

    def take(self, more_bytes: int) -> bool:
        """Count bytes in; False, and nothing is counted, if they would be too many."""
        if self._total + more_bytes > HELD_TOGETHER_BYTES_MAX:
            return False
        self._total += more_bytes
        return True

    def give_back(self, size_bytes: int) -> None:
        self._total -= size_bytes

    def count_stream(self, by: int) -> None:
        self._streams += by

    @property
    def gather_bytes(self) -> int:
        """How much each instance that is written as it arrives may gather before it writes.

        Less, the more of them there are.
        """
        return min(STREAM_WRITE_BYTES, GATHERED_BYTES_MAX // max(1, self._streams))


class Share:
    """What one instance holds of it."""

    def __init__(self, held: HeldBytes) -> None:
        self._held = held
        self._counted = 0
        self._streams = 0

    def grow(self, size_bytes: int) -> bool:
        """Tell whether the instance may hold this much, more than HELD_FREELY_BYTES."""
        if size_bytes > HELD_BYTES_MAX or not self._held.take(size_bytes - self._counted):
            return False
        self._counted = size_bytes
        return True

    def shrink(self, size_bytes: int) -> None:
        """Give back what is above this much."""
        if self._counted > size_bytes:
            self._held.give_back(self._counted - size_bytes)
            self._counted = size_bytes

    def begin_stream(self) -> None:
        """From now on it is written as it arrives."""
        self._held.count_stream(1)
        self._streams = 1

    def end(self) -> None:
        """Give back everything."""
        self.shrink(0)
        self._held.count_stream(-self._streams)
        self._streams = 0
