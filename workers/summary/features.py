"""Pure: what one reduced decode of a frame says about it, as one record of numbers.

Frames are looked at one by one and in order; nothing but the record is kept. What to make of
the numbers is for workers.summary.quality and .selection.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.summary import spots
from workers.summary.content_area import Image, Mask, content_area
from workers.summary.spots import Bytes, Numbers, SpotFinder, Weights

GRID = 8
CHROMA_BINS = (8, 4)

FEATURES = np.dtype(
    [
        # All shares are of the content area, 0 to 1. A frame that is not decodable is all zero.
        ("decoded", "?"),
        ("usable", "?"),  # filled in by workers.summary.quality.grade
        ("quality", "<f4"),  # the same; 0 to 1, above 0 only if usable
        ("luminance", "<f4"),  # mean luma, 0 to 1
        ("dark_share", "<f4"),  # pixels too dark to judge
        ("bright_share", "<f4"),  # pixels burnt out, reflections included
        ("lost_share", "<f4"),  # rows without any picture at the lower end: a broken transmission
        ("sharpness", "<f4"),  # mean absolute Laplacian of the luma over its mean; 0 to about 1
        ("busy_share", "<f4"),  # bubbles, foam, food, debris: detail too dense for mucosa
        ("mucosa_share", "<f4"),  # lit, warm coloured, not busy
        ("redness", "<f4"),  # mean of 1 - G/R over lit pixels, 0 to 1
        ("blood_share", "<f4"),  # pixels as red as blood, whatever the organ's colour
        ("red_spot", "<f4"),  # redness of the reddest spot above the mean, 0 to 1
        ("pale_spot", "<f4"),  # redness of the palest spot below the mean, 0 to 1
        ("difference", "<f4"),  # mean absolute luma difference to the previous frame, 0 to 1
        ("tissue", "u1", (3,)),  # mean colour of the lit pixels, BGR
        ("odd", "<f4"),  # log odds of the oddest spot, see workers.summary.spots; 0 without weights
        ("odd_at", "u1", (2,)),  # where it is: column, row; percent of the frame's sides
        ("landmark", "<f4"),  # log odds of a landmark
        ("veil_share", "<f4"),  # places that look like bubbles or debris; 0 without weights
        ("chroma", "u1", (CHROMA_BINS[0] * CHROMA_BINS[1],)),  # histogram, share x 255; see _chroma
        ("layout", "u1", (GRID, GRID, 3)),  # mean colour by position, BGR, 0 outside the field
    ]
)

Features = NDArray[np.void]
"""Shape (frames,), dtype FEATURES, in the order of the recording."""

_DARK, _BRIGHT = 28, 240  # luma, of 255
_BUSY = 20  # absolute Laplacian, luma levels, averaged over 5 x 5 reduced pixels
_BLOOD_GREEN, _BLOOD_BLUE, _BLOOD_RED = 0.40, 0.10, 50
"""Blood: G/R at most, B/R at least, R at least (of 255). Normal mucosa lies at G/R 0.5 to 0.7,
blood at 0.3 to 0.4; deep folds reach 0.4 as well, but there blue is gone altogether."""
_WARM_GREEN, _WARM_BLUE = 0.98, 0.90
"""Mucosa: G/R and B/R at most. Bile and food are greener, everything outside is bluer."""
_SAMPLED = 4  # of the places of a sample frame every so many-th is taken
_TOP = 8  # places whose mean tells a landmark
_HALF = 128
_APART = 4  # rows between frames that lie under each other
_FINE_KERNEL = np.ones((5, 5), np.uint8)
BATCH = 32
"""Frames looked at together: the cost of each call is shared."""
_FAINT = -30.0
"""Log odds where no spot can be."""
_SPOT_KERNEL = np.ones((3, 3), np.uint8)
_REDUCTIONS = {
    8: cv2.IMREAD_REDUCED_COLOR_8,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    2: cv2.IMREAD_REDUCED_COLOR_2,
}
_SHORT_SIDE = 56
"""Reduced frames keep at least so many pixels on their short side."""


@dataclass(frozen=True)
class Reduction:
    """How small frames of one geometry are decoded: flag of cv2.imdecode, (rows, columns)."""

    flag: int
    shape: tuple[int, int]

    @classmethod
    def of(cls, rows: int, columns: int) -> "Reduction":
        """Return the strongest reduction that leaves _SHORT_SIDE pixels."""
        factor = next((one for one in _REDUCTIONS if min(rows, columns) >= one * _SHORT_SIDE), 1)
        return cls(
            _REDUCTIONS.get(factor, cv2.IMREAD_COLOR), (-(-rows // factor), -(-columns // factor))
        )

    def decode(self, stream: bytes) -> Image | None:
        """Return the picture of a JPEG stream; None if it has none of this geometry."""
        flag = self.flag | cv2.IMREAD_IGNORE_ORIENTATION
        try:
            image = cv2.imdecode(np.frombuffer(stream, np.uint8), flag)
        except cv2.error:  # an empty buffer
            return None
        return image if image is not None and image.shape[:2] == self.shape else None


@dataclass(frozen=True)
class Surroundings:
    """What some frames of a recording, spread over it, say about all of them.

    area: the field of view, of the reduced shape. usual, spread: see workers.summary.spots.
    """

    area: Mask
    usual: Numbers
    spread: Numbers


class FeaturePass:
    """Looks at the frames of one geometry, several at once and in order.

    Where a recording is cut into ranges at multiples of BATCH frames, `prime` with the frame
    before gives the same numbers.
    """

    def __init__(
        self, reduction: Reduction, surroundings: Surroundings, learned: Weights | None = None
    ) -> None:
        """learned: without it no odd spots are looked for; all else is the same."""
        self._reduction, area = reduction, surroundings.area
        self._area = area > 0
        self._pixels = max(int(self._area.sum()), 1)
        # Detail is not measured at the rim, where the picture ends in a hard edge.
        inner = cv2.erode(area, np.ones((7, 7), np.uint8))
        self._inner = inner > 0
        places = (spots.GRID, spots.GRID)
        small = cv2.resize(area, places, interpolation=cv2.INTER_AREA)
        self.finder = SpotFinder(small)
        self._small = small >= _HALF
        self._places = max(int(self._small.sum()), 1)
        self._small_inner = cv2.resize(inner, places, interpolation=cv2.INTER_NEAREST) > 0
        rows = np.flatnonzero(area.any(axis=1))
        self._rows = slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0, 0)
        middle, width = area.shape[1] // 2, max(area.shape[1] // 8, 1)
        self._strip = slice(middle - width, middle + width)
        self._previous: Mask | None = None
        self._weights = learned and learned.fitted_to(surroundings.usual, surroundings.spread)

    def prime(self, stream: bytes) -> None:
        """Remember a frame without looking at it; one that cannot be decoded changes nothing."""
        image = self._reduction.decode(stream)
        if image is not None:
            self._previous = _Frames(_stacked([image])).small_luma[0]

    def describe(self, images: Sequence[Image]) -> Numbers:
        """Return what workers.summary.spots makes of reduced frames."""
        frames = _Frames(_stacked(images))
        return self.finder.describe(frames.small, frames.fine)

    def observe(self, streams: Sequence[bytes]) -> Features:
        """Return the records of the next frames; shape (frames,)."""
        rows = np.zeros(len(streams), FEATURES)
        decoded = [self._reduction.decode(stream) for stream in streams]
        seen = [position for position, image in enumerate(decoded) if image is not None]
        if seen:
            images = [image for image in decoded if image is not None]
            rows[seen] = self._look(_Frames(_stacked(images)))
        if decoded and decoded[-1] is None:
            self._previous = None  # so that it does not matter where a range begins
        return rows

    def _look(self, frames: "_Frames") -> Features:
        rows = np.zeros(frames.count, FEATURES)
        rows["decoded"] = True
        light = _total(frames.luma, self._area)
        rows["luminance"] = light / self._pixels / 255
        rows["lost_share"] = self._lost(frames.luma)
        rows["difference"] = self._changes(frames)
        bright, dark = frames.luma >= _BRIGHT, frames.luma < _DARK
        rows["bright_share"] = _total(bright, self._area) / self._pixels
        rows["dark_share"] = _total(dark, self._area) / self._pixels
        mean = np.maximum(light / self._pixels, 1)
        rows["sharpness"] = _total(frames.detail, self._inner) / self._inner.sum() / mean
        dense = frames.density >= _BUSY
        rows["busy_share"] = _total(dense, self._inner) / self._pixels
        self._colour(rows, frames, dense)
        self._spots(rows, frames)
        masked = frames.small * self._small[..., None].astype(np.uint8)
        rows["layout"] = _shrunk(masked, GRID)
        return rows

    def _changes(self, frames: "_Frames") -> NDArray[np.float64]:
        """Return the mean change of each frame against the one before; 0 for the very first."""
        luma = frames.small_luma
        first = luma[0] if self._previous is None else self._previous
        before = np.concatenate([first[None], luma[:-1]])
        self._previous = luma[-1].copy()
        change = cv2.absdiff(luma.reshape(-1, spots.GRID), before.reshape(-1, spots.GRID))
        mean: NDArray[np.float64] = (
            _total(change.reshape(luma.shape), self._small) / self._places / 255
        )
        return mean

    def _colour(self, rows: Features, frames: "_Frames", dense: NDArray[np.bool_]) -> None:
        luma, small = frames.small_luma, frames.small
        lit = (luma >= _DARK) & (luma < _BRIGHT) & self._small
        lit_count = np.maximum(lit.reshape(len(lit), -1).sum(axis=1), 1)
        tissue = (small * lit[..., None]).reshape(len(lit), -1, 3).sum(axis=1, dtype=np.uint32)
        rows["tissue"] = np.rint(tissue / lit_count[:, None])
        blue, green, red = (plane.reshape(-1, spots.GRID) for plane in frames.planes)
        # 200 means G = R; 0 where R is 0.
        green_red = np.asarray(cv2.divide(green, red, scale=200), np.uint8).reshape(lit.shape)
        blue_red = np.asarray(cv2.divide(blue, red, scale=200), np.uint8).reshape(lit.shape)
        self._redness(rows, green_red, lit & self._small_inner)
        bloody = (green_red <= 200 * _BLOOD_GREEN) & (blue_red >= 200 * _BLOOD_BLUE)
        bloody &= frames.planes[2] >= _BLOOD_RED
        rows["blood_share"] = _total(bloody, self._small) / self._places
        warm = (green_red <= 200 * _WARM_GREEN) & (blue_red <= 200 * _WARM_BLUE) & lit
        busy = _shrunk(dense.astype(np.uint8)[..., None] * np.uint8(255), spots.GRID)
        warm &= busy < _HALF
        rows["mucosa_share"] = _total(warm, self._small) / self._places
        rows["chroma"] = self._chroma(green_red, blue_red, lit)

    def _redness(self, rows: Features, green_red: Bytes, lit: NDArray[np.bool_]) -> None:
        """Fill in mean redness and how far single spots of 3 x 3 places stand out."""
        count = len(lit)
        # A spot at the edge of the lit places would be blurred together with dark ones.
        apart = np.zeros((count, spots.GRID + 2, spots.GRID), np.uint8)
        apart[:, 1:-1] = lit
        eroded = cv2.erode(apart.reshape(-1, spots.GRID), _SPOT_KERNEL, borderValue=0)
        within = eroded.reshape(apart.shape)[:, 1:-1].reshape(count, -1) > 0
        places = within.sum(axis=1)
        total = np.where(within, green_red.reshape(count, -1), 0).sum(axis=1, dtype=np.uint32)
        mean = total / np.maximum(places, 1)
        blurred = spots.blurred(green_red[..., None]).reshape(count, -1)
        low = np.where(within, blurred, 255).min(axis=1)
        high = np.where(within, blurred, 0).max(axis=1)
        rows["redness"] = np.where(places, np.maximum(1 - mean / 200, 0), 0)
        rows["red_spot"] = np.where(places, np.maximum(mean - low, 0) / 200, 0)
        rows["pale_spot"] = np.where(places, np.maximum(high - mean, 0) / 200, 0)

    def _chroma(
        self, green_red: Bytes, blue_red: Bytes, lit: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Histograms of G/R (8 bins from 0.2 to 1.0) by B/R (4 bins from 0 to 0.8)."""
        inside = lit & (green_red >= 40) & (green_red < 200) & (blue_red < 160)
        frame, row, column = np.nonzero(inside)
        bins = (green_red[frame, row, column] - 40) // 20 * CHROMA_BINS[1]
        bins += blue_red[frame, row, column] // 40
        size = CHROMA_BINS[0] * CHROMA_BINS[1]
        counts = np.bincount(frame * size + bins, minlength=len(lit) * size)
        shares: NDArray[np.float64] = np.rint(counts.reshape(len(lit), size) * 255 / self._places)
        return shares

    def _spots(self, rows: Features, frames: "_Frames") -> None:
        """Fill in how odd the oddest spot is, and where: a place with those next to it."""
        places = len(self.finder.places)
        if self._weights is None or places < _TOP:
            return
        values = self.finder.describe(frames.small, frames.fine)
        odds = self._weights(values.reshape(-1, spots.MEASURES)).reshape(frames.count, places, -1)
        grid = np.full((frames.count, spots.GRID * spots.GRID), _FAINT, np.float32)
        grid[:, self.finder.places] = odds[..., 0]
        # Of each 2 x 2 places two were looked at.
        square = grid.reshape(-1, spots.GRID, spots.GRID)
        pairs = np.maximum(square[:, :, 1:], square[:, :, :-1])
        pairs = (pairs[:, 1:-1] * 2 + pairs[:, :-2] + pairs[:, 2:]) / 4
        flat = pairs.reshape(frames.count, -1)
        highest = flat.argmax(axis=1)
        rows["odd"] = np.round(flat[np.arange(frames.count), highest], 2)
        line, column = np.divmod(highest, spots.GRID - 1)
        rows["odd_at"][:, 0] = 100 * (column + 1) // spots.GRID
        rows["odd_at"][:, 1] = (100 * line + 150) // spots.GRID
        strongest = np.partition(odds[..., 1], -_TOP, axis=1)[:, -_TOP:]
        rows["landmark"] = np.round(strongest.mean(axis=1), 2)
        rows["veil_share"] = np.round((odds[..., 2] > 0).mean(axis=1), 3)

    def _lost(self, luma: Bytes) -> NDArray[np.float64]:
        """Return the share of rows at the lower end in which all pixels are the same."""
        strip = luma[:, self._rows, self._strip]
        if not strip.size:
            return np.zeros(len(luma))
        flat = strip.max(axis=2) - strip.min(axis=2) <= 1
        # From the lower end: the first row that is not flat ends what is lost.
        below = np.where(flat.all(axis=1), flat.shape[1], np.argmin(flat[:, ::-1], axis=1))
        share: NDArray[np.float64] = below / flat.shape[1]
        return share


