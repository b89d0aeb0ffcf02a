"""Pure: what a synthetic capsule sees when. The plan of a recording, and its ground truth.

No pictures here: capsule.py draws what this module plans.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np

RATE_MIN, RATE_MAX = 2.0, 6.0
"""Frames per second between which the adaptive frame rate moves."""
BLEEDING_FRAMES_MIN, BLEEDING_FRAMES_MAX = 3, 40
"""Length of a bleeding episode; half of all real lesion runs last 3 to 6 frames."""
_SCENE_FRAMES_MIN, _SCENE_FRAMES_MAX = 12, 110
_UNUSABLE_FRAMES_MIN, _UNUSABLE_FRAMES_MAX = 4, 45
_UNUSABLE_SHARE = 0.1


class Organ(StrEnum):
    STOMACH = "stomach"
    SMALL_BOWEL = "small bowel"
    COLON = "colon"


_ORGAN_ENDS = ((0.14, Organ.STOMACH), (0.70, Organ.SMALL_BOWEL), (1.0, Organ.COLON))
"""Share of the recording at whose end the organ is left."""


class Hindrance(StrEnum):
    """Why a frame cannot be judged."""

    BUBBLES = "bubbles"
    DARK = "dark"
    BLURRED = "blurred"


@dataclass(frozen=True)
class Scene:
    """A run of frames in which the view changes smoothly. Frame indexes are 0-based.

    view, start, drift and turn are fractions of whatever the artist has to choose from;
    travel is in texture rows a frame, turn in revolutions a frame.
    """

    first: int
    count: int
    organ: Organ
    view: float
    start: float
    phase: float
    drift: float
    travel: float
    turn: float
    brightness: float
    foam: float
    rate: float


@dataclass(frozen=True)
class Bleeding:
    first: int
    count: int
    amount: float
    """0 a few streaks, 1 the field is full of blood."""


@dataclass(frozen=True)
class Unusable:
    first: int
    count: int
    hindrance: Hindrance


@dataclass(frozen=True)
class Storyline:
    """The whole recording. scenes cover every frame index once; blood is never hidden."""

    count: int
    started_at: datetime
    scenes: tuple[Scene, ...]
    bleedings: tuple[Bleeding, ...]
    unusable: tuple[Unusable, ...]

    def bleeding_frame_numbers(self) -> set[int]:
        """Return the 1-based numbers of the frames that show blood."""
        return {run.first + i + 1 for run in self.bleedings for i in range(run.count)}

    def unusable_frame_numbers(self) -> set[int]:
        """Return the 1-based numbers of the frames nobody can judge."""
        return {run.first + i + 1 for run in self.unusable for i in range(run.count)}


@dataclass(frozen=True)
class Moment:
    """One frame's part of the plan. blood and hindrance strength are 0 to 1."""

    index: int
    acquired_at: datetime
    scene: Scene
    blood: float
    hindrance: Hindrance | None
    strength: float


def recording_start(seed: int) -> datetime:
    """Return when the recording of this seed began, local time without a zone.

    It follows from the seed so that the same seed always gives the same instances.
    """
    begin = datetime(2026, 1, 5, 7, 45)  # noqa: DTZ001 - capsule recorders know no time zone
    return begin + timedelta(days=seed % 300, seconds=(seed * 7919) % 5400)


def plan(count: int, *, seed: int) -> Storyline:
    """Plan a recording of count frames; the same count and seed give the same plan."""
    random = np.random.default_rng([seed, count])
    scenes, bleedings = tuple(_scenes(count, random)), tuple(_bleedings(count, random))
    bloody = {i for run in bleedings for i in range(run.first, run.first + run.count)}
    unusable = (
        run
        for run in _unusable(count, random)
        if bloody.isdisjoint(range(run.first, run.first + run.count))
    )
    return Storyline(count, recording_start(seed), scenes, bleedings, tuple(unusable))


def moments(story: Storyline) -> Iterator[Moment]:
    """Yield the moments in order; intervals stay between 1/RATE_MAX and 1/RATE_MIN seconds."""
    random = np.random.default_rng([story.count, len(story.scenes)])
    blood = {run.first + i: _blood(run, i) for run in story.bleedings for i in range(run.count)}
    unusable = {
        run.first + i: (run.hindrance, _rise_and_fall(i, run.count))
        for run in story.unusable
        for i in range(run.count)
    }
    at = story.started_at
    for scene in story.scenes:
        jitter = random.normal(0, 0.25, scene.count)
        for i in range(scene.count):
            index = scene.first + i
            hindrance, strength = unusable.get(index, (None, 0.0))
            yield Moment(index, at, scene, blood.get(index, 0.0), hindrance, strength)
            rate = min(max(scene.rate + float(jitter[i]), RATE_MIN), RATE_MAX)
            at += timedelta(microseconds=round(1e6 / rate))


def _scenes(count: int, random: np.random.Generator) -> Iterator[Scene]:
    first = 0
    while first < count:
        share = (first + 0.5) / count
        organ = next(organ for end, organ in _ORGAN_ENDS if share < end)
        length = int(random.integers(_SCENE_FRAMES_MIN, _SCENE_FRAMES_MAX))
        # Short recordings get short scenes, so that every organ is seen in them.
        length = min(length, max(1, count // 12), count - first)
        fast = random.random() < 0.25
        yield Scene(
            first=first,
            count=length,
            organ=organ,
            view=float(random.random()),
            start=float(random.random()),
            phase=float(random.uniform(0, 2 * math.pi)),
            drift=float(random.uniform(0.15, 1.0)),
            travel=float(random.uniform(6, 14) if fast else random.uniform(0.0, 3.0)),
            turn=float(random.normal(0, 0.0025)),
            brightness=float(random.uniform(0.86, 1.1)),
            foam=float(max(0.0, random.normal(-0.2, 0.5))),
            rate=float(random.uniform(4.5, 6.0) if fast else random.uniform(2.0, 4.0)),
        )
        first += length


def _bleedings(count: int, random: np.random.Generator) -> Iterator[Bleeding]:
    """Spread a few episodes over the recording; recordings under 10 frames have none."""
    episodes = min(max(2, count // 700), 8) if count >= 60 else int(count >= 10)
    room = count // max(episodes, 1)
    for episode in range(episodes):
        longest = min(BLEEDING_FRAMES_MAX, room // 2)
        length = int(random.integers(BLEEDING_FRAMES_MIN, longest, endpoint=True))
        first = episode * room + int(random.integers(0, room - length, endpoint=True))
        yield Bleeding(first, length, float(random.uniform(0.3, 1.0)))


def _unusable(count: int, random: np.random.Generator) -> Iterator[Unusable]:
    hindrances = list(Hindrance)
    mean = (_UNUSABLE_FRAMES_MIN + _UNUSABLE_FRAMES_MAX) / 2
    first = int(random.exponential(mean / _UNUSABLE_SHARE))
    while first + _UNUSABLE_FRAMES_MIN < count:
        length = int(random.integers(_UNUSABLE_FRAMES_MIN, _UNUSABLE_FRAMES_MAX, endpoint=True))
        length = min(length, count - first)
        yield Unusable(first, length, hindrances[int(random.integers(len(hindrances)))])
        first += length + int(random.exponential(mean / _UNUSABLE_SHARE))


def _blood(run: Bleeding, i: int) -> float:
    return run.amount * _rise_and_fall(i, run.count)


def _rise_and_fall(i: int, count: int) -> float:
    """Return 0.55 at both ends of a run, 1 in the middle: even its edges are plain to see."""
    return 0.55 + 0.45 * math.sin(math.pi * (i + 0.5) / count)
