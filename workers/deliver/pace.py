"""Bandwidth: an instance on its way out that is read no faster than a destination allows."""

import time
from collections.abc import Callable

from workers.deliver.channel import Stored

_SLICE_S = 0.25
"""Longest sleep in one go: the lease is kept, and a pause is heard, in between."""
_BURST_S = 0.5


class Pace:
    """Allows so many bytes per second, half a second's worth at once. For one thread."""

    def __init__(self, bytes_s: float, beat: Callable[[], None]) -> None:
        self._bytes_s, self._beat = bytes_s, beat
        self._free_at = time.monotonic()

    def spend(self, count: int) -> None:
        """Wait until `count` more bytes may leave; what the beat raises ends the wait."""
        now = time.monotonic()
        self._free_at = max(self._free_at, now - _BURST_S) + count / self._bytes_s
        while (rest := self._free_at - time.monotonic()) > 0:
            self._beat()
            time.sleep(min(rest, _SLICE_S))


class Paced:
    """A stored instance, read at a pace."""

    def __init__(self, stored: Stored, pace: Pace) -> None:
        self._stored, self._pace = stored, pace
        self.size_bytes = stored.size_bytes

    def readinto(self, buffer: memoryview, /) -> int:
        self._pace.spend(len(buffer))
        return self._stored.readinto(buffer)

    def verify(self) -> None:
        self._stored.verify()
