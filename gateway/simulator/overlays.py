"""Pure: what lies between lens and mucosa, pre-rendered: glints, bubbles, froth, blood.

Every layer is larger than a frame by LAYER_MARGIN on each side, so that a moving crop drifts.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from gateway.simulator.mucosa import cloud
from gateway.simulator.optics import Image

LAYER_MARGIN = 120
BLOOD_LEVELS = 5
_PALE, _FROTH = (225, 240, 245), (110, 200, 205)


@dataclass(frozen=True)
class Overlays:
    """glints, bubbles, froth: light to add; blood: what is left of 255, thin to full."""

    glints: Image
    bubbles: Image
    froth: Image
    blood: tuple[Image, ...]


@lru_cache(maxsize=2)
def overlays(seed: int, rows: int, columns: int) -> Overlays:
    random = np.random.default_rng([seed, 200])
    size = (rows + 2 * LAYER_MARGIN, columns + 2 * LAYER_MARGIN)
    unit = min(rows, columns) / 320
    return Overlays(
        glints=_glints(random, size, unit),
        bubbles=_bubbles(random, size, unit, clusters=9, colour=_PALE),
        froth=_bubbles(random, size, unit, clusters=150, colour=_FROTH),
        blood=_blood(random, size),
    )


def _glints(random: np.random.Generator, size: tuple[int, int], unit: float) -> Image:
    """Small wet highlights, in groups, mostly longish."""
    layer = np.zeros((*size, 3), np.uint8)
    for _ in range(34):
        middle = random.uniform((0, 0), (size[1], size[0]))
        angle, spread = float(random.uniform(0, 180)), float(random.uniform(3, 20))
        for _ in range(1 + int(random.exponential(2.5))):
            at = middle + random.normal(0, spread * unit, 2)
            axes = np.maximum(random.gamma(1.2, (1.3, 0.6)) * unit, 0.6)
            box = (
                tuple(at.tolist()),
                tuple((2 * axes).tolist()),
                angle + float(random.normal(0, 20)),
            )
            cv2.ellipse(layer, box, _PALE, -1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(layer, (0, 0), 0.8 * unit), np.uint8)


def _bubbles(
    random: np.random.Generator,
    size: tuple[int, int],
    unit: float,
    *,
    clusters: int,
    colour: tuple[int, int, int],
) -> Image:
    """Bubbles in clusters: a bright rim, a faint inside, a point of light."""
    layer = np.zeros((*size, 3), np.uint8)
    for _ in range(clusters):
        middle = random.uniform((0, 0), (size[1], size[0]))
        for _ in range(int(random.integers(3, 16))):
            x, y = (int(v) for v in middle + random.normal(0, 24 * unit, 2))
            radius = max(2, round(float(random.gamma(2.2, 3.2)) * unit))
            shine = float(random.uniform(0.35, 0.9))
            cv2.circle(layer, (x, y), radius, [0.14 * shine * c for c in colour], -1, cv2.LINE_AA)
            cv2.circle(layer, (x, y), radius, [0.55 * shine * c for c in colour], 1, cv2.LINE_AA)
            arc = float(random.uniform(0, 360))
            cv2.ellipse(
                layer,
                (x, y),
                (radius, radius),
                arc,
                0,
                110,
                [shine * c for c in colour],
                1,
                cv2.LINE_AA,
            )
            spot = (x - radius // 3, y - radius // 3)
            cv2.circle(layer, spot, max(1, radius // 6), _PALE, -1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(layer, (0, 0), 0.6 * unit), np.uint8)


def _blood(random: np.random.Generator, size: tuple[int, int]) -> tuple[Image, ...]:
    """From streaks to a pool: the same noise cut at lower and lower heights.

    Thin blood is a red veil, thick blood is dark and takes nearly all blue and green.
    """
    ragged = 0.4 * cloud(random, 32) + 0.16 * cloud(random, 64) + 0.06 * cloud(random, 256)
    height = cv2.resize(cloud(random, 8) + ragged, size[::-1], interpolation=cv2.INTER_LINEAR)
    layers = []
    for level in range(BLOOD_LEVELS):
        depth = np.clip((height - (0.85 - 0.42 * level)) * 1.2, 0, 1.4)
        planes = [255 * np.exp(-absorbed * depth) for absorbed in (1.9, 2.1, 0.38)]
        layers.append(np.asarray(np.clip(cv2.merge(planes), 0, 255), np.uint8))
    return tuple(layers)
