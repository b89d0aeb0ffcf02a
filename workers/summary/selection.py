"""Pure: which frames a physician sees first, under a budget, with a reason for each.

1. Possible blood, 2. rare-looking frames: the strongest first, each a view of its own, up to
   their share of the budget.
3. Coverage: the usable frames are cut into equal stretches; a stretch without a key frame
   gets the best frame of its longest view. From this follows the stated bound.
4. What is left of the budget goes to the views that differ most from the key frames around
   them.
Whichever step chose it, a frame that is plainly as red as blood says so.
Unusable frames are never chosen while there is a usable one. Everything is deterministic:
equals are decided by the order of the recording.
"""

import heapq
import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gateway.model import KeyFrameReason
from workers.summary import interest, views
from workers.summary.features import Features
from workers.summary.views import SAME_VIEW, Candidates

BLOOD_SHARE, RARE_SHARE = 0.2, 0.25
"""Of the budget, at most."""
STRETCH_SHARE = 0.5
"""Stretches per key frame of the budget; with the two shares above never more than 1."""
STRETCH_FRAMES_MIN = 8
"""A stretch is not shorter: where hardly anything was recorded, fewer key frames do."""
_PLAINLY = 0.33
"""Of interest.blood: a twentieth of the field of view."""
_GOOD = 0.5
"""Quality from which a frame may represent others; below, it is there for coverage, or because
of blood, only. In a recording that is worse throughout, its own median counts."""


@dataclass(frozen=True)
class Choice:
    """frame_index: 0-based in the recording. score: 0 to 1, comparable within one reason.

    neighbour_count: usable frames of the same view, this one included.
    """

    frame_index: int
    reason: KeyFrameReason
    score: float
    neighbour_count: int


@dataclass(frozen=True)
class Selection:
    """choices: in time order.

    bound_frames: the promise; among any so many consecutive usable frames (decodable ones, if
    none is usable) one is a key frame.
    longest_gap_frames, longest_gap_ms: what came of it; the longest way from one key frame (or
    the start) to the next (or the end), all frames counted.
    """

    choices: Sequence[Choice]
    usable_count: int
    bound_frames: int
    longest_gap_frames: int
    longest_gap_ms: int


