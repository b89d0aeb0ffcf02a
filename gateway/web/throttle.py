"""Pure: slowing down somebody who guesses passwords.

Counted per name and address, and per address alone: a stranger who guesses somebody's
password must not lock that person out at their own desk.
"""

from collections import OrderedDict
from dataclasses import dataclass

FREE_FAILURES_PER_PAIR = 5
FREE_FAILURES_PER_ADDRESS = 25
WAIT_FIRST_S, WAIT_MAX_S = 15.0, 900.0
FORGET_S = 3600.0
ENTRIES_MAX = 10_000
"""Addresses and names remembered; the oldest is forgotten first, so memory stays bounded."""


@dataclass
class _Failures:
    count: int
    latest_s: float


class Throttle:
    """Failures in memory: one web process serves a gateway, and a restart may forget them."""

    def __init__(self) -> None:
        self._failures: OrderedDict[tuple[str, ...], _Failures] = OrderedDict()

    def wait_s(self, name: str, address: str, *, now_s: float) -> float:
        """Return how long this address has to wait before it may try this name again."""
        return max(
            self._wait(("pair", name, address), FREE_FAILURES_PER_PAIR, now_s),
            self._wait(("address", address), FREE_FAILURES_PER_ADDRESS, now_s),
        )

    def failed(self, name: str, address: str, *, now_s: float) -> None:
        for key in (("pair", name, address), ("address", address)):
            known = self._failures.pop(key, None)
            fresh = known is None or now_s - known.latest_s > FORGET_S
            self._failures[key] = _Failures(1 if fresh or known is None else known.count + 1, now_s)
        while len(self._failures) > ENTRIES_MAX:
            self._failures.popitem(last=False)

    def succeeded(self, name: str, address: str) -> None:
        self._failures.pop(("pair", name, address), None)

    def _wait(self, key: tuple[str, ...], free: int, now_s: float) -> float:
        known = self._failures.get(key)
        if known is None or known.count < free:
            return 0.0
        pause = min(WAIT_FIRST_S * 2.0 ** min(known.count - free, 16), WAIT_MAX_S)
        return max(0.0, known.latest_s + pause - now_s)
