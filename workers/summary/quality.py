"""Pure: which frames are worth looking at.

Thresholds were set by eye on clips of several capsules; they are meant to sort out what nobody
can judge (dark, burnt out, broken, outside the patient, nothing but foam), not to be strict.
"""

import numpy as np
from numpy.typing import NDArray

from workers.summary.features import Features

_LUMINANCE = (0.07, 0.16, 0.60, 0.72)
"""Below the first and above the last a frame is unusable; between the inner two it is ideal."""
_BRIGHT_SHARE_MAX = 0.15
_DARK_SHARE_MAX = 0.75
_LOST_SHARE_MAX = 0.06
_BUSY_SHARE_MAX = 0.50
_MUCOSA_SHARE_MIN = 0.25
_VEIL_COUNTS_MAX = 0.8
"""What was learned may lower the quality so far; it alone makes no frame unusable."""
_BLOCK, _AROUND = 32, 48
"""Frames. What counts as sharp depends on what is in view: each block is compared with what lies
around it on both sides, since smooth mucosa in perfect focus is no sharper than a blurred fold.
A minute or so: a capsule that is blurred by its motion or a veil seldom is for longer."""
_BLURRED = 0.85
"""Sharpness below this share of the neighbours' median lowers the quality."""


def grade(features: Features) -> None:
    """Fill in the columns usable and quality."""
    usable = _usable(features)
    exposure = np.interp(features["luminance"], _LUMINANCE, (0.3, 1, 1, 0.3))
    visible = np.clip(features["mucosa_share"] / 0.8, 0, 1)
    covered = np.maximum(features["busy_share"] / 2, features["veil_share"])
    clear = 1 - np.clip(covered, 0, _VEIL_COUNTS_MAX)
    quality = exposure * visible * clear * _focus(features)
    features["usable"] = usable
    features["quality"] = np.where(usable, np.maximum(quality, 0.01), 0)


def _usable(features: Features) -> NDArray[np.bool_]:
    luminance = features["luminance"]
    usable: NDArray[np.bool_] = (
        features["decoded"]
        & (luminance >= _LUMINANCE[0])
        & (luminance <= _LUMINANCE[-1])
        & (features["bright_share"] <= _BRIGHT_SHARE_MAX)
        & (features["dark_share"] <= _DARK_SHARE_MAX)
        & (features["lost_share"] <= _LOST_SHARE_MAX)
        & (features["busy_share"] <= _BUSY_SHARE_MAX)
        & (features["mucosa_share"] >= _MUCOSA_SHARE_MIN)
    )
    return usable


def _focus(features: Features) -> NDArray[np.float64]:
    """Return 1 for frames as sharp as those around them, less for blurred ones."""
    sharpness = features["sharpness"].astype(np.float64)
    usual = np.zeros(len(sharpness))
    for start in range(0, len(sharpness), _BLOCK):
        around = sharpness[max(start - _AROUND, 0) : start + _BLOCK + _AROUND]
        usual[start : start + _BLOCK] = np.median(around)
    focus: NDArray[np.float64] = sharpness / np.maximum(_BLURRED * usual, 1e-6)
    return np.clip(focus, 0.2, 1)
