"""Pure: how many associations there may be at once, counted exactly."""

from collections import OrderedDict
from typing import NamedTuple

PATIENCE_S = 0.5
"""A request that finds no place waits this long for one: a sender that has just released an
association and opens the next must not overtake the news of its own release."""


class Who(NamedTuple):
    """A connection: the process it was passed to, and its number."""

    process: int
    number: int


class Places:
    """Gives places in the order they were asked for. Times are monotonic seconds."""

    def __init__(self, places_max: int) -> None:
        self._places_max = places_max
        self._taken: set[Who] = set()
        self._waiting: OrderedDict[Who, float] = OrderedDict()  # until when

    def ask(self, who: Who, now_s: float) -> None:
        self._waiting[who] = now_s + PATIENCE_S

    def give_back(self, who: Who) -> None:
        """A connection is gone, whether it had a place, waited for one, or neither."""
        self._taken.discard(who)
        self._waiting.pop(who, None)

    def give_back_all(self, process: int) -> None:
        """A process is gone, and with it all its connections."""
        for who in [*self._taken, *self._waiting]:
            if who.process == process:
                self.give_back(who)

    def decide(self, now_s: float) -> list[tuple[Who, bool]]:
        """Return who gets a place, and who is to be refused because none came free in time."""
        decided = []
        while self._waiting:
            who, until_s = next(iter(self._waiting.items()))
            granted = len(self._taken) < self._places_max
            if not granted and now_s < until_s:
                break
            del self._waiting[who]
            if granted:
                self._taken.add(who)
            decided.append((who, granted))
        return decided

    @property
    def taken_count(self) -> int:
        return len(self._taken)

    @property
    def is_anybody_waiting(self) -> bool:
        return bool(self._waiting)
