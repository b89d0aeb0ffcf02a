"""Pure: what a wrap tells people: the counts of the study's report, and who is in quarantine."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.dicom import identity, legal
from gateway.model import Disposition, FrameFault, FrameTreatment, QuarantineNote
from workers.wrap import gaps
from workers.wrap.plan import PlannedRecording
from workers.wrap.recording import Frames, SealedPack
from workers.wrap.recording import code as member_code

GAPS_MAX = 200
"""Gaps listed in the report; gap_count counts them all."""
NUMBERS_MAX = 50
"""Frame numbers of one instance named in one sentence."""
NOTES_MAX = 500
"""Quarantine rows for each kind of trouble in a recording; the report counts them all."""

_FAULT_CODES = {
    FrameFault.TRUNCATED: "frame.truncated",
    FrameFault.CORRUPT: "frame.corrupt",
    FrameFault.SIZE_DISAGREES: "frame.size-disagrees",
    FrameFault.UNDECODABLE: "frame.undecodable",
    FrameFault.MISSING: "frame.missing",
}


def report(planned: Sequence[PlannedRecording]) -> dict[str, Any]:
    """Return the counts of a study, ready for JSON.

    received = frame + original + duplicate + conflict + excluded counts, where a multi-frame
    instance that was opened counts with all its frames. set_apart_count, repaired_count (made
    JPEG Baseline without loss) and reencoded_count are part of frame_count. In a gap,
    `recording` is the 1-based number of the recording. corrected_attributes: keywords of what
    the source says in a form DICOM forbids.
    """
    recordings = [one.source.recording for one in planned]
    found = _gaps(planned)
    listed = [
        {
            "recording": number,
            "after_frame_number": gap.after_frame_number,
            "missing_count": gap.missing_count,
            "duration_ms": gap.duration_ms,
        }
        for number, one in found
        for gap in one.listed
    ]
    timelines = [one.source.timeline for one in planned if one.parts]
    return {
        "frame_count": sum(one.frame_count for one in recordings),
        "received_count": sum(one.received_count for one in recordings),
        "duplicate_count": sum(one.duplicate_count for one in recordings),
        "excluded_count": sum(len(one.excluded) for one in recordings),
        "conflict_count": sum(len(one.conflicts) for one in recordings),
        "original_count": sum(len(one.originals) for one in recordings),
        "set_apart_count": sum(
            len(part.positions) for one in planned for part in one.parts if part.set_apart
        ),
        "repaired_count": sum(_treated(one.frames, again=False) for one in recordings),
        "reencoded_count": sum(_treated(one.frames, again=True) for one in recordings),
        "gap_count": sum(one.count for _, one in found),
        "missing_count": sum(one.missing_count for _, one in found),
        "gaps": listed[:GAPS_MAX],
        "clock_set_back_count": sum(one.backward_count for one in timelines),
        "times_estimated": any(one.estimated for one in timelines),
        "duration_s": max((one.duration_us for one in timelines), default=0) / 1_000_000,
        "corrected_attributes": _corrected(planned),
        "parts": sum(len(one.parts) + len(one.source.recording.untouched) for one in planned),
    }


def _treated(frames: Frames, *, again: bool) -> int:
    """Count the frames that were changed: compressed again, or without loss."""
    reencoded = (frames["treatment"] & FrameTreatment.REENCODED) > 0
    chosen = reencoded if again else (frames["treatment"] > 0) & ~reencoded
    return int(chosen.sum())


def _corrected(planned: Sequence[PlannedRecording]) -> list[str]:
    said = [identity.as_dataset(one.source.study.attributes) for one in planned[:1]]
    return sorted({keyword for ds in said for keyword in legal.make_legal(ds)})


def notes(
    planned: Sequence[PlannedRecording], packs: Sequence[SealedPack], calling_ae_title: str
) -> Iterator[QuarantineNote]:
    """Yield what a human should look at: frames that are excluded, in conflict, set apart."""
    for one in planned:
        for trouble in (_excluded(one, packs), _conflicts(one, packs), _set_apart(one, packs)):
            for code, reason, disposition, pack, row in islice(trouble, NOTES_MAX):
                yield QuarantineNote(
                    code=code,
                    reason=reason,
                    disposition=disposition,
                    status=0,
                    calling_ae_title=calling_ae_title,
                    association_id=pack.association_id,
                    study_instance_uid=one.source.study.study_instance_uid,
                    sop_instance_uid=bytes(row["sop_instance_uid"]).decode("ascii", "replace"),
                    storage_key=pack.storage_key,
                    size_bytes=int(row["size"]),
                )


Trouble = Iterator[tuple[str, str, Disposition, SealedPack, NDArray[np.void]]]


def _excluded(one: PlannedRecording, packs: Sequence[SealedPack]) -> Trouble:
    """Yield one trouble for each instance and fault, however many of its frames have it."""
    excluded = one.source.recording.excluded
    kind = member_code(excluded) << 8 | excluded["fault"]
    first_of = dict(zip(kind[::-1].tolist(), range(len(kind) - 1, -1, -1), strict=True))
    single = excluded["source_frame"] == 0
    for kind_of, position in sorted(first_of.items(), key=lambda item: item[1]):
        member = excluded[position]
        pack, row = _row(packs, member)
        fault = FrameFault(int(member["fault"]))
        numbers = () if single[position] else excluded["source_frame"][kind == kind_of].tolist()
        reason = f"{_frames_named(row, numbers)} cannot be shown: {fault.in_words}."
        yield _FAULT_CODES[fault], reason, Disposition.EXCLUDED, pack, row


def _conflicts(one: PlannedRecording, packs: Sequence[SealedPack]) -> Trouble:
    for member in one.source.recording.conflicts:
        pack, row = _row(packs, member)
        reason = (
            f"{_named(row)} has the SOP Instance UID of one that was kept before,"
            " but other contents: the first one is used."
        )
        yield "frame.conflict", reason, Disposition.EXCLUDED, pack, row


def _set_apart(one: PlannedRecording, packs: Sequence[SealedPack]) -> Trouble:
    for part in one.parts:
        for frame in one.source.recording.frames[part.positions] if part.set_apart else ():
            pack, row = _row(packs, frame)
            reason = (
                f"{_named(row)} is {part.columns}x{part.rows}, unlike most of its Series:"
                f" it is delivered in part {part.number}."
            )
            yield "frame.other-size", reason, Disposition.SET_APART, pack, row


def _row(
    packs: Sequence[SealedPack], place: NDArray[np.void]
) -> tuple[SealedPack, NDArray[np.void]]:
    pack = packs[int(place["pack"])]
    return pack, pack.index[int(place["row"])]


def _named(row: NDArray[np.void]) -> str:
    number = int(row["instance_number"])
    return f"The frame with Instance Number {number}" if number >= 0 else "A frame"


def _frames_named(row: NDArray[np.void], numbers: Sequence[int]) -> str:
    """numbers: 1-based in a multi-frame instance, none if it has only one."""
    if not numbers:
        return _named(row)
    number = int(row["instance_number"])
    instance = f"the instance with Instance Number {number}" if number >= 0 else "an instance"
    shown = ", ".join(map(str, numbers[:NUMBERS_MAX]))
    more = f" and {len(numbers) - NUMBERS_MAX} more" if len(numbers) > NUMBERS_MAX else ""
    return f"Frame {shown}{more} of {instance}"


def _gaps(planned: Sequence[PlannedRecording]) -> list[tuple[int, gaps.Gaps]]:
    with_frames = [one.source for one in planned if one.parts]
    only = len(with_frames) == 1  # several Series may continue each other's numbers
    return [
        (
            source.number,
            gaps.find(source.recording, source.timeline, from_one=only, listed_max=GAPS_MAX),
        )
        for source in with_frames
    ]
