"""Pure: the recording as one strip over time, for a reader to find their way by."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.summary.features import Features

BINS_MAX = 1200
"""About as many as a screen has columns."""
FORMAT = 1


def of(features: Features, elapsed_ms: NDArray[np.int64]) -> dict[str, Any]:
    """Return the strip as JSON values, lists of one value a bin.

    first_frame: 1-based; elapsed_ms: of it. colour: mean colour of the tissue, '#rrggbb'.
    mucosa: 0 to 1, how much of it can be judged. activity: 0 to 1, change from frame to frame.
    blood: 0 to 1, the strongest share of the view as red as blood.
    """
    count = len(features)
    bins = min(count, BINS_MAX)
    starts = np.arange(bins, dtype=np.int64) * count // max(bins, 1)
    if not bins:
        return {"format": FORMAT, "frames": 0}
    size = np.diff([*starts.tolist(), count])
    usable = features["usable"]
    seen = np.maximum(np.add.reduceat(usable.astype(np.int64), starts), 1)
    tissue = np.where(usable[:, None], features["tissue"], 0).astype(np.int64)
    colour = np.rint(np.add.reduceat(tissue, starts, axis=0) / seen[:, None]).astype(np.int64)
    return {
        "format": FORMAT,
        "frames": count,
        "first_frame": (starts + 1).tolist(),
        "elapsed_ms": elapsed_ms[starts].tolist(),
        "colour": [f"#{red:02x}{green:02x}{blue:02x}" for blue, green, red in colour.tolist()],
        "mucosa": _mean(features["quality"], starts, size),
        "activity": _mean(features["difference"], starts, size),
        "blood": np.maximum.reduceat(features["blood_share"], starts).round(3).tolist(),
    }


def promises(
    bound_frames: int,
    longest_gap: tuple[int, int],
    usable_count: int,
    organs: Sequence[Mapping[str, Any]],
    transit_ms: Mapping[str, int],
) -> dict[str, Any]:
    """Return what the ledger keeps of a summary. longest_gap: in frames and milliseconds."""
    return {
        "bound_frames": bound_frames,
        "longest_gap_frames": longest_gap[0],
        "longest_gap_ms": longest_gap[1],
        "usable_frames": usable_count,
        "organs": [dict(one) for one in organs],
        "transit_ms": dict(transit_ms),
    }


def _mean(values: NDArray[Any], starts: NDArray[np.int64], size: NDArray[np.int64]) -> list[float]:
    total = np.add.reduceat(values.astype(np.float64), starts)
    mean: list[float] = (total / size).round(3).tolist()
    return mean