def select(features: Features, elapsed_ms: NDArray[np.int64], *, budget: int) -> Selection:
    """Choose at most `budget` key frames.

    features: graded, see workers.summary.quality. elapsed_ms: shape (frames,), since the first
    frame. Takes O(n log n) time.
    """
    among = views.candidates(features)
    if not len(among):
        return Selection((), 0, 0, len(features), int(np.ptp(elapsed_ms)) if len(features) else 0)
    budget = min(budget, len(among))
    quality = among.features["quality"].astype(np.float64)
    good = among.features["usable"] & (quality >= min(_GOOD, float(np.median(quality))))
    stretches = _stretches(len(among), budget)
    picks = _Picks(among, quality, good, reach=2 * int(stretches[1]))
    spacing = max(int(stretches[1]) // 4, 1)
    blood = interest.blood(among.features)
    _pick_strongest(
        picks, blood, KeyFrameReason.POSSIBLE_BLOOD,
        count=int(BLOOD_SHARE * budget), spacing=spacing,
    )  # fmt: skip
    # Foam and veils are the commonest strangers: here quality counts once more.
    rarity = interest.rarity(among.features) * picks.quality * picks.good
    _pick_strongest(
        picks, rarity, KeyFrameReason.RARE,
        count=int(RARE_SHARE * budget), spacing=spacing,
    )  # fmt: skip
    _cover(picks, stretches)
    _fill(picks, budget)
    picks.relabel(np.flatnonzero(blood >= _PLAINLY), KeyFrameReason.POSSIBLE_BLOOD, blood)
    bound = 2 * int(np.diff(stretches).max()) - 1
    return _selection(picks, elapsed_ms, bound)


def _stretches(count: int, budget: int) -> NDArray[np.int64]:
    """Return the borders of equal stretches of `count` candidates, 0 and count included."""
    number = min(math.ceil(STRETCH_SHARE * budget), max(count // STRETCH_FRAMES_MIN, 1))
    return np.arange(number + 1, dtype=np.int64) * count // number


@dataclass
class _Picks:
    """What was chosen so far, by position among the candidates.

    reach: how far apart two frames of the same view still count as shown twice.
    """

    among: Candidates
    quality: NDArray[np.float64]
    good: NDArray[np.bool_]
    reach: int
    positions: list[int] = field(default_factory=list)  # ascending
    reasons: dict[int, tuple[KeyFrameReason, float]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.positions)

    def add(self, position: int, reason: KeyFrameReason, score: float) -> None:
        insort(self.positions, position)
        self.reasons[position] = reason, score

    def relabel(
        self, positions: NDArray[np.int64], reason: KeyFrameReason, score: NDArray[np.float64]
    ) -> None:
        """Give those of the positions that are picks another reason."""
        for position in set(self.positions).intersection(positions.tolist()):
            self.reasons[position] = reason, float(score[position])

    def around(self, position: int) -> list[int]:
        """Return the picks next to a position, at most one on each side."""
        at = bisect_left(self.positions, position)
        return self.positions[max(at - 1, 0) : at + 1]

    def is_distinct(self, position: int) -> bool:
        """Tell whether a frame shows another view than the picks next to it."""
        return all(
            self.among.distance(position, one) > SAME_VIEW
            for one in self.around(position)
            if abs(position - one) <= self.reach
        )

    def any_within(self, start: int, end: int) -> bool:
        return bisect_left(self.positions, start) < bisect_left(self.positions, end)


def _pick_strongest(
    picks: _Picks,
    strength: NDArray[np.float64],
    reason: KeyFrameReason,
    *,
    count: int,
    spacing: int,
) -> None:
    """Pick up to `count` frames of other views with strength above 0, at least `spacing` apart."""
    score = strength * picks.quality
    best = picks.among.best_of_views(score)
    for position in best[np.argsort(-score[best], kind="stable")].tolist():
        if count <= 0 or score[position] <= 0:
            return
        apart = all(abs(position - one) >= spacing for one in picks.around(position))
        if apart and picks.is_distinct(position):
            picks.add(position, reason, float(score[position]))
            count -= 1


def _cover(picks: _Picks, stretches: NDArray[np.int64]) -> None:
    """Give every stretch without a pick the best frame of its longest distinct view."""
    for start, end in pairwise(stretches.tolist()):
        if picks.any_within(start, end):
            continue
        position = _most_seen(picks, start, end)
        good = picks.good[position] and picks.is_distinct(position)
        reason = KeyFrameReason.REPRESENTATIVE if good else KeyFrameReason.COVERAGE
        picks.add(position, reason, float(picks.quality[position]))


def _most_seen(picks: _Picks, start: int, end: int) -> int:
    """Return the frame of a stretch that shows most of it; a distinct one if there is any."""
    view = picks.among.view[start:end]
    quality = picks.quality[start:end]
    order = np.lexsort((np.arange(end - start), -quality, view))
    _, first, size = np.unique(view[order], return_index=True, return_counts=True)
    best = order[first]
    ranked = best[np.argsort(-size * quality[best], kind="stable")] + start
    for position in ranked.tolist():
        if picks.good[position] and picks.is_distinct(position):
            return int(position)
    return int(ranked[0])


def _fill(picks: _Picks, budget: int) -> None:
    """Spend the rest of the budget: again and again the gap with the newest view is split.

    A gap is split in its middle half, so that it shrinks by a quarter at least each time: that
    keeps the whole at O(n log n).
    """
    best = picks.among.best_of_views(picks.quality)
    best = best[picks.good[best]]
    borders = [-1, *picks.positions, len(picks.among)]
    heap = [split for gap in pairwise(borders) if (split := _split(picks, best, gap))]
    heapq.heapify(heap)
    while heap and len(picks) < budget:
        _, position, (start, end) = heapq.heappop(heap)
        picks.add(position, KeyFrameReason.REPRESENTATIVE, float(picks.quality[position]))
        for gap in ((start, position), (position, end)):
            if split := _split(picks, best, gap):
                heapq.heappush(heap, split)


def _split(
    picks: _Picks, best: NDArray[np.int64], gap: tuple[int, int]
) -> tuple[float, int, tuple[int, int]] | None:
    """Return (-value, position, gap) of the view in a gap that is newest against both its ends."""
    start, end = gap
    quarter = (end - start) // 4
    low, high = np.searchsorted(best, (start + 1 + quarter, end - quarter))
    inside = best[low:high]
    if not len(inside):
        return None
    newness = np.full(len(inside), np.inf)
    for one in (start, end):
        if 0 <= one < len(picks.among):
            newness = np.minimum(newness, picks.among.distances(one, inside))
    value = newness * picks.quality[inside] * math.sqrt(end - start)
    value[newness <= SAME_VIEW] = 0
    strongest = int(np.argmax(value))
    if value[strongest] <= 0:
        return None
    return -float(value[strongest]), int(inside[strongest]), gap


def _selection(picks: _Picks, elapsed_ms: NDArray[np.int64], bound: int) -> Selection:
    among, sizes = picks.among, picks.among.view_sizes()
    choices = tuple(
        Choice(int(among.frame_index[one]), *picks.reasons[one], int(sizes[among.view[one]]))
        for one in picks.positions
    )
    last = len(elapsed_ms) - 1
    shown = np.array([0, *(choice.frame_index for choice in choices), last])
    return Selection(
        choices=choices,
        usable_count=int(among.features["usable"].sum()),
        bound_frames=bound,
        longest_gap_frames=int(np.diff(shown).max()),
        longest_gap_ms=int(np.abs(np.diff(elapsed_ms[shown])).max()),
    )
