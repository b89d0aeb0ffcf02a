"""Pure: when frames were taken, and the Frame Time Vector that says so (PS3.3 C.7.6.5)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NOMINAL_INTERVAL_US = 500_000
"""Between frames nobody knows the time of: two a second, what capsules take at rest."""
LATEST_US = 253_402_300_799_000_000
"""The end of the year 9999, the last one DICOM can write."""


@dataclass(frozen=True)
class Timeline:
    """When the frames of a recording were taken, in order.

    started_us: wall-clock time of the first frame (gateway.dicom.times). elapsed_us: shape
    (frames,), int64, since then, as the source says it: below the one before where the clock
    was set back. estimated: at least one time is not the source's. anchored: started_us comes
    from the frames, not from the study.
    """

    started_us: int
    elapsed_us: NDArray[np.int64]
    estimated: bool
    anchored: bool

    @property
    def backward_count(self) -> int:
        """How many frames say that they were taken before the frame they follow."""
        return int((np.diff(self.elapsed_us) < 0).sum())

    @property
    def duration_us(self) -> int:
        return int(self.elapsed_us.max(initial=0))


def timeline(
    acquired_us: NDArray[np.int64],
    *,
    fallback_us: int,
    since_us: NDArray[np.int64] | None = None,
) -> Timeline:
    """Make the timeline of a recording.

    acquired_us: in the order of the frames, negative where unknown. Unknown times are put
    evenly between their known neighbours, or at the usual interval before the first and behind
    the last known one; without any, the recording begins at fallback_us and since_us says how
    far apart the frames of one multi-frame instance are.
    """
    position = np.flatnonzero(acquired_us >= 0)
    if len(position) == 0:
        steps = np.diff(np.zeros_like(acquired_us) if since_us is None else since_us)
        told = bool((steps > 0).all()) and len(steps) > 0
        elapsed = np.zeros(len(acquired_us), np.int64)
        elapsed[1:] = np.cumsum(np.where(steps > 0, steps, NOMINAL_INTERVAL_US))
        return Timeline(fallback_us, elapsed, estimated=not told, anchored=False)
    if len(position) == len(acquired_us):
        at = acquired_us.astype(np.int64)
        return Timeline(int(at[0]), at - at[0], estimated=False, anchored=True)
    at = _filled(acquired_us, position)
    return Timeline(int(at[0]), at - at[0], estimated=True, anchored=True)


def _filled(acquired_us: NDArray[np.int64], position: NDArray[np.intp]) -> NDArray[np.int64]:
    base = int(acquired_us[position[0]])
    known = (acquired_us[position] - base).astype(np.float64)
    steps = np.diff(known) / np.diff(position)
    forward = steps[steps > 0]
    interval = float(np.median(forward)) if len(forward) else float(NOMINAL_INTERVAL_US)
    every = np.arange(len(acquired_us))
    at = np.interp(every, position, known)
    at += np.minimum(every - position[0], 0) * interval
    at += np.maximum(every - position[-1], 0) * interval
    filled = base + np.rint(at).astype(np.int64)
    filled[position] = acquired_us[position]
    return np.clip(filled, 0, LATEST_US)


def frame_time_vector(elapsed_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the increments, in whole milliseconds, of the frames of one part; the first is 0.

    They are differences of rounded sums, not rounded differences: however many frames, each
    lies within 0.5 ms of its time. Where the clock was set back, time stands still until it
    has caught up, because an increment cannot be negative.
    """
    since = np.maximum.accumulate(elapsed_us - elapsed_us[:1])
    rounded = (since + 500) // 1000
    increments: NDArray[np.int64] = np.diff(rounded, prepend=rounded[:1])
    return increments
