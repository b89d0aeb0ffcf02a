"""Pure: how a capsule's lens sees the bowel: gather maps and light, rendered once per view.

A view is larger than a frame by MARGIN on each side. Cropping it at a moving offset moves
the lumen across the field; sliding the texture under it moves the capsule along the bowel.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from gateway.simulator.mucosa import LENGTH, WIDTH, Field
from gateway.simulator.storyline import Organ

MARGIN = 80
"""Pixels at 320 rows by which the lumen can leave the middle of the field."""
LIGHT_ONE = 190
"""Value of `light` that leaves a colour as it is; more brightens it."""
_VIEWS = {Organ.STOMACH: (2, 3), Organ.SMALL_BOWEL: (5, 2), Organ.COLON: (4, 2)}
"""How many views look along the bowel, and how many at a wall close by."""

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class View:
    """texels: flat texture index a pixel, shape (rows, columns); light: shape (.., .., 3)."""

    texels: npt.NDArray[np.intp]
    light: Image


def view_count(organ: Organ) -> int:
    return sum(_VIEWS[organ])


@lru_cache(maxsize=24)
def view_of(organ: Organ, choice: int, seed: int, size: tuple[int, int]) -> View:
    """Return one of the organ's views for frames of size (rows, columns)."""
    random = np.random.default_rng([seed, 100 + list(Organ).index(organ), choice])
    return (_tunnel if choice < _VIEWS[organ][0] else _wall)(random, _Plane(*size))


def margin(rows: int, columns: int) -> int:
    """Return MARGIN in pixels of this frame size."""
    return round(MARGIN * min(rows, columns) / 320)


@lru_cache(maxsize=2)
def field(rows: int, columns: int) -> Image:
    """Return the most that the lens passes, shape (rows, columns, 3): round, with a soft rim."""
    radius = np.hypot(
        *np.meshgrid(
            np.arange(columns, dtype=np.float32) - (columns - 1) / 2,
            np.arange(rows, dtype=np.float32) - (rows - 1) / 2,
        )
    )
    rim = min(rows, columns) / 2 - 3
    inside = np.clip((rim - radius) * 90, 0, 255).astype(np.uint8)
    return np.asarray(cv2.merge([inside] * 3), np.uint8)


class _Plane:
    """x and y of every pixel of a view from its middle, in pixels at 320 rows; and coarsely.

    Light changes slowly, so it is worked out on every fourth pixel.
    """

    def __init__(self, rows: int, columns: int) -> None:
        extra, unit = 2 * margin(rows, columns), min(rows, columns) / 320
        self.size = (columns + extra, rows + extra)
        across, down = (
            (np.arange(n, dtype=np.float32) - np.float32((n - 1) / 2)) / np.float32(unit)
            for n in self.size
        )
        self.x, self.y = np.meshgrid(across, down)
        small = (self.size[0] // 4, self.size[1] // 4)
        self.coarse_x, self.coarse_y = (
            np.asarray(cv2.resize(a, small, interpolation=cv2.INTER_AREA), np.float32)
            for a in (self.x, self.y)
        )

    def fine(self, coarse: Field) -> Field:
        return np.asarray(cv2.resize(coarse, self.size, interpolation=cv2.INTER_CUBIC), np.float32)


def _tunnel(random: np.random.Generator, plane: _Plane) -> View:
    """Look along the bowel: depth is the logarithm of the distance from the lumen's middle."""
    x, y = plane.coarse_x, plane.coarse_y
    lumen = float(random.uniform(34, 66)) * _wobble(random, np.arctan2(y, x), 0.16)
    light = 0.17 + 0.90 * _smoothstep(((np.hypot(x, y) + 4) / lumen - 0.45) / 1.7)
    for ring in range(int(random.integers(1, 4))):
        light *= _ring(random, x, y, (1.5 + 0.8 * ring) * float(np.mean(lumen)))
    depth = np.log(12 * plane.fine(lumen) / (np.hypot(plane.x, plane.y) + 4))
    around = np.arctan2(plane.y, plane.x) + np.float32(np.pi)
    texel = np.float32(WIDTH / (2 * np.pi))
    return View(_texels(depth * texel, around * texel), _lit(random, light, plane))


def _ring(random: np.random.Generator, x: Field, y: Field, size: float) -> Field:
    """Return the light on a fold that stands across the bowel: bright edge, shadow behind it.

    Each has its own middle and shape, and fades out somewhere around the circle.
    """
    middle = random.normal(0, 0.12 * size, 2)
    dx, dy = x - np.float32(middle[0]), y - np.float32(middle[1])
    angle = np.arctan2(dy, dx)
    edge = np.hypot(dx, dy) / size / _wobble(random, angle, 0.13)
    present = np.clip(_wobble(random, angle, 0.9) - 0.35, 0, 1) * float(random.uniform(0.25, 0.55))
    shadow = np.exp(-np.clip(1 - edge, 0, None) * 5) * _smoothstep((1.02 - edge) / 0.04)
    crest = np.exp(-(((edge - 1.04) / 0.05) ** 2))
    return np.asarray(1 - present * (shadow - 0.35 * crest), np.float32)


def _wall(random: np.random.Generator, plane: _Plane) -> View:
    """Look at a wall close by: nearly flat, bulging towards the lens, bright in the middle."""
    slope = float(random.uniform(0, 2 * np.pi))
    across, up = _turned(plane.x, plane.y, slope)
    bulge = 0.75 + (np.hypot(plane.x, plane.y) / 260) ** 2
    texels = _texels(LENGTH / 2 + up * bulge, WIDTH / 2 + across * bulge)
    x, y = plane.coarse_x, plane.coarse_y
    across, up = _turned(x, y, slope)
    aside = (across + float(random.uniform(90, 190))) / 130 + 0.25 * np.sin(up / 60)
    shade = 0.38 + 0.62 * _smoothstep(np.asarray(aside, np.float32))
    light = shade * (1.12 - 0.45 * (np.hypot(x, y) / 200) ** 2)
    return View(texels, _lit(random, np.asarray(light, np.float32), plane))


def _turned(x: Field, y: Field, angle: float) -> tuple[Field, Field]:
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * x + sin * y, cos * y - sin * x


def _texels(along: Field, around: Field) -> npt.NDArray[np.intp]:
    row = np.clip(np.rint(along), 0, LENGTH - 1).astype(np.intp)
    column = np.rint(around).astype(np.intp) % WIDTH
    return row * WIDTH + column


def _lit(random: np.random.Generator, light: Field, plane: _Plane) -> Image:
    """Return light as colour: the deeper, the redder, because tissue takes blue and green."""
    side, _ = _turned(plane.coarse_x, plane.coarse_y, float(random.uniform(0, 2 * np.pi)))
    light = np.clip(light * (1 + side / 900), 0.02, 1.3)
    tints = random.normal(1, 0.035, 3)
    planes = [
        plane.fine(light ** np.float32(power) * np.float32(tint * LIGHT_ONE))
        for power, tint in zip((1.5, 1.25, 1), tints, strict=True)
    ]
    return np.asarray(np.clip(cv2.merge(planes), 0, 255), np.uint8)


def _wobble(random: np.random.Generator, angle: Field, amount: float) -> Field:
    """Return a factor around 1 that goes smoothly round the circle."""
    factor = np.ones_like(angle)
    for k in range(1, 6):
        phase = float(random.uniform(0, 2 * np.pi))
        factor += float(random.normal(0, amount / k)) * np.cos(k * angle + phase)
    return np.clip(factor, 0.35, None)


def _smoothstep(value: Field) -> Field:
    t = np.clip(value, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
