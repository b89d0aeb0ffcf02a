"""Pure: everything about a wrap that can be decided before a byte is moved."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.errors import NoFrames
from gateway.model import FrameFault
from workers.dicom_objects import SourceStudy
from workers.wrap.recording import Examined, SealedPack, recordings
from workers.wrap.segment import Limits, Part, split
from workers.wrap.timing import timeline
from workers.wrap.video_endoscopic import Source


@dataclass(frozen=True)
class PlannedRecording:
    """A recording and its parts; none if it holds no frames, then source.number is 0."""

    source: Source
    parts: list[Part]


def plan(
    study: SourceStudy,
    packs: Sequence[SealedPack],
    limits: Limits,
    *,
    fallback_us: int,
    examined: Examined | None = None,
) -> list[PlannedRecording]:
    """Decide which frames go where.

    fallback_us: wall-clock time a recording begins at if its frames have none. examined: what
    was found in members that are not simply a frame. Raises LimitExceeded.
    """
    planned: list[PlannedRecording] = []
    number = 0
    for recording in recordings(packs, examined):
        times = timeline(
            recording.frames["acquired_us"],
            fallback_us=fallback_us,
            since_us=recording.frames["since_us"],
        )
        number += len(recording.frames) > 0
        own_number = number if len(recording.frames) else 0
        source = Source(study, own_number, recording, times)
        planned.append(PlannedRecording(source, split(recording.frames, times.elapsed_us, limits)))
    return planned


def check_delivers(planned: Sequence[PlannedRecording]) -> None:
    """Raise NoFrames, saying why, if nothing at all can be delivered."""
    if any(one.parts or one.source.recording.delivered_whole for one in planned):
        return
    recordings = [one.source.recording for one in planned]
    received = sum(one.received_count for one in recordings)
    faults = Counter(int(fault) for one in recordings for fault in one.excluded["fault"])
    why = "".join(f" {count}: {FrameFault(one).in_words}." for one, count in faults.most_common())
    raise NoFrames(f"None of the {received} instances or frames received can be shown.{why}")
