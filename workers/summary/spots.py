"""Pure: places in a frame that do not look like what lies around them.

Each place of a coarse grid is described by how its colour differs from ever larger surroundings
and by how fine its detail is; a small network says how odd that is. The description is put in
units of what is usual in the recording itself, so that a capsule's colours do not matter.

An odd place is no finding: it says that a human should look.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.summary.content_area import Mask

GRID = 40
"""Places along each side of the field of view."""
WINDOWS = (3, 6, 12, 24)
"""Widths of the surroundings, in places: 3 x 3 cells of grids each half as fine as the last."""
_COLOUR = 3
LAYERS = _COLOUR * (1 + len(WINDOWS)) + 4
"""Bytes a place is described by, see SpotFinder.describe."""
MEASURES = LAYERS + _COLOUR + 1
"""Numbers the network takes: differences of layers, the frame's mean taken off, the radius."""

_LOG = np.rint(80 * (np.log(np.arange(256) + 12.0) - np.log(12.0))).clip(0, 255).astype(np.uint8)
"""Of a colour value: a step of 1 is 1.25 %; the addend keeps the noise of dark pixels small."""
_ZERO = 96
"""A colour difference of none; red above green and green above blue are positive."""
_RADIUS_STEPS = 100
_NOISE = 0.3
_SPREAD_MIN = 1.5
"""Spreads are not taken for smaller: among pictures that are all alike, all else would be odd."""

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class Weights:
    """What was learned, by tests/bench/summary/train.py; docs/summary.md says from what.

    A network of two layers: `first` (MEASURES, hidden), `second` (hidden, 3). Its outputs are
    the log odds of an odd spot, of a landmark, and of bubbles or debris."""

    first: Numbers
    first_bias: Numbers
    second: Numbers
    second_bias: Numbers

    def fitted_to(self, usual: Numbers, spread: Numbers) -> "Weights":
        """Return the same network for layers and radius as they are, in bytes.

        usual, spread: of the measures in this recording, see `usual`.
        """
        first = self.first / spread[:, None]
        return Weights(
            (_differences() @ first).astype(np.float32),
            (self.first_bias - usual @ first).astype(np.float32),
            self.second,
            self.second_bias,
        )

    def __call__(self, values: Numbers) -> Numbers:
        """Return log odds; shape (places, 3). values: shape (places, MEASURES)."""
        hidden = values @ self.first
        hidden += self.first_bias
        np.maximum(hidden, 0, out=hidden)
        odds: Numbers = np.asarray(hidden @ self.second + self.second_bias, np.float32)
        return odds


@cache
def _differences() -> Numbers:
    """Return what makes measures of (layers, mean of the frame, radius); square matrix."""
    matrix = np.eye(MEASURES, dtype=np.float32)
    surroundings = _COLOUR * len(WINDOWS)
    for layer in range(surroundings):  # each against the next larger
        matrix[layer + _COLOUR, layer] = -1
    mean = LAYERS
    for colour in range(_COLOUR):  # the largest against the frame
        matrix[mean + colour, surroundings + colour] = -1
    # The mean itself: exchanged for the smallest surroundings as they are.
    for colour in range(_COLOUR):
        matrix[:, mean + colour] = 0
        matrix[_COLOUR + colour, mean + colour] = 1
    return matrix


def measures(values: Numbers) -> Numbers:
    """Return what the network is trained on; shape (places, MEASURES)."""
    return values @ _differences()


