"""Pure: runs of frames that show the same view, so that one of them can stand for all."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.summary.features import Features

SAME_VIEW = 10.0
"""Two frames show the same view if their layouts differ by no more: mean absolute difference of
8 x 8 mean colours at the same brightness, levels of 255. Neighbours in real clips differ by 3
to 20."""
_BRIGHTNESS = 85.0
"""Mean luma, of 255, that layouts are brought to: the light of a capsule flickers."""
_GAIN_MAX = 2.0
_AT_ONCE = 4096
"""Frames whose layouts are held as floating point numbers."""


@dataclass(frozen=True)
class Candidates:
    """The frames to choose from, in the order of the recording. Positions count in these arrays.

    frame_index: shape (candidates,), 0-based in the recording. view: shape (candidates,), number
    of the view each belongs to, ascending from 0. features: shape (candidates,). layout: shape
    (candidates, 8, 8, 3), uint8, at the same brightness.
    """

    frame_index: NDArray[np.int64]
    view: NDArray[np.int64]
    features: Features
    layout: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.frame_index)

    def distance(self, position: int, other: int) -> float:
        """Return how much two frames differ, as SAME_VIEW does."""
        total = cv2.norm(self.layout[position], self.layout[other], cv2.NORM_L1)
        return total / int(self.layout[0].size)

    def view_sizes(self) -> NDArray[np.int64]:
        """Return the number of frames of each view; shape (views,)."""
        return np.bincount(self.view)


def candidates(features: Features) -> Candidates:
    """Take the usable frames, or every decodable one if none is usable, and find their views."""
    index = np.flatnonzero(features["usable"])
    if not len(index):
        index = np.flatnonzero(features["decoded"])
    kept = features[index]
    layout = _evenly_lit(kept)
    return Candidates(index, _views(layout), kept, layout)


def _evenly_lit(features: Features) -> NDArray[np.uint8]:
    gain = _BRIGHTNESS / np.maximum(features["luminance"] * 255, 1)
    gain = np.clip(gain, 1 / _GAIN_MAX, _GAIN_MAX).astype(np.float32)[:, None, None, None]
    lit = np.empty(features["layout"].shape, np.uint8)
    for start in range(0, len(lit), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        lit[some] = np.minimum(features["layout"][some] * gain[some], 255)
    return lit


def _views(layout: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Number the views. A view ends where a frame differs from its first one, so that a slow
    drift does not become one long view."""
    starts = np.zeros(len(layout), np.int64)
    limit = SAME_VIEW * math.prod(layout.shape[1:])
    anchor = 0
    for position in range(1, len(layout)):
        if cv2.norm(layout[anchor], layout[position], cv2.NORM_L1) > limit:
            anchor = position
            starts[position] = 1
    return np.cumsum(starts)
