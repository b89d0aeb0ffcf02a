"""The frames of a study's multi-frame instances, read back one by one."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateway.packs.multiframe import MultiFrameFile
from workers.summary import parts
from workers.summary.parts import SourcePart


class StoredRecording:
    """All frames of all parts, one recording after the other; holds one file open at a time.

    frame_index: 0-based over everything.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        """Read the headers. paths: of the parts, in the order of their numbers.

        Raises ObjectMissing or IntegrityError.
        """
        found = []
        for path in paths:
            file = MultiFrameFile(path)
            try:
                found.append((parts.read(file.header, file.frame_count), path))
            finally:
                file.close()
        # Recordings (a series each) one after the other; within one, by number as given.
        found.sort(key=lambda one: (one[0].series_number, one[0].reference.series_instance_uid))
        self.parts: list[SourcePart] = [part for part, _ in found]
        self._paths = [path for _, path in found]
        self._starts = [0, *accumulate(part.frame_count for part in self.parts)]
        self._open: tuple[int, MultiFrameFile] | None = None

    @property
    def frame_count(self) -> int:
        return self._starts[-1]

    @property
    def recording_count(self) -> int:
        return len({part.reference.series_instance_uid for part in self.parts})

    def of_geometry(self, geometry: tuple[int, int]) -> NDArray[np.int64]:
        """Return the frame indices of the parts with these (rows, columns)."""
        return np.concatenate(
            [
                np.arange(start, start + part.frame_count)
                for part, start in zip(self.parts, self._starts, strict=False)
                if (part.rows, part.columns) == geometry
            ]
        )

    def longest(self) -> tuple[int, int]:
        """Return the frame indices (first, end) of the longest recording, the first of equals."""
        spans: dict[str, tuple[int, int]] = {}
        for part, start in zip(self.parts, self._starts, strict=False):
            series = part.reference.series_instance_uid
            spans[series] = spans.get(series, (start, 0))[0], start + part.frame_count
        return max(spans.values(), key=lambda span: span[1] - span[0], default=(0, 0))

    def locate(self, frame_index: int) -> tuple[int, int]:
        """Return (which part, 0-based; frame number in it, 1-based)."""
        part = bisect_right(self._starts, frame_index) - 1
        return part, frame_index - self._starts[part] + 1

    def recording_frame_number(self, frame_index: int) -> int:
        """Return the 1-based number of a frame in its own recording."""
        part, _ = self.locate(frame_index)
        series = self.parts[part].reference.series_instance_uid
        first = next(
            one for one, other in enumerate(self.parts)
            if other.reference.series_instance_uid == series
        )  # fmt: skip
        return frame_index - self._starts[first] + 1

    def read(self, frame_index: int) -> bytes:
        """Return the fragment of a frame, padding included. Raises StorageError."""
        part, frame_number = self.locate(frame_index)
        if self._open is None or self._open[0] != part:
            self.close()
            self._open = part, MultiFrameFile(self._paths[part])
        return self._open[1].read_frame(frame_number - 1)

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def __enter__(self) -> "StoredRecording":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