class SpotFinder:
    """Describes the places of frames of one geometry, several frames at once."""

    def __init__(self, area: Mask) -> None:
        """area: the field of view as a GRID x GRID mask, 255 where the whole place counts."""
        self.inside = cv2.erode(
            (area > 250).astype(np.uint8),
            np.ones((3, 3), np.uint8),
            borderType=cv2.BORDER_CONSTANT,
            borderValue=0,
        )
        self._count = max(int(self.inside.sum()), 1)
        # Every second place, as on a chessboard: neighbours say nearly the same.
        chess = np.add.outer(np.arange(GRID), np.arange(GRID)) % 2 == 0
        self.places: NDArray[np.int64] = np.flatnonzero((self.inside > 0) & chess)
        row, column = np.divmod(self.places, GRID)
        radius = np.hypot(row - (GRID - 1) / 2, column - (GRID - 1) / 2) / (GRID / 2)
        self._radius = (radius * _RADIUS_STEPS).astype(np.float32)
        # Where each place lies on each of the coarser grids.
        self._cells = [
            row // step * (GRID // step) + column // step
            for step in (1 << level for level in range(len(WINDOWS)))
        ]
        self._inside3 = np.broadcast_to(self.inside[..., None] > 0, (GRID, GRID, _COLOUR))

    def describe(self, small: Bytes, fine: Bytes) -> Numbers:
        """Return the values of each place; shape (frames, places, MEASURES).

        small: frames at GRID x GRID; shape (frames, GRID, GRID, 3). fine: small bright spots and
        detail of them, both as sums over the place; shape (frames, GRID, GRID, 2).
        Layers are colour (brightness, red against green, green against blue) of the place and of
        each of its surroundings, `fine`, `fine` of its surroundings. The mean colour of the frame
        and the radius follow.
        """
        count = len(small)
        blue, green, red = cv2.split(cv2.LUT(small.reshape(-1, GRID, 3), _LOG))
        colour = cv2.merge(
            [
                green,
                cv2.addWeighted(red, 1, green, -1, _ZERO),
                cv2.addWeighted(green, 1, blue, -1, _ZERO),
            ]
        ).reshape(count, GRID, GRID, _COLOUR)
        colour = np.asarray(colour, np.uint8)
        seen = colour * self._inside3
        mean = seen.reshape(count, -1, _COLOUR).sum(axis=1, dtype=np.uint32) / self._count
        # The rim shall be nothing special.
        outside = np.rint(mean).astype(np.uint8)[:, None, None]
        filled: Bytes = np.asarray(np.where(self._inside3, colour, outside), np.uint8)
        values = np.empty((count, len(self.places), MEASURES), np.float32)
        values[..., :_COLOUR] = filled.reshape(count, -1, _COLOUR)[:, self.places]
        level = filled
        for number, cells in enumerate(self._cells):
            level = _halved(level) if number else level
            layer = _COLOUR * (number + 1)
            around = blurred(level).reshape(count, -1, _COLOUR)
            values[..., layer : layer + _COLOUR] = around[:, cells]
        at = LAYERS - 4
        values[..., at : at + 2] = fine.reshape(count, -1, 2)[:, self.places]
        around = blurred(_halved(_halved(fine))).reshape(count, -1, 2)
        values[..., at + 2 : at + 4] = around[:, self._cells[2]]
        values[..., LAYERS:-1] = mean[:, None]
        values[..., -1] = self._radius
        return values


def _halved(grid: Bytes) -> Bytes:
    """Return frames at half the size; shape (frames, rows, columns, channels)."""
    count, rows, columns, channels = grid.shape
    tall = cv2.resize(
        grid.reshape(-1, columns, channels),
        (columns // 2, count * rows // 2),
        interpolation=cv2.INTER_AREA,
    )
    return np.asarray(tall.reshape(count, rows // 2, columns // 2, channels), np.uint8)


def blurred(grid: Bytes) -> Bytes:
    """Return the mean of 3 x 3 places; frames do not touch each other."""
    count, rows, columns, channels = grid.shape
    apart = np.empty((count, rows + 2, columns, channels), np.uint8)
    apart[:, 1:-1] = grid
    apart[:, 0], apart[:, -1] = grid[:, 0], grid[:, -1]
    tall = cv2.blur(apart.reshape(-1, columns, channels), (3, 3), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(tall.reshape(apart.shape)[:, 1:-1], np.uint8)


def usual(values: Numbers) -> tuple[Numbers, Numbers]:
    """Return median and spread of each measure; shapes (MEASURES,).

    values: of places of sample frames; shape (places, MEASURES), at least one.
    """
    sampled = measures(values)
    middle = np.median(sampled, axis=0)
    spread = 1.25 * np.abs(sampled - middle).mean(axis=0) + _NOISE
    spread = np.maximum(spread, _SPREAD_MIN)
    return middle.astype(np.float32), spread.astype(np.float32)
