"""What is counted of a choice of frames, and how studies are pooled."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np

from tests.bench.summary.composed import ComposedStudy, Finding

LONG = 10  # frames: from here on a finding counts as long
LENGTHS = ((1, 2), (3, 6), (7, 9), (10, 10**6))
_ALIKE = 0.97
"""Two neighbouring key frames whose grey 24 x 24 pictures correlate more are near duplicates."""


@dataclass
class Score:
    """Of one choice in one study. found: finding -> seen in a chosen frame."""

    chosen: np.ndarray
    found: dict[Finding, bool] = field(default_factory=dict)
    unusable_share: float = 0.0
    duplicate_share: float = 0.0
    longest_gap: int = 0
    organs_share: float = 1.0

    def recall(self, wanted: Callable[[Finding], bool]) -> tuple[int, int]:
        """Return (seen, all) of the findings that are wanted."""
        some = [seen for one, seen in self.found.items() if wanted(one)]
        return sum(some), len(some)


def score(study: ComposedStudy, chosen: np.ndarray) -> Score:
    chosen = np.sort(chosen)
    shown = set(study.finding[chosen].tolist())
    # Outside the patient there is nothing usable, and nothing to show.
    organs = [span for organ, span in study.organs.items() if organ != "external"]
    return Score(
        chosen=chosen,
        found={one: one.number in shown for one in study.findings},
        unusable_share=float(study.bad[chosen].mean()),
        duplicate_share=_duplicates(study, chosen),
        longest_gap=int(np.diff([0, *chosen.tolist(), len(study) - 1]).max()),
        organs_share=float(
            np.mean([((chosen >= first) & (chosen < end)).any() for first, end in organs])
        ),
    )


def is_finding(one: Finding) -> bool:
    return not one.is_landmark


def is_long(one: Finding) -> bool:
    return not one.is_landmark and len(one.frames) >= LONG


def is_landmark(one: Finding) -> bool:
    return one.is_landmark


def pooled(scores: Iterable[Score], wanted: Callable[[Finding], bool]) -> float:
    """Return the recall over all studies together; not a number if there is nothing wanted."""
    seen, count = np.sum([one.recall(wanted) for one in scores], axis=0)
    return float(seen / count) if count else float("nan")


def interval(
    scores: list[Score], wanted: Callable[[Finding], bool], *, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of the pooled recall: studies drawn again with replacement."""
    rng = np.random.default_rng(seed)
    pairs = np.array([one.recall(wanted) for one in scores], np.float64)
    drawn = pairs[rng.integers(0, len(pairs), (2000, len(pairs)))].sum(axis=1)
    low, high = np.percentile(drawn[:, 0] / np.maximum(drawn[:, 1], 1), (2.5, 97.5))
    return float(low), float(high)


def _duplicates(study: ComposedStudy, chosen: np.ndarray) -> float:
    """Return the share of chosen frames that look just like the one before."""
    before, alike = None, 0
    for one in chosen.tolist():
        picture = cv2.imdecode(
            np.frombuffer(study.read(one), np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8
        )
        if picture is None:
            continue
        small = cv2.resize(picture, (24, 24), interpolation=cv2.INTER_AREA)
        values = small[4:20, 4:20].astype(np.float64).ravel()
        values = (values - values.mean()) / max(values.std(), 1.0)
        alike += before is not None and float((values * before).mean()) > _ALIKE
        before = values
    return alike / max(len(chosen), 1)
