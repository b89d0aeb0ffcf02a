"""Looking at every frame of a stored recording once: in one piece, or in ranges."""

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from workers.stored_recording import StoredRecording
from workers.summary.content_area import SAMPLES_MAX
from workers.summary.features import (
    BATCH,
    FEATURES,
    FeaturePass,
    Features,
    Reduction,
    Surroundings,
    look_around,
)
from workers.summary.spots import Weights

Geometry = tuple[int, int]
WEIGHTS_FILE = Path(__file__).with_name("summary") / "spots.npz"


@cache
def learned() -> Weights | None:
    """Return the network of odd spots; None if it is not there: all else works without."""
    if not WEIGHTS_FILE.is_file():
        return None
    with np.load(WEIGHTS_FILE) as stored:
        return Weights(**{field.name: stored[field.name] for field in fields(Weights)})


class Observer:
    """Makes the features of ranges of frames; holds BATCH frames at a time.

    Ranges that start at multiples of BATCH give together what one range gives.
    """

    def __init__(self, recording: StoredRecording, heartbeat: Callable[[], None]) -> None:
        """heartbeat: called with every frame; what it raises ends the work."""
        self._recording, self._heartbeat = recording, heartbeat
        self._surroundings: dict[Geometry, tuple[Reduction, Surroundings]] = {}

    def observe(self, start: int = 0, end: int | None = None) -> Features:
        """Return ungraded features; shape (end - start,). Raises StorageError."""
        assert start % BATCH == 0
        recording = self._recording
        end = recording.frame_count if end is None else min(end, recording.frame_count)
        features = np.zeros(max(end - start, 0), FEATURES)
        current: tuple[Geometry, FeaturePass] | None = None
        for first in range(start, end, BATCH):
            for low, high in self._runs(first, min(first + BATCH, end)):
                geometry = self._geometry(low)
                if current is None or current[0] != geometry:
                    current = geometry, self._begin(geometry, low)
                streams = [self._read(one) for one in range(low, high)]
                features[low - start : high - start] = current[1].observe(streams)
        return features

    def _read(self, frame_index: int) -> bytes:
        self._heartbeat()
        return self._recording.read(frame_index)

    def _geometry(self, frame_index: int) -> Geometry:
        part, _ = self._recording.locate(frame_index)
        return self._recording.parts[part].rows, self._recording.parts[part].columns

    def _runs(self, first: int, end: int) -> list[tuple[int, int]]:
        """Cut some frames where their geometry changes."""
        geometries = [self._geometry(one) for one in range(first, end)]
        changes = [first + at + 1 for at, (one, next_one) in enumerate(pairwise(geometries))
                   if one != next_one]  # fmt: skip
        return list(pairwise([first, *changes, end]))

    def _begin(self, geometry: Geometry, frame_index: int) -> FeaturePass:
        """Return a pass that knows the frame before, if there is one of this geometry."""
        if geometry not in self._surroundings:
            self._surroundings[geometry] = self._look_around(geometry)
        looking = FeaturePass(*self._surroundings[geometry], learned())
        if frame_index and self._geometry(frame_index - 1) == geometry:
            looking.prime(self._recording.read(frame_index - 1))
        return looking

    def _look_around(self, geometry: Geometry) -> tuple[Reduction, Surroundings]:
        """Look at a few frames of a geometry, spread over the study."""
        reduction = Reduction.of(*geometry)
        indices = self._recording.of_geometry(geometry)
        spread = indices[np.linspace(0, len(indices) - 1, SAMPLES_MAX).astype(np.int64)]
        samples = (reduction.decode(self._recording.read(int(one))) for one in np.unique(spread))
        return reduction, look_around(reduction, [one for one in samples if one is not None])
