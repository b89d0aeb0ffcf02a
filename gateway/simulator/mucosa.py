"""Pure: pre-rendered textures of mucosa: colour, folds, vessels, villi, residue.

Textures are periodic in both directions. Axis 0 runs along the bowel, axis 1 around it.
Colours are (blue, green, red), 0 to 255, as OpenCV wants them.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from gateway.simulator.storyline import Organ

Field = npt.NDArray[np.float32]
Colour = tuple[float, float, float]

LENGTH, WIDTH = 1024, 768
"""Texture rows (along) and columns (around). One texel is about one pixel of
the near wall at 320 rows; larger textures would fall out of the processor's cache."""


@dataclass(frozen=True)
class Tissue:
    """How an organ's mucosa looks. folds is a count along LENGTH; strengths are 0 to 1."""

    dark: Colour
    light: Colour
    hue_shift: Colour
    folds: int
    fold_depth: float
    vessels: float
    villi: float
    residue: float


TISSUES = {
    Organ.STOMACH: Tissue((44, 56, 128), (146, 170, 238), (7, 0, 4), 4, 0.26, 0.34, 0.05, 0.0),
    Organ.SMALL_BOWEL: Tissue((14, 46, 112), (88, 154, 236), (-9, 3, 4), 9, 0.42, 0.14, 0.22, 0.0),
    Organ.COLON: Tissue((14, 50, 92), (76, 150, 208), (-8, 5, -5), 3, 0.38, 0.40, 0.05, 0.5),
}


@lru_cache(maxsize=6)
def tissue_texture(organ: Organ, seed: int) -> npt.NDArray[np.uint32]:
    """Return the mucosa row by row, twice over, one texel a word: bytes blue, green, red, 0.

    A word a texel lets one gather fetch a whole pixel, several times faster than cv2.remap.
    Any LENGTH * WIDTH words from an offset into the first copy are the texture again, slid
    by offset // WIDTH rows and turned by offset % WIDTH columns.
    """
    tissue = TISSUES[organ]
    random = np.random.default_rng([seed, list(Organ).index(organ)])
    light = 0.62 + 0.16 * cloud(random, 4) + 0.09 * cloud(random, 32)
    light += tissue.villi * 0.55 * cloud(random, 256) + 0.035 * cloud(random, 512)
    light *= _folds(random, tissue)
    hue, vessels = cloud(random, 4), _vessels(random, tissue.vessels)
    if tissue.residue:
        residue, residue_light = _residue(random, tissue.residue)
    packed = np.zeros((LENGTH, WIDTH, 4), np.uint8)
    for channel, fading in enumerate((0.85, 0.75, 0.30)):  # vessels absorb blue and green
        low, high = tissue.dark[channel], tissue.light[channel]
        plane = (low + light * (high - low) + hue * tissue.hue_shift[channel]) * (
            1 - fading * vessels
        )
        if tissue.residue:
            plane += residue * (residue_light * (24, 80, 98)[channel] - plane)
        packed[..., channel] = np.clip(plane, 0, 255)
    return np.tile(packed.view(np.uint32).reshape(-1), 2)


def cloud(random: np.random.Generator, rows: int, columns: int = 0) -> Field:
    """Return smooth periodic noise, shape (LENGTH, WIDTH), mean 0, deviation about 0.5.

    rows and columns count the bumps and must divide LENGTH and WIDTH; without columns the
    bumps are round.
    """
    columns = columns or rows * WIDTH // LENGTH
    grid = random.normal(0, 0.7, (rows, columns)).astype(np.float32)
    if rows * 16 <= LENGTH:  # so smooth that a quarter of the size loses nothing: much quicker
        grid = _enlarged(grid, LENGTH // 4, WIDTH // 4, cv2.INTER_CUBIC)
        return _enlarged(grid, LENGTH, WIDTH, cv2.INTER_LINEAR)
    return _enlarged(grid, LENGTH, WIDTH, cv2.INTER_CUBIC)


def _enlarged(grid: Field, rows: int, columns: int, interpolation: int) -> Field:
    """Enlarge by whole factors, as if the grid went on periodically at its borders."""
    y, x = rows // grid.shape[0], columns // grid.shape[1]
    padded = cv2.copyMakeBorder(grid, 2, 2, 2, 2, cv2.BORDER_WRAP)  # cubic needs two neighbours
    size = (padded.shape[1] * x, padded.shape[0] * y)
    full = cv2.resize(padded, size, interpolation=interpolation)
    return np.asarray(full[2 * y : 2 * y + rows, 2 * x : 2 * x + columns], np.float32)


def _folds(random: np.random.Generator, tissue: Tissue) -> Field:
    """Return fold shading: the crest catches the light, the wall behind it lies in shadow."""
    along = np.arange(LENGTH, dtype=np.float32)[:, None] * np.float32(tissue.folds / LENGTH)
    position = along + 0.42 * cloud(random, 4, 2) + 0.10 * cloud(random, 16, 12)
    saw = position - np.floor(position)
    shadow = np.exp(-saw * 7) + 0.25 * np.exp(-saw * 1.5)
    crest = np.exp(-((1 - saw) ** 2) * 90)
    strength = tissue.fold_depth * np.clip(0.75 + 0.7 * cloud(random, 8, 3), 0, 1.4)
    shading = np.asarray(1 - strength * (shadow - 0.45 * crest), np.float32)
    return np.asarray(cv2.blur(shading, (4, 4)), np.float32)  # a step would show the texels


def _vessels(random: np.random.Generator, strength: float) -> Field:
    """Return thin branching lines, 0 to 1: zero lines of smooth noise branch like vessels."""
    where = strength * np.clip(0.4 + 0.9 * cloud(random, 8), 0, 1)
    bend = 0.15 * cloud(random, 64)
    lines = np.zeros((LENGTH, WIDTH), np.float32)
    for bumps, width in ((8, 0.05), (32, 0.07)):
        lines += np.exp(-(((cloud(random, bumps) + bend) / width) ** 2))
    return np.asarray(np.clip(where * lines, 0, 0.9), np.float32)


def _residue(random: np.random.Generator, share: float) -> tuple[Field, Field]:
    """Return opacity and lightness of brown-green residue that lies in patches."""
    patch = cloud(random, 8) + 0.5 * cloud(random, 64) + 0.25 * cloud(random, 256)
    opacity = np.clip((patch - 0.8) * 4 * share, 0, 0.85)
    return np.asarray(opacity, np.float32), 0.85 + 0.4 * cloud(random, 128)
