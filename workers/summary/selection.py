"""Pure: which frames a physician sees first, under a budget, with a reason for each.

1. One frame of every organ that was told apart, and the likeliest landmarks.
2. The strongest views, each once: what looks odd for its time or is as red as blood. As many as
   leave room for 3.
3. Coverage: wherever more than the stated bound of frames has no key frame, the best one there.
4. What is left of the budget splits the widest gaps.
Unusable frames are never chosen while there is a usable one. Everything is deterministic:
equals are decided by the order of the recording.
"""

import heapq
import math
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gateway.model import KeyFrameReason
from workers.summary import interest, views
from workers.summary.features import Features
from workers.summary.views import SAME_VIEW, Candidates

BOUND_SHARE = 5
"""No more than so many times (frames / budget) frames go without a key frame."""
_BOUND_FRAMES_MIN = 8
LANDMARK_SHARE = 0.06
"""Of the budget, at most, for what looks like a landmark."""
_NEARLY_SAME = 0.5 * SAME_VIEW
"""Two key frames chosen for what they show differ by more than this."""
_SPACING_MAX = 15  # frames: longer than most findings are in view
_PLAINLY = 0.33
"""Of interest.blood: a twentieth of the field of view."""
_GOOD = 0.5
"""Quality from which a frame may represent others; below, it is there for coverage only. In a
recording that is worse throughout, its own median counts."""