class _Frames:
    """Reduced frames of one geometry with what is made of them. All arrays: (frames, ...)."""

    def __init__(self, images: Bytes) -> None:
        """images: shape (frames, rows, columns, 3), BGR."""
        self.count, rows, columns = images.shape[:3]
        tall = images.reshape(-1, columns, 3)
        luma = cv2.cvtColor(tall, cv2.COLOR_BGR2GRAY).reshape(-1, rows, columns)
        self.luma: Bytes = np.asarray(luma, np.uint8)
        self.small = _shrunk(images, spots.GRID)
        grid = self.small.reshape(-1, spots.GRID, 3)
        shape = (-1, spots.GRID, spots.GRID)
        self.small_luma = cv2.cvtColor(grid, cv2.COLOR_BGR2GRAY).reshape(shape)
        self.planes = [plane.reshape(shape) for plane in cv2.split(grid)]
        # Frames must not touch each other where pixels are compared with their neighbours.
        apart = np.zeros((self.count, rows + 2 * _APART, columns), np.uint8)
        apart[:, _APART:-_APART] = self.luma
        apart[:, :_APART], apart[:, -_APART:] = self.luma[:, :1], self.luma[:, -1:]
        rows_apart = apart.reshape(-1, columns)
        detail = cv2.convertScaleAbs(cv2.Laplacian(rows_apart, cv2.CV_16S))
        dense = cv2.blur(detail, (5, 5))
        bright = cv2.morphologyEx(rows_apart, cv2.MORPH_TOPHAT, _FINE_KERNEL)
        inside = slice(_APART, -_APART)
        self.detail = detail.reshape(apart.shape)[:, inside]
        self.density = dense.reshape(apart.shape)[:, inside]
        both = cv2.merge([bright, detail]).reshape(*apart.shape, 2)[:, inside]
        self.fine = _shrunk(np.ascontiguousarray(both), spots.GRID)


