"""Real labelled sequences: are the frames with a lesion put before those without?

There is no whole labelled recording among them: each sequence is a few hundred frames of one
kind. So sequences with and without a lesion are laid end to end, and it is counted how many of
the runs of lesion frames a choice of 10 % of all frames shows; and how well the odds alone tell
frames with blood from frames without (area under the curve).
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from workers.observing import learned
from workers.summary import interest, quality
from workers.summary.features import BATCH, FEATURES, FeaturePass, Reduction, look_around
from workers.summary.selection import select

SIDE = 320
RUN = 12
"""Frames of a lesion sequence that are put between frames without one, as one finding."""


@dataclass(frozen=True)
class Sequence:
    name: str
    folder: str
    lesion: bool


SEQUENCES = (
    Sequence("polyp", "kvasir-capsule/polyp_seq_131368cc17e44240", True),
    Sequence("fresh blood", "kvasir-capsule/blood_fresh_d369e4f163df4aba", True),
    Sequence("bleeding, PillCam SB", "wcebleedgen/bleeding/B1_pillcam-sb_jejunum_bleeding", True),
    Sequence("dark blood, octagon", "wcebleedgen/bleeding/B5_octagon_dark_blood_clip", True),
    Sequence("blood, orange folds", "wcebleedgen/bleeding/B7_orange_folds_blood_clip", True),
    Sequence("blood spots, bile", "wcebleedgen/bleeding/B8_bile_bloodspots_clip", True),
    Sequence("normal, PillCam SB", "wcebleedgen/non-bleeding/N1_pillcam-sb_bubbles", False),
    Sequence("normal, orange", "wcebleedgen/non-bleeding/N4_orange_smallbowel_stills", False),
    Sequence("normal, tan", "wcebleedgen/non-bleeding/N7_tan_smallbowel_clip", False),
)


def _streams(root: Path, sequence: Sequence) -> list[bytes]:
    """Return the frames at one size: they come from several makes of capsule."""
    streams = []
    for path in sorted((root / sequence.folder).iterdir()):
        picture = cv2.imread(str(path))
        if picture is not None:
            picture = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            streams.append(cv2.imencode(".jpg", picture)[1].tobytes())
    return streams


def _laid_out(root: Path, sequence: Sequence) -> tuple[list[bytes], np.ndarray]:
    """Return a recording: normal sequences, with runs of one lesion sequence between them."""
    normal = [stream for one in SEQUENCES if not one.lesion for stream in _streams(root, one)]
    lesion = _streams(root, sequence)
    runs = [lesion[start : start + RUN] for start in range(0, len(lesion), RUN)][:8]
    streams: list[bytes] = []
    labels: list[int] = []
    every = len(normal) // (len(runs) + 1)
    for number, run in enumerate(runs, start=1):
        before = normal[(number - 1) * every : number * every]
        streams += [*before, *run]
        labels += [0] * len(before) + [number] * len(run)
    rest = normal[len(runs) * every :]
    return [*streams, *rest], np.array([*labels, *([0] * len(rest))])


def _area_under_curve(positive: np.ndarray, negative: np.ndarray) -> float:
    ranks = np.searchsorted(np.sort(negative), positive, side="left").astype(float)
    ranks += np.searchsorted(np.sort(negative), positive, side="right")
    return float(ranks.mean() / 2 / len(negative))


def report(root: Path) -> list[str]:
    lines = [
        "| sequence | runs | shown in 5 % | uniform, 5 % | area under the curve: odds | blood |",
        "|---|---|---|---|---|---|",
    ]
    for sequence in SEQUENCES:
        if not sequence.lesion or not (root / sequence.folder).is_dir():
            continue
        streams, labels = _laid_out(root, sequence)
        reduction = Reduction.of(SIDE, SIDE)
        some = np.linspace(0, len(streams) - 1, 48).astype(int)
        images = [reduction.decode(streams[one]) for one in some]
        looking = FeaturePass(
            reduction,
            look_around(reduction, [one for one in images if one is not None]),
            learned(),
        )
        features = np.zeros(len(streams), FEATURES)
        for start in range(0, len(streams), BATCH):
            features[start : start + BATCH] = looking.observe(streams[start : start + BATCH])
        quality.grade(features)
        budget = len(streams) // 20
        chosen = select(features, np.arange(len(streams)) * 250, budget=budget).choices
        shown = set(labels[[one.frame_index for one in chosen]].tolist()) - {0}
        step = len(streams) / budget
        by_chance = np.mean(
            [
                len(set(labels[(start * step / 20 + step * np.arange(budget)).astype(int)]) - {0})
                for start in range(20)
            ]
        )
        runs = int(labels.max())
        strength = interest.strength(features, interest.blood(features))
        lesion, blood = labels > 0, features["blood_share"]
        lines.append(
            f"| {sequence.name} | {runs} | {len(shown) / runs:.0%} | {by_chance / runs:.0%}"
            f" | {_area_under_curve(strength[lesion], strength[~lesion]):.2f}"
            f" | {_area_under_curve(blood[lesion], blood[~lesion]):.2f} |"
        )
    return lines