Score = NDArray[np.float64]


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

    bound_frames: the promise; of any so many consecutive frames of the recording one is a key
    frame, unless none of them is usable (decodable, if none at all is usable).
    longest_gap_frames, longest_gap_ms: what came of it; the longest way from one key frame (or
    the start) to the next (or the end), all frames counted.
    """

    choices: Sequence[Choice]
    usable_count: int
    bound_frames: int
    longest_gap_frames: int
    longest_gap_ms: int


def select(
    features: Features,
    elapsed_ms: NDArray[np.int64],
    *,
    budget: int,
    organs: Sequence[tuple[int, int]] = (),
) -> Selection:
    """Choose at most `budget` key frames.

    features: graded, see workers.summary.quality. elapsed_ms: shape (frames,), since the first
    frame. organs: (first frame, end) of each organ, see workers.summary.transit; its first
    frame is a landmark. Takes O(n log n) time.
    """
    among = views.candidates(features)
    if not len(among):
        return Selection((), 0, 0, len(features), int(np.ptp(elapsed_ms)) if len(features) else 0)
    picks = _Picks(among, len(features), min(budget, len(among)))
    _organs(picks, organs)
    _landmarks(picks)
    blood = interest.blood(among.features)
    _strongest(picks, interest.strength(among.features, blood))
    _cover(picks)
    _split_gaps(picks)
    if not picks.positions:
        best = int(np.argmax(picks.quality))
        picks.add(best, KeyFrameReason.COVERAGE, float(picks.quality[best]))
    picks.relabel(np.flatnonzero(blood >= _PLAINLY), KeyFrameReason.POSSIBLE_BLOOD, blood)
    return _selection(picks, elapsed_ms)


@dataclass
class _Picks:
    """What was chosen so far, by position among the candidates."""

    among: Candidates
    frame_count: int
    budget: int
    positions: list[int] = field(default_factory=list)  # ascending
    reasons: dict[int, tuple[KeyFrameReason, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.at = self.among.frame_index
        self.quality = self.among.features["quality"].astype(np.float64)
        good = min(_GOOD, float(np.median(self.quality)))
        self.good = self.among.features["usable"] & (self.quality >= good)
        self.bound = max(math.ceil(BOUND_SHARE * self.frame_count / self.budget), _BOUND_FRAMES_MIN)
        spacing = math.isqrt(max(self.frame_count // self.budget, 1))
        self.spacing = min(spacing, _SPACING_MAX)
        self.needed = self._need(-1, len(self.at))

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def room(self) -> int:
        """How many may be added when coverage is to be kept."""
        return self.budget - len(self) - self.needed

    def add(self, position: int, reason: KeyFrameReason, score: float) -> None:
        before, after = self._gap(position)
        self.needed -= self._need(before, after)
        self.needed += self._need(before, position) + self._need(position, after)
        insort(self.positions, position)
        self.reasons[position] = reason, score

    def relabel(self, positions: NDArray[np.int64], reason: KeyFrameReason, score: Score) -> None:
        """Give those of the positions that are picks another reason."""
        for position in set(self.positions).intersection(positions.tolist()):
            self.reasons[position] = reason, float(score[position])

    def frames_between(self, start: int, end: int) -> int:
        """Return how far the recording goes from one candidate to another; -1 and their count
        are the beginning and the end of it."""
        first = int(self.at[start]) if start >= 0 else -1
        last = int(self.at[end]) if end < len(self.at) else self.frame_count
        return last - first

    def is_distinct(self, position: int, unlike: float) -> bool:
        """Tell whether a frame is apart from the picks next to it, and shows another view."""
        ends = [one for one in self._gap(position) if 0 <= one < len(self.at)]
        return all(
            self.frames_between(min(one, position), max(one, position)) >= self.spacing
            and self.among.distance(position, one) > unlike
            for one in ends
        )

    def _gap(self, position: int) -> tuple[int, int]:
        at = bisect_left(self.positions, position)
        before = self.positions[at - 1] if at else -1
        return before, self.positions[at] if at < len(self.positions) else len(self.among)

    def _need(self, start: int, end: int) -> int:
        """Return how many picks keep the bound within a gap, wherever the good frames are."""
        gap = self.frames_between(start, end)
        return 0 if gap <= self.bound else 2 * (gap - 1) // self.bound


def _organs(picks: _Picks, organs: Iterable[tuple[int, int]]) -> None:
    """Show every organ: the best of its first frames."""
    for first, end in organs:
        start, stop = np.searchsorted(picks.at, (first, min(end, first + picks.bound)))
        if start < stop and len(picks) < picks.budget:
            best = int(start + np.argmax(picks.quality[start:stop]))
            if best not in picks.reasons:
                picks.add(best, KeyFrameReason.LANDMARK, float(picks.quality[best]))


def _landmarks(picks: _Picks) -> None:
    odds = picks.among.features["landmark"].astype(np.float64)
    likely = np.where((odds > interest.LANDMARK_MIN) & picks.good, _chance(odds), 0)
    _pick(
        picks, likely, math.ceil(LANDMARK_SHARE * picks.budget), lambda _: KeyFrameReason.LANDMARK
    )


def _strongest(picks: _Picks, strength: Score) -> None:
    usual = float(np.median(strength))

    def reason(position: int) -> KeyFrameReason:
        rare = strength[position] > usual
        return KeyFrameReason.RARE if rare else KeyFrameReason.REPRESENTATIVE

    _pick(picks, strength * picks.good, picks.budget, reason)


def _pick(picks: _Picks, score: Score, count: int, reason: Callable[[int], KeyFrameReason]) -> None:
    """Pick up to `count` distinct frames, the highest scores above 0 first."""
    order = np.argsort(-score, kind="stable")
    for position in order[score[order] > 0].tolist():
        if count <= 0 or picks.room <= 0:
            return
        if picks.is_distinct(position, _NEARLY_SAME):
            picks.add(position, reason(position), float(score[position]))
            count -= 1


def _cover(picks: _Picks) -> None:
    """Keep the bound: in a gap that is too wide, the best of the last frames that still do."""
    for start, end in list(pairwise([-1, *picks.positions, len(picks.at)])):
        while picks.frames_between(start, end) > picks.bound and len(picks) < picks.budget:
            last = (int(picks.at[start]) if start >= 0 else -1) + picks.bound
            low, high = np.searchsorted(picks.at, (last - picks.bound // 2, last + 1))
            low, high = max(int(low), start + 1), min(int(high), end)
            if low >= high:  # nothing good there: as far as it goes, or the next there is
                low = max(high - 1, start + 1)
                high = low + 1
            if low >= end:
                break
            start = low + int(np.argmax(picks.quality[low:high]))
            distinct = picks.good[start] and picks.is_distinct(start, SAME_VIEW)
            reason = KeyFrameReason.REPRESENTATIVE if distinct else KeyFrameReason.COVERAGE
            picks.add(start, reason, float(picks.quality[start]))


def _split_gaps(picks: _Picks) -> None:
    """Spend the rest of the budget: again and again the widest gap is split."""
    heap = [
        (-picks.frames_between(*gap), gap)
        for gap in pairwise([-1, *picks.positions, len(picks.at)])
    ]
    heapq.heapify(heap)
    while heap and len(picks) < picks.budget:
        _, (start, end) = heapq.heappop(heap)
        quarter = (end - start) // 4
        low, high = start + 1 + quarter, end - quarter
        inside = np.arange(low, high)[picks.good[low:high]]
        inside = inside[np.argsort(-picks.quality[inside], kind="stable")][:4]
        found = [one for one in inside.tolist() if picks.is_distinct(one, SAME_VIEW)]
        if found:
            score = float(picks.quality[found[0]])
            picks.add(found[0], KeyFrameReason.REPRESENTATIVE, score)
            for gap in ((start, found[0]), (found[0], end)):
                heapq.heappush(heap, (-picks.frames_between(*gap), gap))


def _chance(odds: Score) -> Score:
    chance: Score = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
    return chance


def _selection(picks: _Picks, elapsed_ms: NDArray[np.int64]) -> Selection:
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
        bound_frames=picks.bound,
        longest_gap_frames=int(np.diff(shown).max()),
        longest_gap_ms=int(np.abs(np.diff(elapsed_ms[shown])).max()),
    )
