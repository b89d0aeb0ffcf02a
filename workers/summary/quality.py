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
_WINDOW = 15
"""Frames. What counts as sharp depends on what is in view: each is compared with the frames
around it, since smooth mucosa in perfect focus is no sharper than a blurred fold."""
_BLURRED = 0.85
"""Sharpness below this share of the neighbours' median lowers the quality."""


def grade(features: Features) -> None:
    """Fill in the columns usable and quality."""
    usable = _usable(features)
    exposure = np.interp(features["luminance"], _LUMINANCE, (0.3, 1, 1, 0.3))
    visible = np.clip(features["mucosa_share"] / 0.8, 0, 1)
    clear = 1 - np.clip(features["busy_share"], 0, 1) / 2
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
    if not len(sharpness):
        return sharpness
    padded = np.pad(sharpness, _WINDOW // 2, mode="edge")
    around = np.median(np.lib.stride_tricks.sliding_window_view(padded, _WINDOW), axis=1)
    relative = sharpness / np.maximum(around, 1e-6)
    focus: NDArray[np.float64] = np.clip(relative / _BLURRED, 0.2, 1)
    return focus
