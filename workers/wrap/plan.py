"""Pure: everything about a wrap that can be decided before a byte is moved."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.errors import NoFrames
from workers.dicom_objects import SourceStudy
from workers.wrap.recording import SealedPack, recordings
from workers.wrap.segment import Limits, Part, split
from workers.wrap.timing import timeline
from workers.wrap.video_endoscopic import Source


@dataclass(frozen=True)
class PlannedRecording:
    """A recording and its parts; none if it holds no frames, then source.number is 0."""

    source: Source
    parts: list[Part]


def plan(
    study: SourceStudy, packs: Sequence[SealedPack], limits: Limits, *, fallback_us: int
) -> list[PlannedRecording]:
    """Decide which frames go where.

    fallback_us: wall-clock time a recording begins at if its frames have none. Raises NoFrames
    if nothing at all can be delivered, LimitExceeded.
    """
    planned: list[PlannedRecording] = []
    number = 0
    for recording in recordings(packs):
        times = timeline(recording.frames["acquired_us"], fallback_us=fallback_us)
        number += len(recording.frames) > 0
        own_number = number if len(recording.frames) else 0
        source = Source(study, own_number, recording, times)
        planned.append(PlannedRecording(source, split(recording.frames, times.elapsed_us, limits)))
    if not any(one.parts or len(one.source.recording.originals) for one in planned):
        received = sum(one.source.recording.received_count for one in planned)
        raise NoFrames(f"None of the {received} instances received can be shown.")
    return planned
