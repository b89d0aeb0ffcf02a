"""Pure: what is missing from a recording, by its Instance Numbers and by its clock.

Two rules. By number: between two frames, Instance Numbers are absent that no member of the
Series has, faulty ones included; a Series that numbers in equal steps above one (cameras that
take turns) is measured in its own steps. By clock: a frame comes more than JUMP_S seconds and
more than JUMP_TIMES usual intervals after the one before it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.wrap.recording import Recording, code
from workers.wrap.timing import Timeline

JUMP_S = 10
JUMP_TIMES = 10
STRIDE_FRAMES_MIN = 10
"""Fewer frames say nothing about the step in which a source numbers."""


@dataclass(frozen=True)
class Gap:
    """after_frame_number: 1-based in the recording, 0 before its first frame.

    missing_count: frames, 0 if only the clock jumps. duration_ms: between the frames around it,
    0 if nobody knows.
    """

    after_frame_number: int
    missing_count: int
    duration_ms: int


@dataclass(frozen=True)
class Gaps:
    """listed: the first ones, in order; count and missing_count: of all."""

    count: int
    missing_count: int
    listed: tuple[Gap, ...]


def find(recording: Recording, timeline: Timeline, *, from_one: bool, listed_max: int) -> Gaps:
    """Find the gaps of a recording.

    from_one: the Series numbers from one (or zero) on, so that what lies before its first frame
    is missing too. Not so where several Series share their numbers.
    """
    missing = _missing(recording, from_one=from_one)
    steps_us = np.zeros(len(missing), np.int64)
    jumps = np.zeros(len(missing), np.bool_)
    if not timeline.estimated:
        steps_us[1:] = np.diff(timeline.elapsed_us)
        usual_us = float(np.median(steps_us[1:])) if len(steps_us) > 1 else 0.0
        jumps = steps_us > max(JUMP_S * 1_000_000, JUMP_TIMES * usual_us)
    at = np.flatnonzero((missing > 0) | jumps)
    listed = tuple(
        Gap(int(index), int(missing[index]), max(0, (int(steps_us[index]) + 500) // 1000))
        for index in at[:listed_max]
    )
    return Gaps(len(at), int(missing.sum()), listed)


def _missing(recording: Recording, *, from_one: bool) -> NDArray[np.int64]:
    """Return, per frame, how many frames are absent just before it."""
    frames = recording.frames
    missing = np.zeros(len(frames), np.int64)
    begins = np.ones(len(frames), np.bool_)  # of the frames of one instance, the first
    begins[1:] = np.diff(code(frames)) != 0
    numbers = frames["instance_number"][begins]
    missing[begins] = _missing_between(recording, numbers, from_one=from_one)
    return missing


def _missing_between(
    recording: Recording, instance_numbers: NDArray[np.int32], *, from_one: bool
) -> NDArray[np.int64]:
    numbers = instance_numbers.astype(np.int64)
    missing = np.zeros(len(numbers), np.int64)
    steps = np.diff(numbers)
    if len(numbers) == 0 or numbers[0] < 0 or (steps <= 0).any():
        return missing  # absent or repeated numbers count nothing
    stride = _stride(steps)
    others_below = np.searchsorted(recording.other_numbers, numbers)
    missing[1:] = steps // stride - 1 - np.diff(others_below)
    if from_one:
        missing[0] = (numbers[0] - 1) // stride - others_below[0]
    return np.maximum(missing, 0)


def _stride(steps: NDArray[np.int64]) -> int:
    if len(steps) < STRIDE_FRAMES_MIN:
        return 1
    usual = max(1, int(np.median(steps)))
    return usual if not (steps % usual).any() else 1
