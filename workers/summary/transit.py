"""Pure: where the capsule was, told by the colour of the tissue over time.

A recording passes organs in one order, and each has a colour of its own: pale pink, red, yellow,
brown. So the borders are put where the colour changes most, given how long capsules usually
take. That is an estimate with a confidence, for a human to correct; it is no measurement.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gateway.model import Organ
from workers.summary.features import Features

FRAMES_MIN = 1000
"""Shorter recordings are not cut into organs."""
BLOCKS = 400
"""Equal stretches of the recording of which the mean colour counts."""
CONFIDENCE_MIN = 0.25
"""A border less certain is not told."""
_OUTSIDE_REDNESS_MAX = 0.15
_OUTSIDE_FRAMES_MAX = 3000  # of room and hands, before the capsule is swallowed
_OESOPHAGUS_FRAMES_MAX = 600
_OESOPHAGUS_FRAMES_MIN = 2
_PINK_MIN = 0.04  # by how much B/R is higher in the oesophagus than in the stomach
_SHARES = {Organ.STOMACH: 0.12, Organ.SMALL_BOWEL: 0.65, Organ.COLON: 0.23}
"""Of the frames, usually."""
_SHARE_SPREAD = 0.9  # standard deviation of its logarithm
_COLOUR_WEIGHT = 0.5
"""Blocks that follow each other are alike: a block counts as half an observation."""

Colours = NDArray[np.float64]


@dataclass(frozen=True)
class OrganStart:
    """first_frame: 0-based in the recording. end: of the frames of the organ, exclusive.
    confidence: 0 to 1, of the first frame."""

    organ: Organ
    first_frame: int
    end: int
    confidence: float


def spans(found: Sequence[OrganStart]) -> list[tuple[int, int]]:
    """Return (first frame, end) of everything inside the patient."""
    return [(one.first_frame, one.end) for one in found if one.organ is not Organ.OUTSIDE]


def segment(features: Features) -> list[OrganStart]:
    """Return the organs in order; empty if the recording is too short to tell.

    features: graded, of one recording.
    """
    count = len(features)
    if np.count_nonzero(features["usable"]) < FRAMES_MIN:
        return []
    swallowed = _swallowed(features)
    stomach = _stomach(features, swallowed)
    starts: list[tuple[Organ, int, float]] = []
    if swallowed:
        starts.append((Organ.OUTSIDE, 0, 1.0))
    if stomach - swallowed >= _OESOPHAGUS_FRAMES_MIN:
        starts.append((Organ.OESOPHAGUS, swallowed, 0.9 if swallowed else 0.5))
    confidence = _confidence(features, stomach, 60) if stomach > swallowed else 0.5
    starts.append((Organ.STOMACH, stomach, confidence))
    starts += _gut(features, stomach)
    ends = [first for _, first, _ in starts[1:]] + [count]
    return [
        OrganStart(organ, first, end, round(confidence, 2))
        for (organ, first, confidence), end in zip(starts, ends, strict=True)
    ]


def _swallowed(features: Features) -> int:
    """Return the first frame of a run that shows tissue: 0 if all of it does."""
    early = features[:_OUTSIDE_FRAMES_MAX]
    inside = (early["redness"] > _OUTSIDE_REDNESS_MAX) & (early["luminance"] > 0.03)
    inside &= early["decoded"]
    outside = np.flatnonzero(~inside & early["decoded"] & (early["luminance"] > 0.3))
    # The last frame that is plainly outside, if most before it are not plainly inside.
    for last in outside[::-1].tolist():
        if np.mean(inside[: last + 1]) < 0.5:
            return int(last) + 1
    return 0


def _stomach(features: Features, swallowed: int) -> int:
    """Return the frame at which the pale pink of the oesophagus ends; `swallowed` if nowhere."""
    early = features[swallowed : swallowed + 2 * _OESOPHAGUS_FRAMES_MAX]
    pink = _colours(early)[:, 2]
    seen = early["usable"] & (early["dark_share"] < 0.5)
    if np.count_nonzero(seen) < 10 * _OESOPHAGUS_FRAMES_MIN:
        return swallowed
    position, value = np.flatnonzero(seen), pink[seen]
    limit = int(np.count_nonzero(position < _OESOPHAGUS_FRAMES_MAX))
    total = np.cumsum(value)
    first = np.arange(_OESOPHAGUS_FRAMES_MIN, max(limit, _OESOPHAGUS_FRAMES_MIN + 1))
    first = first[first < len(value) - 1]
    before, after = total[first - 1] / first, (total[-1] - total[first - 1]) / (len(value) - first)
    gain = first * (len(value) - first) / len(value) * (before - after) ** 2
    gain[before - after < _PINK_MIN] = 0
    if not len(gain) or gain.max() <= 0:
        return swallowed
    return swallowed + int(position[first[int(np.argmax(gain))]])


def _colours(features: Features) -> Colours:
    """Return brightness, G/R and B/R of the tissue; shape (frames, 3)."""
    tissue = features["tissue"].astype(np.float64) + 1
    blue, green, red = tissue.T
    return np.stack([np.log(green), green / red, blue / red], axis=1)


def _gut(features: Features, stomach: int) -> list[tuple[Organ, int, float]]:
    """Return where small bowel and colon begin."""
    count = len(features) - stomach
    borders = stomach + np.arange(BLOCKS + 1) * count // BLOCKS
    colours = _colours(features)
    means = np.array(
        [
            _middle(colours[start:end], features["usable"][start:end])
            for start, end in pairwise(borders.tolist())
        ]
    )
    known = ~np.isnan(means[:, 0])
    means = means[known]
    if len(means) < BLOCKS // 4:
        return []
    starts = borders[:-1][known]
    spread = 1.4826 * np.median(np.abs(np.diff(means, axis=0)), axis=0) + 1e-3
    first, second = _two_borders(means / spread)
    found = []
    for organ, block in ((Organ.SMALL_BOWEL, first), (Organ.COLON, second)):
        confidence = _separation(means / spread, block)
        if confidence >= CONFIDENCE_MIN:
            found.append((organ, int(starts[block]), confidence))
    return found


def _middle(colours: Colours, usable: NDArray[np.bool_]) -> Colours:
    seen = colours[usable]
    return np.median(seen, axis=0) if len(seen) else np.full(3, np.nan)


def _two_borders(means: Colours) -> tuple[int, int]:
    """Return the two blocks at which three stretches of even colour meet best."""
    count = len(means)
    total = np.concatenate([np.zeros((1, 3)), np.cumsum(means, axis=0)])
    squares = np.concatenate([[0], np.cumsum((means**2).sum(axis=1))])
    start, end = np.triu_indices(count + 1, 1)
    length = end - start
    error = squares[end] - squares[start]
    error -= ((total[end] - total[start]) ** 2).sum(axis=1) / length
    cost = np.full((count + 1, count + 1), np.inf)
    cost[start, end] = _COLOUR_WEIGHT * error / 2
    unusual = {
        organ: ((np.log(np.arange(1, count + 1) / count / share) / _SHARE_SPREAD) ** 2) / 2
        for organ, share in _SHARES.items()
    }
    best, borders = np.inf, (count // 8, count * 3 // 4)
    for first in range(2, count - 4):
        second = np.arange(first + 2, count - 1)
        value = cost[0, first] + unusual[Organ.STOMACH][first - 1]
        values = value + cost[first, second] + unusual[Organ.SMALL_BOWEL][second - first - 1]
        values += cost[second, count] + unusual[Organ.COLON][count - second - 1]
        lowest = int(np.argmin(values))
        if values[lowest] < best:
            best, borders = float(values[lowest]), (first, int(second[lowest]))
    return borders


def _separation(means: Colours, block: int, reach: int = 20) -> float:
    """Return 0 to 1: how far the colours on both sides of a border are apart."""
    before, after = means[max(block - reach, 0) : block], means[block : block + reach]
    spread = np.sqrt((before.var(axis=0) + after.var(axis=0)) / 2) + 0.5
    apart = np.abs(np.median(before, axis=0) - np.median(after, axis=0)) / spread
    return float(1 - np.exp(-np.sqrt((apart**2).sum()) / 2))


def _confidence(features: Features, border: int, reach: int) -> float:
    """The same for a border between single frames."""
    around = features[max(border - reach, 0) : border + reach]
    colours = _colours(around) / np.array([0.2, 0.03, 0.03])
    return _separation(colours, min(border, reach), reach)
