"""Pure: a synthetic capsule recording. Draws what storyline.py plans, as JPEG frames.

Nothing here comes from a patient: every pixel is made of noise. Rendering is composed of
pre-rendered textures (mucosa), gather maps (optics) and layers (overlays), a few array
operations a frame.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import cv2
import numpy as np

from gateway.simulator.mucosa import LENGTH, WIDTH, tissue_texture
from gateway.simulator.optics import LIGHT_ONE, Image, field, margin, view_count, view_of
from gateway.simulator.overlays import BLOOD_LEVELS, LAYER_MARGIN, Overlays, overlays
from gateway.simulator.storyline import Hindrance, Moment, moments, plan

JPEG_QUALITY = 88
_JPEG = [
    cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY,
    cv2.IMWRITE_JPEG_PROGRESSIVE, 0,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
]  # fmt: skip


@dataclass(frozen=True)
class SyntheticFrame:
    """frame_number is 1-based; acquired_at is local time without a zone, to the microsecond."""

    frame_number: int
    acquired_at: datetime
    jpeg: bytes


def synthetic_frames(
    count: int, *, seed: int, rows: int = 320, columns: int = 320
) -> Iterator[SyntheticFrame]:
    """Return a recording in order, as JPEG Baseline 4:2:0; the same arguments, the same bytes.

    Drawn as it is asked for: memory does not grow with count.

    Raises ValueError for a count below 1 or frames under 64 pixels.
    """
    if count < 1 or min(rows, columns) < 64:
        raise ValueError(f"a recording of {count} frames of {columns}x{rows} cannot be drawn")
    artist = _Artist(seed, rows, columns)
    return (
        SyntheticFrame(moment.index + 1, moment.acquired_at, artist.draw(moment))
        for moment in moments(plan(count, seed=seed))
    )


class _Artist:
    """Holds the pre-rendered material and the buffers that every frame reuses."""

    def __init__(self, seed: int, rows: int, columns: int) -> None:
        self._seed, self._rows, self._columns = seed, rows, columns
        self._margin = margin(rows, columns)
        self._field = field(rows, columns)
        self._layers: Overlays = overlays(seed, rows, columns)
        self._words = np.empty((rows, columns), np.uint32)
        self._picture: Image = np.empty((rows, columns, 3), np.uint8)
        # cvtColor wakes a second thread, which then spins, for more than 65,536 pixels.
        height = max(1, 65_536 // columns)
        self._bands = [slice(top, top + height) for top in range(0, rows, height)]

    def draw(self, moment: Moment) -> bytes:
        self._mucosa(moment)
        if moment.blood:
            level = min(int(moment.blood * BLOOD_LEVELS), BLOOD_LEVELS - 1)
            blood = self._crop(self._layers.blood[level], moment, 0.6)
            cv2.multiply(self._picture, blood, dst=self._picture, scale=1 / 255)
        if moment.hindrance is Hindrance.BLURRED:
            smear = 5 + int(12 * moment.strength)
            cv2.blur(self._picture, (smear, smear), dst=self._picture)
        elif moment.hindrance is Hindrance.BUBBLES:
            cv2.add(self._picture, self._crop(self._layers.froth, moment, 0.8), dst=self._picture)
        cv2.min(self._picture, self._field, dst=self._picture)
        return cv2.imencode(".jpg", self._picture, _JPEG)[1].tobytes()

    def _mucosa(self, moment: Moment) -> None:
        """Gather the texture through the view, wet it, light it."""
        scene, into = moment.scene, moment.index - moment.scene.first
        size = (self._rows, self._columns)
        view = view_of(scene.organ, int(scene.view * view_count(scene.organ)), self._seed, size)
        y = self._sway(scene.phase + into * 0.045 * scene.drift)
        x = self._sway(scene.phase * 1.7 + into * 0.031 * scene.drift)
        row = int(scene.start * LENGTH + into * scene.travel) % LENGTH
        column = int(into * scene.turn * WIDTH) % WIDTH
        texture = tissue_texture(scene.organ, self._seed)[row * WIDTH + column :]
        texels = view.texels[y : y + self._rows, x : x + self._columns]
        # Every index is in range; mode="wrap" only spares numpy the check for it.
        texture.take(texels, out=self._words, mode="wrap")
        words = self._words.view(np.uint8).reshape(self._rows, self._columns, 4)
        for band in self._bands:
            cv2.cvtColor(words[band], cv2.COLOR_BGRA2BGR, dst=self._picture[band])
        # Highlights come before the light: there are none where no light falls.
        cv2.add(self._picture, self._crop(self._layers.glints, moment, 1.0), dst=self._picture)
        if scene.foam > 0:
            cv2.add(self._picture, self._crop(self._layers.bubbles, moment, 0.5), dst=self._picture)
        light = view.light[y : y + self._rows, x : x + self._columns]
        cv2.multiply(self._picture, light, dst=self._picture, scale=_exposure(moment) / LIGHT_ONE)

    def _sway(self, angle: float) -> int:
        return int(self._margin * (1 + math.sin(angle)))

    def _crop(self, layer: Image, moment: Moment, speed: float) -> Image:
        into = moment.index - moment.scene.first
        angle = moment.scene.phase * 3.1 + into * 0.05 * speed * moment.scene.drift
        y = int(LAYER_MARGIN * (1 + math.sin(angle)))
        x = int(LAYER_MARGIN * (1 + math.cos(angle * 0.8 + moment.scene.start * 6)))
        return layer[y : y + self._rows, x : x + self._columns]


def _exposure(moment: Moment) -> float:
    match moment.hindrance:
        case Hindrance.DARK:
            return moment.scene.brightness * (1 - 0.88 * moment.strength)
        case Hindrance.BUBBLES:
            return moment.scene.brightness * 0.5
        case _:
            return moment.scene.brightness
