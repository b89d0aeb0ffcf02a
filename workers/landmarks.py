"""Where organs begin in a stored recording: estimated, or as a person said."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gateway.ledger.schema import Landmark as LandmarkRow
from gateway.ledger.transitions.landmarks import FoundLandmark
from workers.stored_recording import StoredRecording
from workers.summary import transit
from workers.summary.features import Features
from workers.summary.report import Landmark
from workers.summary.transit import OrganStart


def find(
    recording: StoredRecording, features: Features, said: Sequence[LandmarkRow]
) -> list[OrganStart]:
    """Return where organs begin, by frame index of everything, in order.

    Of several recordings, which ran at the same time, the longest is looked at. said: what is in
    the ledger; what was corrected by a person counts, the rest is estimated again.
    """
    start, end = recording.longest()
    found = {one.organ: one for one in transit.segment(features[start:end])}
    for row in said:
        if row.edited_by:
            first = min(row.recording_frame_number - 1, end - start - 1)
            found[row.organ] = OrganStart(row.organ, first, end - start, 1.0)
    in_order = sorted(found.values(), key=lambda one: (one.first_frame, one.end))
    borders = [*(one.first_frame for one in in_order), end - start]
    return [
        OrganStart(one.organ, start + first, start + last, one.confidence)
        for one, (first, last) in zip(in_order, pairwise(borders), strict=True)
    ]


def in_report(
    recording: StoredRecording,
    found: Sequence[OrganStart],
    elapsed_ms: NDArray[np.int64],
    said: Sequence[LandmarkRow],
) -> list[Landmark]:
    """Return the same with its places in the multi-frame instances."""
    editors = {row.organ: row.edited_by for row in said}
    landmarks = []
    for one in found:
        part, frame_number = recording.locate(one.first_frame)
        landmarks.append(
            Landmark(
                organ=one.organ,
                part=recording.parts[part],
                frame_number=frame_number,
                recording_frame_number=recording.recording_frame_number(one.first_frame),
                elapsed_ms=int(elapsed_ms[one.first_frame]),
                confidence=one.confidence,
                edited_by=editors.get(one.organ, ""),
            )
        )
    return landmarks


def row(one: Landmark) -> FoundLandmark:
    return FoundLandmark(one.organ, one.recording_frame_number, one.elapsed_ms, one.confidence)
