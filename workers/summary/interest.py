"""Pure: which frames hold odd spots or look unlike those around, which are as red as blood.

Neither is a finding: both only say that a human should look.
"""

import numpy as np
from numpy.typing import NDArray

from workers.summary.features import Features

BLOOD_SHARE_MIN = 0.01
"""Of the field of view. Measured on real clips: 95 % of frames without blood stay below 0.004,
the median of clips with fresh blood is 0.03 to 0.35."""
_BLOOD_SHARE_FULL = 0.15

RARE_MIN = 4.0
"""Robust standard deviations from which a frame counts as rare-looking."""
_RARE_FULL = 12.0
_BLOCK = 256
"""Candidates. Each block is compared with itself and its two neighbours, a few minutes of
recording: long enough to know what is usual there, short enough to stay in one organ."""
_SPREAD_MIN = {"red_spot": 0.02, "pale_spot": 0.02, "redness": 0.015}
_CHROMA_SPREAD_MIN = 0.04
"""Spreads are not taken for smaller than this: in a still picture every flicker would be rare."""


LANDMARK_MIN = 0.0
"""Log odds from which a frame may show a landmark."""
_ODD_USUAL, _ODD_BLOCK, _ODD_AROUND = 1.0, 20, 60
"""How much of what is usual around a frame is taken off its oddness; usual is the median of a
block of frames with those around it on both sides."""
_BLOOD_ODDS = 2.0
"""Log odds that a frame as red as blood gains."""


def strength(features: Features, bloody: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much a frame should be looked at, 0 to 1; shape (frames,). bloody: see blood."""
    odd = features["odd"].astype(np.float64)
    if not odd.any():  # nothing was learned
        instead: NDArray[np.float64] = np.maximum(rarity(features), bloody) * features["quality"]
        return instead
    usual = np.zeros(len(odd))
    for start in range(0, len(odd), _ODD_BLOCK):
        around = odd[max(start - _ODD_AROUND, 0) : start + _ODD_BLOCK + _ODD_AROUND]
        usual[start : start + _ODD_BLOCK] = np.median(around)
    odds = odd - _ODD_USUAL * usual + _BLOOD_ODDS * bloody
    chance: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
    return chance


def blood(features: Features) -> NDArray[np.float64]:
    """Return 0 where nothing is as red as blood, up to 1 for much of it; shape (frames,)."""
    share = features["blood_share"].astype(np.float64)
    return np.where(share >= BLOOD_SHARE_MIN, np.clip(share / _BLOOD_SHARE_FULL, 0.05, 1), 0)


def rarity(features: Features) -> NDArray[np.float64]:
    """Return 0 for what is usual at its time, up to 1 for the strangest; shape (frames,)."""
    deviation = np.zeros(len(features))
    for start in range(0, len(features), _BLOCK):
        block = slice(start, start + _BLOCK)
        around = features[max(start - _BLOCK, 0) : start + 2 * _BLOCK]
        strangest = _chroma_deviation(features[block], around)
        for column, spread_min in _SPREAD_MIN.items():
            values = features[block][column]
            strangest = np.maximum(strangest, _deviation(values, around[column], spread_min))
        deviation[block] = strangest
    return np.where(deviation >= RARE_MIN, np.clip(deviation / _RARE_FULL, 0, 1), 0)


def _deviation(
    values: NDArray[np.float32], around: NDArray[np.float32], spread_min: float
) -> NDArray[np.float64]:
    """Return how many robust standard deviations values lie from the median around them."""
    middle = np.median(around)
    spread = 1.4826 * np.median(np.abs(around - middle))  # of a normal distribution: its sigma
    deviation: NDArray[np.float64] = np.abs(values - middle) / max(spread, spread_min)
    return deviation


def _chroma_deviation(block: Features, around: Features) -> NDArray[np.float64]:
    """The same for the colour histogram: by its distance from the median histogram."""
    usual = np.median(around["chroma"], axis=0)
    own = np.abs(block["chroma"] - usual).sum(axis=1) / 510
    others = np.abs(around["chroma"] - usual).sum(axis=1) / 510
    return _deviation(own, others, _CHROMA_SPREAD_MIN)