def look_around(reduction: Reduction, samples: Sequence[Image]) -> Surroundings:
    """Learn what is usual from reduced frames of one geometry."""
    area = content_area(reduction.shape, samples)
    nobody = np.zeros(spots.MEASURES, np.float32), np.ones(spots.MEASURES, np.float32)
    looking = FeaturePass(reduction, Surroundings(area, *nobody))
    lit = [sample for sample in samples if _DARK < cv2.mean(sample[..., 1], area)[0] < _BRIGHT]
    if not lit:
        return Surroundings(area, *nobody)
    described = looking.describe(lit)[:, ::_SAMPLED]
    return Surroundings(area, *spots.usual(described.reshape(-1, spots.MEASURES)))


def _stacked(images: Sequence[Image]) -> Bytes:
    return np.asarray(np.stack(list(images)), np.uint8)


def _shrunk(images: Bytes, side: int) -> Bytes:
    """Return frames of side x side; shape (frames, side, side[, channels])."""
    count, columns = len(images), images.shape[2]
    tall = images.reshape(-1, *images.shape[2:])
    small = cv2.resize(tall, (side, count * side), interpolation=cv2.INTER_AREA)
    assert columns >= side
    return np.asarray(small.reshape(count, side, *small.shape[1:]), np.uint8)


def _total(values: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Return the sum of each frame's values where the mask is set; shape (frames,)."""
    picked = np.where(mask, values, 0) if values.dtype != np.bool_ else values & mask
    total: NDArray[np.uint32] = picked.reshape(len(values), -1).sum(axis=1, dtype=np.uint32)
    return total
