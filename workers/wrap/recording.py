"""Pure: from what the packs of a study hold to its recordings: which frames, in which order.

A recording is what one received Series holds; two cameras are two recordings.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.model import FrameEncoding, FrameFault

FRAME = np.dtype(
    [
        ("pack", "<i4"),  # which of the packs given, 0-based
        ("row", "<i8"),  # which member of that pack's index, 0-based
        ("fragment_offset", "<i8"),  # of the JPEG stream, bytes from the pack's start
        ("fragment_size", "<i8"),
        ("fragment_digest", "u1", (32,)),  # SHA-256
        ("sop_instance_uid", "S64"),
        ("instance_number", "<i4"),  # -1 if absent
        ("acquired_us", "<i8"),  # gateway.dicom.times, UNKNOWN if absent
        ("rows", "<u2"),
        ("columns", "<u2"),
        ("encoding", "u1"),  # gateway.model.FrameEncoding
    ]
)

Frames = NDArray[np.void]
"""Shape (frames,), dtype FRAME."""

MEMBER = np.dtype([("pack", "<i4"), ("row", "<i8")])

Members = NDArray[np.void]
"""Shape (members,), dtype MEMBER: rows of the packs' indexes that are not frames."""

_LAST = np.iinfo(np.int64).max


@dataclass(frozen=True)
class SealedPack:
    """index: shape (members,), dtype gateway.packs.index.RECORD."""

    series_instance_uid: str
    index: NDArray[np.void]
    storage_key: str = ""
    association_id: str = ""


@dataclass(frozen=True)
class Recording:
    """What one received Series comes to; every member of its packs is in one place or counted.

    frames: in order. excluded: faulty, cannot be shown. conflicts: their SOP Instance UID was
    kept before with other bytes. originals: cannot be wrapped, delivered as they came.
    other_numbers: Instance Numbers of excluded members and originals, sorted, each once.
    """

    series_instance_uid: str
    frames: Frames
    excluded: Members
    conflicts: Members
    originals: Members
    other_numbers: NDArray[np.int64]
    received_count: int
    duplicate_count: int


def recordings(packs: Sequence[SealedPack]) -> list[Recording]:
    """Sort the members of a study's packs into recordings, the Series first received first.

    packs: in the order they were opened. Of members with the same SOP Instance UID, in
    whichever Series, the first one counts: it was acknowledged first.
    """
    if not packs:
        return []
    place = np.zeros(sum(len(pack.index) for pack in packs), MEMBER)
    place["pack"] = np.repeat(np.arange(len(packs)), [len(pack.index) for pack in packs])
    place["row"] = np.concatenate([np.arange(len(pack.index)) for pack in packs])
    first, again = _seen_before(packs)
    series = list(dict.fromkeys(pack.series_instance_uid for pack in packs))
    number_of = np.array([series.index(pack.series_instance_uid) for pack in packs])
    of_member = number_of[place["pack"]]
    return [
        _recording(uid, packs, place[of_member == number], first, again, of_member == number)
        for number, uid in enumerate(series)
    ]


def _seen_before(
    packs: Sequence[SealedPack],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return two masks over all members: the first of its UID; the same bytes once more."""
    uids = _column(packs, "sop_instance_uid")
    digests = _column(packs, "digest")
    order = np.argsort(uids, kind="stable")  # of equal UIDs, the one received first stays first
    ordered = uids[order]
    begins = np.ones(len(uids), np.bool_)
    begins[1:] = ordered[1:] != ordered[:-1]
    leader = order[np.maximum.accumulate(np.where(begins, np.arange(len(uids)), 0))]
    first, again = np.zeros(len(uids), np.bool_), np.zeros(len(uids), np.bool_)
    first[order] = begins
    again[order] = ~begins & (digests[order] == digests[leader]).all(axis=1)
    return first, again


def _recording(
    series_instance_uid: str,
    packs: Sequence[SealedPack],
    place: Members,
    first: NDArray[np.bool_],
    again: NDArray[np.bool_],
    mine: NDArray[np.bool_],
) -> Recording:
    first, again = first[mine], again[mine]
    faulty = _gather(packs, place, "fault") != FrameFault.NONE
    wrappable = _gather(packs, place, "encoding") != FrameEncoding.OTHER
    frames = _frames(packs, place[first & ~faulty & wrappable])
    others = place[first & (faulty | ~wrappable)]
    originals = place[first & ~faulty & ~wrappable]
    numbers = _gather(packs, others, "instance_number").astype(np.int64)
    rank = np.argsort(_gather(packs, originals, "instance_number"), kind="stable")
    return Recording(
        series_instance_uid=series_instance_uid,
        frames=frames[_order(frames)],
        excluded=place[first & faulty],
        conflicts=place[~first & ~again],
        originals=originals[rank],
        other_numbers=np.unique(numbers[numbers >= 0]),
        received_count=len(place),
        duplicate_count=int(again.sum()),
    )


def _order(frames: Frames) -> NDArray[np.intp]:
    """Return positions by Instance Number, acquisition time, SOP Instance UID.

    Numbers that repeat, or of which some are absent, cannot say the order of the whole: then
    the clock comes before them, if every frame has a time.
    """
    number = frames["instance_number"].astype(np.int64)
    acquired = frames["acquired_us"].astype(np.int64)
    counts = len(np.unique(number)) == len(number) and bool((number >= 0).all())
    timed = bool((acquired >= 0).all())
    number[number < 0] = _LAST  # without a number: behind the others
    acquired[acquired < 0] = _LAST
    if timed and not counts:
        number, acquired = acquired, number
    return np.lexsort((frames["sop_instance_uid"], acquired, number))


def _frames(packs: Sequence[SealedPack], place: Members) -> Frames:
    frames = np.zeros(len(place), FRAME)
    for name in FRAME.names or ():
        frames[name] = place[name] if name in ("pack", "row") else _gather(packs, place, name)
    return frames


def _column(packs: Sequence[SealedPack], name: str) -> NDArray[np.generic]:
    return np.concatenate([pack.index[name] for pack in packs])


def _gather(packs: Sequence[SealedPack], place: Members, name: str) -> NDArray[np.generic]:
    """Return one column of the indexes at the given places."""
    found = np.zeros(len(place), packs[0].index.dtype[name])
    for number, pack in enumerate(packs):
        here = place["pack"] == number
        found[here] = pack.index[name][place["row"][here]]
    return found
