"""Pure: which frames go into which multi-frame instance.

Cut rules, in this order: another size, encoding or compression, a pause of more than PAUSE_S,
the frame cap, the byte cap, the text of the Frame Time Vector. A part that would be tiny shares
with the one before it. Where the Instance Numbers count, a part holds the frames of a fixed
range of them: a frame that comes late changes the part it belongs to and no other, and appending
frames leaves all but the last two as they were.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gateway.errors import LimitExceeded
from gateway.model import Compression, FrameEncoding, FrameTreatment
from workers.wrap.recording import Frames

PAUSE_S = 600
FRAME_TIME_VECTOR_BYTES_MAX = 65_534
"""VR DS has a 16-bit, even length in Explicit VR (PS3.5 7.1.2); beyond it readers see UN."""
PIXEL_DATA_BYTES_MAX = (1 << 32) - 1
"""Basic Offset Table entries are 32 bits wide (PS3.5 A.4)."""
ITEM_BYTES = 8
"""Tag and length before each fragment."""
TINY_SHARE = 0.05
PARTS_MAX = 5_000
"""A study of 400,000 frames has 200 parts; this many say that its frames are no recording."""

Positions = NDArray[np.intp]
"""Which frames of the recording, 0-based, ascending."""


@dataclass(frozen=True)
class Limits:
    """Of one part. bytes_max counts pixel data; a single frame may exceed it."""

    frames_max: int
    bytes_max: int


@dataclass(frozen=True)
class Part:
    """number: 1-based, by first frame. set_apart: of another size than most of the recording.

    reencoded: its frames were compressed again, before that by `earlier`.
    """

    number: int
    positions: Positions
    rows: int
    columns: int
    encoding: FrameEncoding
    set_apart: bool
    reencoded: bool = False
    earlier: Compression = Compression.LOSSLESS


def split(frames: Frames, elapsed_us: NDArray[np.int64], limits: Limits) -> list[Part]:
    """Divide a recording into parts; every frame is in exactly one.

    frames: in order; elapsed_us: since the first, same shape. Raises LimitExceeded if so many
    parts come out that the frames cannot be one recording.
    """
    if len(frames) == 0:
        return []
    pauses = np.abs(np.diff(elapsed_us)) > PAUSE_S * 1_000_000
    stretch = np.concatenate([[0], np.cumsum(pauses)])
    size = frames["rows"].astype(np.int64) << 16 | frames["columns"]
    usual_size = _most_common(size)
    kind = size << 16 | frames["encoding"].astype(np.int64) << 8 | _generation(frames)
    numbers = _counting(frames)
    runs: list[Positions] = []
    for one in np.unique(kind):
        positions = np.flatnonzero(kind == one)
        window = stretch[positions] << 40 | _windows(numbers[positions], limits.frames_max)
        cuts = np.flatnonzero(np.diff(window)) + 1
        for run in _without_tiny_ends(positions, cuts, stretch, limits):
            runs += _by_caps(run, frames, elapsed_us, limits)
            if len(runs) > PARTS_MAX:
                raise LimitExceeded(
                    f"These frames would need more than {PARTS_MAX} multi-frame instances:"
                    " too many of them differ in size or lie too far apart."
                )
    runs.sort(key=lambda run: int(run[0]))
    return [
        Part(
            number=index + 1,
            positions=run,
            rows=int(frames["rows"][run[0]]),
            columns=int(frames["columns"][run[0]]),
            encoding=FrameEncoding(int(frames["encoding"][run[0]])),
            set_apart=bool(size[run[0]] != usual_size),
            reencoded=bool(frames["treatment"][run[0]] & FrameTreatment.REENCODED),
            earlier=Compression(int(frames["earlier"][run[0]])),
        )
        for index, run in enumerate(runs)
    ]


def _generation(frames: Frames) -> NDArray[np.int64]:
    """Return, per frame, what decides its Image Type and its lossy compressions."""
    again = (frames["treatment"] & FrameTreatment.REENCODED) > 0
    return np.where(again, frames["earlier"].astype(np.int64) + 1, 0)


def _counting(frames: Frames) -> NDArray[np.int64]:
    """Return the Instance Numbers if they count the frames; else zeros."""
    numbers = frames["instance_number"].astype(np.int64)
    counts = bool((numbers >= 0).all() and (np.diff(numbers) > 0).all())
    return numbers if counts else np.zeros_like(numbers)


def _windows(numbers: NDArray[np.int64], frames_max: int) -> NDArray[np.int64]:
    """Return, per frame, which range of Instance Numbers it is in, by the numbers alone.

    Ranges are as long as parts; where only every second, fourth, ... number is there (cameras
    that take turns, frames of another size) twice, four times, ... as long.
    """
    step = int(numbers[-1] - numbers[0]) // max(1, len(numbers) - 1)
    factor = 1 << max(0, step.bit_length() - 1)
    return np.maximum(numbers - 1, 0) // (frames_max * factor)


def _without_tiny_ends(
    positions: Positions, cuts: NDArray[np.intp], stretch: NDArray[np.int64], limits: Limits
) -> list[Positions]:
    """Split at the cuts, but leave a tiny last range before a pause with the one before it."""
    edges = [0, *cuts.tolist(), len(positions)]
    kept = [
        cut
        for cut, end in pairwise(edges[1:])
        if stretch[positions[cut]] != stretch[positions[cut - 1]]
        or end - cut >= TINY_SHARE * limits.frames_max
        or (end < len(positions) and stretch[positions[end]] == stretch[positions[cut]])
    ]
    return np.split(positions, kept)


def _most_common(size: NDArray[np.int64]) -> int:
    """Return the value most frames have; of two equally frequent ones, the one seen first."""
    values, first, counts = np.unique(size, return_index=True, return_counts=True)
    best = np.lexsort((first, -counts))[0]
    return int(values[best])


def _by_caps(
    run: Positions, frames: Frames, elapsed_us: NDArray[np.int64], limits: Limits
) -> list[Positions]:
    """Cut one run of like frames greedily, as full as the caps allow."""
    caps = _Caps(frames["fragment_size"][run], elapsed_us[run], limits)
    edges = [0]
    while edges[-1] < len(run):
        edges.append(caps.end(edges[-1]))
    if len(edges) > 2:
        before, last = edges[-3], edges[-2]
        middle = before + (len(run) - before) // 2
        tiny = caps.tiny(last, len(run))
        if tiny and caps.end(before) >= middle and caps.end(middle) == len(run):
            edges[-2] = middle
    return np.split(run, edges[1:-1])


class _Caps:
    """Running sums of a run, so that each part's end is three searches."""

    def __init__(
        self, sizes: NDArray[np.int64], elapsed_us: NDArray[np.int64], limits: Limits
    ) -> None:
        self._limits = limits
        self._count = len(sizes)
        self._bytes_max = min(limits.bytes_max, PIXEL_DATA_BYTES_MAX)
        self._bytes = _running(sizes + sizes % 2 + ITEM_BYTES)
        # Where a part begins moves its rounding by up to 1 ms: count the digits of one more.
        steps_ms = np.maximum(np.diff(elapsed_us, prepend=elapsed_us[:1]) // 1000, 0) + 2
        digits = np.floor(np.log10(steps_ms)).astype(np.int64) + 1
        self._text = _running(digits + 1)  # and a backslash

    def end(self, start: int) -> int:
        """Return where a part that begins at `start` must end; it has at least one frame."""
        by_bytes = np.searchsorted(self._bytes, self._bytes[start] + self._bytes_max, "right") - 1
        text_max = self._text[start] + FRAME_TIME_VECTOR_BYTES_MAX
        by_text = np.searchsorted(self._text, text_max, "right") - 1
        by_frames = min(start + self._limits.frames_max, self._count)
        return max(start + 1, min(int(by_bytes), int(by_text), by_frames))

    def tiny(self, start: int, end: int) -> bool:
        few = end - start < TINY_SHARE * self._limits.frames_max
        return few and self._bytes[end] - self._bytes[start] < TINY_SHARE * self._bytes_max


def _running(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(values)])
