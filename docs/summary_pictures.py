"""Draws the pictures of docs/summary.md from synthetic frames; no patient's picture is in them.

python docs/summary_pictures.py
"""

from pathlib import Path

import cv2
import numpy as np

from gateway.simulator import synthetic_frames
from workers.observing import learned
from workers.summary import quality, timeline
from workers.summary.features import BATCH, FEATURES, FeaturePass, Reduction, look_around
from workers.summary.selection import select

PICTURES = Path(__file__).with_name("pictures")
SIDE, COUNT, BUDGET = 256, 1200, 24


def main() -> None:
    streams = [frame.jpeg for frame in synthetic_frames(COUNT, seed=7, rows=SIDE, columns=SIDE)]
    reduction = Reduction.of(SIDE, SIDE)
    samples = [reduction.decode(streams[one]) for one in np.linspace(0, COUNT - 1, 48).astype(int)]
    seen = [one for one in samples if one is not None]
    looking = FeaturePass(reduction, look_around(reduction, seen), learned())
    features = np.zeros(COUNT, FEATURES)
    for start in range(0, COUNT, BATCH):
        features[start : start + BATCH] = looking.observe(streams[start : start + BATCH])
    quality.grade(features)
    elapsed_ms = np.arange(COUNT) * 250
    selection = select(features, elapsed_ms, budget=BUDGET)
    chosen = [one.frame_index for one in selection.choices]
    cv2.imwrite(str(PICTURES / "summary-timeline.png"), _strip(features, elapsed_ms, chosen))
    tiles = []
    for choice in selection.choices[: 3 * 8]:
        picture = cv2.imdecode(np.frombuffer(streams[choice.frame_index], np.uint8), 1)
        tile = cv2.resize(picture, (150, 150), interpolation=cv2.INTER_AREA)
        tile = cv2.copyMakeBorder(tile, 0, 20, 0, 0, cv2.BORDER_CONSTANT)
        cv2.putText(tile, f"{choice.frame_index + 1} {choice.reason}", (4, 164),
                    cv2.FONT_HERSHEY_SIMPLEX, 0.38, (235, 235, 235), 1, cv2.LINE_AA)  # fmt: skip
        tiles.append(tile)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 8)
    rows = [np.hstack(tiles[start : start + 8]) for start in range(0, len(tiles), 8)]
    cv2.imwrite(str(PICTURES / "summary-key-frames.png"), np.vstack(rows))


def _strip(features: np.ndarray, elapsed_ms: np.ndarray, chosen: list[int]) -> np.ndarray:
    """Tissue colour, visible mucosa, activity, odds of an odd spot; key frames as ticks."""
    strip = timeline.of(features, elapsed_ms)
    width = len(strip["colour"])
    picture = np.full((220, width, 3), 24, np.uint8)
    for column, colour in enumerate(strip["colour"]):
        red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
        picture[0:50, column] = (blue, green, red)
    odds = 1 / (1 + np.exp(-features["odd"]))
    activity = np.clip(np.array(strip["activity"]) * 6, 0, 1)
    for top, values in ((60, strip["mucosa"]), (110, activity), (160, odds)):
        for column, value in enumerate(values):
            picture[top + 40 - int(40 * value) : top + 40, column] = (190, 190, 190)
    for one in chosen:
        picture[205:218, one * width // len(features)] = (110, 200, 250)
    return picture


if __name__ == "__main__":
    main()
