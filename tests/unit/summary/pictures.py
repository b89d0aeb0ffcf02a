"""Builders for tests of the summary: small capsule pictures, and features without pictures."""

import functools

import cv2
import numpy as np

from workers.observing import learned
from workers.summary import quality
from workers.summary.features import FEATURES, FeaturePass, Features, Reduction, look_around

SIDE = 224
TISSUE = (70, 105, 175)  # BGR
SHADES = (TISSUE, (60, 120, 140), (60, 90, 170), (90, 120, 180))
"""A recording shows more than one colour: what is usual is learned from these."""


@functools.cache
def field(side: int = SIDE) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    cv2.circle(mask, (side // 2, side // 2), int(side * 0.48), 255, -1)
    return mask


def texture(seed: int, cells: int, side: int = SIDE) -> np.ndarray:
    """Return smooth noise around 0, about 1 strong; shape (side, side)."""
    noise = np.random.default_rng(seed).normal(0, 1, (cells, cells)).astype(np.float32)
    return cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)


def mucosa(
    seed: int = 1, *, light: float = 1.0, depth: float = 0.22, colour=TISSUE, side: int = SIDE
) -> np.ndarray:
    """Return a picture of folds in the round field of a capsule; shape (side, side, 3), BGR."""
    folds = 1 + depth * texture(seed, 6, side) + 0.05 * texture(seed + 500, 40, side)
    picture = np.array(colour, np.float32) * (folds * light)[..., None]
    return cut_out(np.clip(picture, 0, 255).astype(np.uint8))


def cut_out(picture: np.ndarray) -> np.ndarray:
    return cv2.bitwise_and(picture, picture, mask=field(picture.shape[0]))


def foam(seed: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(40, 240, (SIDE // 6, SIDE // 6, 1), np.uint8)
    grey = cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    return cut_out(cv2.merge([grey // 2, grey, grey]))


def cut_off(seed: int = 1, lines: int = 60) -> np.ndarray:
    picture = mucosa(seed)
    picture[-lines:] = 128
    return cut_out(picture)


def bloody(seed: int = 1, radius: int = 40) -> np.ndarray:
    picture = mucosa(seed)
    cv2.circle(picture, (SIDE // 2, SIDE // 2), radius, (30, 25, 130), -1)
    return picture


def jpeg(picture: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def features_of(streams: list[bytes], side: int = SIDE) -> Features:
    """Return the graded features of frames, seen in the round field."""
    reduction = Reduction.of(side, side)
    surroundings = look_around(
        reduction,
        [
            reduction.decode(jpeg(mucosa(n, colour=SHADES[n % len(SHADES)], side=side)))
            for n in range(8)
        ],
    )
    features = FeaturePass(reduction, surroundings, learned()).observe(streams)
    quality.grade(features)
    return features


def made_up(count: int, *, seed: int = 1, unusable: float = 0.1, still: float = 0.5) -> Features:
    """Return graded features of a recording nobody drew: views that last, quality that varies.

    still: chance that a frame shows the view of the one before it.
    """
    rng = np.random.default_rng(seed)
    features = np.zeros(count, FEATURES)
    features["decoded"] = True
    features["luminance"] = 85 / 255
    features["usable"] = rng.random(count) >= unusable
    features["quality"] = np.where(features["usable"], rng.uniform(0.3, 1, count), 0)
    features["redness"] = rng.normal(0.35, 0.01, count)
    view = np.cumsum(rng.random(count) >= still)
    layouts = rng.integers(40, 140, (view[-1] + 1, 8, 8, 3), dtype=np.uint8)
    features["layout"] = layouts[view]
    return features
