"""Pure: what one reduced decode of a frame says about it, as one record of numbers.

Frames are looked at one by one and in order; nothing but the record is kept. What to make of
the numbers is for workers.summary.quality and .selection.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.summary.content_area import Image, Mask

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
_SPOT_KERNEL = np.ones((5, 5), np.uint8)
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


class FeaturePass:
    """Looks at the frames of one geometry in order; holds one reduced frame."""

    def __init__(self, reduction: Reduction, area: Mask) -> None:
        """area: the field of view, of the reduced shape."""
        self._reduction, self._area = reduction, area
        self._pixels = max(int(cv2.countNonZero(area)), 1)
        # Detail is not measured at the rim, where the picture ends in a hard edge.
        self._inner = cv2.erode(area, np.ones((7, 7), np.uint8))
        self._weight = cv2.resize(area, (GRID, GRID), interpolation=cv2.INTER_AREA)
        rows = np.flatnonzero(area.any(axis=1))
        self._rows = slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0, 0)
        middle, width = area.shape[1] // 2, max(area.shape[1] // 8, 1)
        self._strip = slice(middle - width, middle + width)
        self._previous: Mask | None = None

    def observe(self, stream: bytes) -> NDArray[np.void]:
        """Return the record of the next frame; shape (), dtype FEATURES."""
        row: NDArray[np.void] = np.zeros((), FEATURES)
        image = self._reduction.decode(stream)
        if image is None:
            return row
        row["decoded"] = True
        luma = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        mean = cv2.mean(luma, self._area)[0]
        row["luminance"] = mean / 255
        row["lost_share"] = self._lost(luma)
        if self._previous is not None:
            row["difference"] = cv2.mean(cv2.absdiff(luma, self._previous), self._area)[0] / 255
        self._previous = luma
        lit = self._exposure(row, luma)
        busy = self._detail(row, luma, mean)
        self._colour(row, image, lit, busy)
        row["layout"] = cv2.resize(
            cv2.bitwise_and(image, image, mask=self._area),
            (GRID, GRID),
            interpolation=cv2.INTER_AREA,
        )
        return row

    def _share(self, mask: Mask) -> float:
        return cv2.countNonZero(cv2.bitwise_and(mask, self._area)) / self._pixels

    def _exposure(self, row: NDArray[np.void], luma: Mask) -> Mask:
        """Fill in the dark and the bright share; return the pixels of the area between them."""
        lit = cv2.bitwise_and(_between(luma, _DARK, _BRIGHT - 1), self._area)
        row["bright_share"] = self._share(_at_least(luma, _BRIGHT))
        row["dark_share"] = 1 - row["bright_share"] - cv2.countNonZero(lit) / self._pixels
        return lit

    def _detail(self, row: NDArray[np.void], luma: Mask, mean: float) -> Mask:
        """Fill in sharpness and busy share; return the busy pixels."""
        detail = cv2.convertScaleAbs(cv2.Laplacian(luma, cv2.CV_16S))
        row["sharpness"] = cv2.mean(detail, self._inner)[0] / max(mean, 1.0)
        busy = _at_least(cv2.blur(detail, (5, 5)), _BUSY)
        busy = cv2.bitwise_and(busy, self._inner)
        row["busy_share"] = cv2.countNonZero(busy) / self._pixels
        return busy

    def _colour(self, row: NDArray[np.void], image: Image, lit: Mask, busy: Mask) -> None:
        blue, green, red = cv2.split(image)
        green_red = cv2.divide(green, red, scale=200)  # 200 means G = R; 0 where R is 0
        blue_red = cv2.divide(blue, red, scale=200)
        self._redness(row, green_red, cv2.bitwise_and(lit, self._inner))
        bloody = cv2.bitwise_and(
            _at_most(green_red, int(200 * _BLOOD_GREEN)),
            _at_least(blue_red, int(200 * _BLOOD_BLUE)),
        )
        row["blood_share"] = self._share(cv2.bitwise_and(bloody, _at_least(red, _BLOOD_RED)))
        warm = cv2.bitwise_and(
            _at_most(green_red, int(200 * _WARM_GREEN)),
            _at_most(blue_red, int(200 * _WARM_BLUE)),
        )
        warm = cv2.bitwise_and(warm, lit)
        row["mucosa_share"] = self._share(cv2.bitwise_and(warm, cv2.bitwise_not(busy)))
        row["chroma"] = self._chroma(green_red, blue_red, lit)

    def _redness(self, row: NDArray[np.void], green_red: Mask, lit: Mask) -> None:
        """Fill in mean redness and how far single spots of 5 x 5 reduced pixels stand out."""
        # A spot at the edge of the lit pixels would be blurred together with dark ones.
        within = cv2.erode(lit, _SPOT_KERNEL)
        if not cv2.countNonZero(within):
            return
        mean = cv2.mean(green_red, within)[0]
        low, high, _, _ = cv2.minMaxLoc(cv2.blur(green_red, (5, 5)), within)
        row["redness"] = max(1 - mean / 200, 0)
        row["red_spot"], row["pale_spot"] = (mean - low) / 200, (high - mean) / 200

    def _chroma(self, green_red: Mask, blue_red: Mask, lit: Mask) -> NDArray[np.uint8]:
        """Histogram of G/R (8 bins from 0.2 to 1.0) by B/R (4 bins from 0 to 0.8)."""
        counts = cv2.calcHist([green_red, blue_red], [0, 1], lit, CHROMA_BINS, [40, 200, 0, 160])
        shares: NDArray[np.uint8] = np.asarray(
            cv2.convertScaleAbs(counts, alpha=255 / self._pixels), np.uint8
        )
        return shares.ravel()

    def _lost(self, luma: Mask) -> float:
        """Return the share of rows at the lower end in which all pixels are the same."""
        strip = luma[self._rows, self._strip]
        if not strip.size or np.ptp(strip[-1]) > 1:
            return 0.0
        flat = np.ptp(strip, axis=1) <= 1
        picture = np.flatnonzero(~flat)
        last = int(picture[-1]) + 1 if len(picture) else 0
        return 1 - last / len(flat)


def _at_least(image: Mask, level: int) -> Mask:
    return cv2.threshold(image, level - 1, 255, cv2.THRESH_BINARY)[1]


def _at_most(image: Mask, level: int) -> Mask:
    return cv2.threshold(image, level, 255, cv2.THRESH_BINARY_INV)[1]


def _between(image: Mask, low: int, high: int) -> Mask:
    return cv2.bitwise_and(_at_least(image, low), _at_most(image, high))
