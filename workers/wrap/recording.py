"""Pure: from what the packs of a study hold to its recordings: which frames, in which order.

A recording is what one received Series holds; two cameras are two recordings.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gateway.dicom.image import FRAME_CLASSES
from gateway.model import FrameEncoding, FrameFault

FRAME = np.dtype(
    [
        ("pack", "<i4"),  # which of the packs given, 0-based
        ("row", "<i8"),  # which member of that pack's index, 0-based
        ("fragment_offset", "<i8"),  # of the JPEG stream, bytes from the start of its file
        ("fragment_size", "<i8"),
        ("fragment_digest", "u1", (32,)),  # SHA-256
        ("sop_instance_uid", "S64"),
        ("instance_number", "<i4"),  # -1 if absent
        ("acquired_us", "<i8"),  # gateway.dicom.times, UNKNOWN if absent
        ("rows", "<u2"),
        ("columns", "<u2"),
        ("encoding", "u1"),  # gateway.model.FrameEncoding
        ("spooled", "?"),  # the stream lies in the spool of this wrap, not in the pack
        ("treatment", "u1"),  # gateway.model.FrameTreatment
        ("earlier", "u1"),  # gateway.model.Compression, before it was compressed again
        ("source_frame", "<i4"),  # 1-based in a multi-frame instance, else 0
        ("source_size", "<i8"),  # of the frame as received, bytes; 0 if it was not treated
        ("since_us", "<i8"),  # after the first frame of its instance
    ]
)

Frames = NDArray[np.void]
"""Shape (frames,), dtype FRAME."""

MEMBER = np.dtype(
    [
        ("pack", "<i4"),
        ("row", "<i8"),
        ("source_frame", "<i4"),  # 1-based in a multi-frame instance, 0 for the whole of it
        ("fault", "u1"),  # gateway.model.FrameFault
    ]
)

Members = NDArray[np.void]
"""Shape (members,), dtype MEMBER: rows of the packs' indexes, or frames of them, not wrapped."""

_LAST = np.iinfo(np.int64).max
_OF_THE_INDEX = (
    "fragment_offset", "fragment_size", "fragment_digest", "sop_instance_uid", "instance_number",
    "acquired_us", "rows", "columns", "encoding",
)  # fmt: skip


UNTOUCHED = np.dtype(
    [("pack", "<i4"), ("row", "<i8"), ("frame_count", "<i4"), ("acquired_us", "<i8")]
)


@dataclass(frozen=True)
class SealedPack:
    """index: shape (members,), dtype gateway.packs.index.RECORD."""

    series_instance_uid: str
    index: NDArray[np.void]
    storage_key: str = ""
    association_id: str = ""


@dataclass(frozen=True)
class Examined:
    """What was found inside the members that the index alone does not describe.

    frames: of any pack, in any order. excluded: frames of them that cannot be shown.
    untouched: dtype UNTOUCHED, multi-frame instances that are delivered as they came.
    """

    frames: Frames
    excluded: Members
    untouched: NDArray[np.void]

    @property
    def opened(self) -> NDArray[np.int64]:
        """Return the codes of the members that something was found in, see `code`."""
        return np.unique(np.concatenate([code(self.frames), code(self.excluded)]))


@dataclass(frozen=True)
class Recording:
    """What one received Series comes to; every member of its packs is in one place or counted.

    frames: in order. excluded: faulty, cannot be shown. conflicts: their SOP Instance UID was
    kept before with other bytes. originals: cannot be wrapped, delivered as they came.
    untouched: dtype UNTOUCHED, multi-frame instances delivered as they came, with their frames.
    other_numbers: Instance Numbers of excluded members and originals, sorted, each once.
    received_count: a multi-frame instance that was opened counts with all its frames.
    """

    series_instance_uid: str
    frames: Frames
    excluded: Members
    conflicts: Members
    originals: Members
    untouched: NDArray[np.void]
    other_numbers: NDArray[np.int64]
    received_count: int
    duplicate_count: int

    @property
    def delivered_whole(self) -> int:
        """How many received instances are delivered as they came."""
        return len(self.originals) + len(self.untouched)

    @property
    def frame_count(self) -> int:
        return len(self.frames) + int(self.untouched["frame_count"].sum())


def code(places: NDArray[np.void]) -> NDArray[np.int64]:
    """Return one number for each place, the same for frames of one member."""
    coded: NDArray[np.int64] = places["pack"].astype(np.int64) << 40 | places["row"]
    return coded


def to_examine(packs: Sequence[SealedPack]) -> Members:
    """Return the members that must be looked into, in the order received.

    Those the receiver could not say all about: not one sound JPEG Baseline fragment in a class
    that endoscopes use. What is there a second time is not looked into again.
    """
    if not packs:
        return np.zeros(0, MEMBER)
    place = _places(packs)
    first, _ = _seen_before(packs)
    fault = place["fault"]
    unclear = (_gather(packs, place, "encoding") == FrameEncoding.OTHER) & (
        (fault == FrameFault.NONE) | (fault == FrameFault.TRUNCATED)
    )
    chosen: Members = place[first & unclear & _of_endoscopes(packs)]
    return chosen


def recordings(packs: Sequence[SealedPack], examined: Examined | None = None) -> list[Recording]:
    """Sort the members of a study's packs into recordings, the Series first received first.

    packs: in the order they were opened. Of members with the same SOP Instance UID, in
    whichever Series, the first one counts: it was acknowledged first.
    """
    if not packs:
        return []
    place = _places(packs)
    first, again = _seen_before(packs)
    series = list(dict.fromkeys(pack.series_instance_uid for pack in packs))
    number_of = np.array([series.index(pack.series_instance_uid) for pack in packs])
    of_member = number_of[place["pack"]]
    seen = _Seen(first, again, _of_endoscopes(packs))
    found = [
        _recording(uid, packs, place[of_member == number], seen.of(of_member == number))
        for number, uid in enumerate(series)
    ]
    if examined is None or not (len(examined.opened) or len(examined.untouched)):
        return found
    return [
        _completed(one, packs, examined, number_of == number) for number, one in enumerate(found)
    ]


def _places(packs: Sequence[SealedPack]) -> Members:
    place = np.zeros(sum(len(pack.index) for pack in packs), MEMBER)
    place["pack"] = np.repeat(np.arange(len(packs)), [len(pack.index) for pack in packs])
    place["row"] = np.concatenate([np.arange(len(pack.index)) for pack in packs])
    place["fault"] = _column(packs, "fault")
    return place


def _completed(
    one: Recording, packs: Sequence[SealedPack], examined: Examined, mine: NDArray[np.bool_]
) -> Recording:
    """Add to a recording what was found inside its members. mine: mask over the packs."""
    frames, excluded, untouched = (
        rows[mine[rows["pack"]]]
        for rows in (examined.frames, examined.excluded, examined.untouched)
    )
    opened = np.concatenate([examined.opened, code(untouched)])
    faulty = one.excluded[~np.isin(code(one.excluded), opened)]
    originals = one.originals[~np.isin(code(one.originals), opened)]
    together = np.concatenate([one.frames, frames])
    excluded = np.concatenate([faulty, excluded])
    others = np.concatenate([excluded[excluded["source_frame"] == 0], originals])
    numbers = _gather(packs, others, "instance_number").astype(np.int64)
    found = len(frames) + len(excluded) - len(faulty) + int(untouched["frame_count"].sum())
    inside = (code(frames), code(excluded[len(faulty) :]), code(untouched))
    instances = len(np.unique(np.concatenate(inside)))
    return replace(
        one,
        frames=_in_order(together),
        excluded=excluded,
        originals=originals,
        untouched=untouched,
        other_numbers=np.unique(numbers[numbers >= 0]),
        received_count=one.received_count + found - instances,
    )


def _seen_before(
    packs: Sequence[SealedPack],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return two masks over all members: the first of its UID; the same bytes once more."""
    uids = _column(packs, "sop_instance_uid")
    order = np.argsort(uids, kind="stable")  # of equal UIDs, the one received first stays first
    ordered = uids[order]
    begins = np.ones(len(uids), np.bool_)
    begins[1:] = ordered[1:] != ordered[:-1]
    leader = order[np.maximum.accumulate(np.where(begins, np.arange(len(uids)), 0))]
    first, again = np.zeros(len(uids), np.bool_), np.zeros(len(uids), np.bool_)
    first[order] = begins
    repeated = np.flatnonzero(~begins)  # few, or none: no copy of all digests for them
    place = _places(packs)
    own, earlier = (_gather(packs, place[which[repeated]], "digest") for which in (order, leader))
    again[order[repeated]] = (own == earlier).all(axis=1)
    return first, again


def _of_endoscopes(packs: Sequence[SealedPack]) -> NDArray[np.bool_]:
    """Return, over all members, whether they are of a class in which endoscopes store frames."""
    classes = _column(packs, "sop_class_uid")
    found = np.zeros(len(classes), np.bool_)
    unknown = np.ones(len(classes), np.bool_)
    while unknown.any():  # as often as there are classes: once, nearly always
        uid = classes[np.argmax(unknown)]
        same = classes == uid
        found[same] = bytes(uid).decode("ascii", "replace") in FRAME_CLASSES
        unknown &= ~same
    return found


@dataclass(frozen=True)
class _Seen:
    """Masks over members: the first of its UID, the same bytes once more, of an endoscope."""

    first: NDArray[np.bool_]
    again: NDArray[np.bool_]
    endoscopic: NDArray[np.bool_]

    def of(self, mine: NDArray[np.bool_]) -> "_Seen":
        return _Seen(self.first[mine], self.again[mine], self.endoscopic[mine])


def _recording(
    series_instance_uid: str, packs: Sequence[SealedPack], place: Members, seen: _Seen
) -> Recording:
    first, again = seen.first, seen.again
    faulty = place["fault"] != FrameFault.NONE
    wrappable = seen.endoscopic & (_gather(packs, place, "encoding") != FrameEncoding.OTHER)
    frames = _frames(packs, place[first & ~faulty & wrappable])
    others = place[first & (faulty | ~wrappable)]
    originals = place[first & ~faulty & ~wrappable]
    numbers = _gather(packs, others, "instance_number").astype(np.int64)
    rank = np.argsort(_gather(packs, originals, "instance_number"), kind="stable")
    return Recording(
        series_instance_uid=series_instance_uid,
        frames=_in_order(frames),
        excluded=place[first & faulty],
        conflicts=place[~first & ~again],
        originals=originals[rank],
        untouched=np.zeros(0, UNTOUCHED),
        other_numbers=np.unique(numbers[numbers >= 0]),
        received_count=len(place),
        duplicate_count=int(again.sum()),
    )


def _in_order(frames: Frames) -> Frames:
    """Return the frames in order; not a copy where they are so already, as nearly always."""
    order = _order(frames)
    return frames if bool((np.diff(order) == 1).all()) else frames[order]


def _order(frames: Frames) -> NDArray[np.intp]:
    """Return positions by Instance Number, acquisition time, SOP Instance UID.

    Numbers that repeat, or of which some are absent, cannot say the order of the whole: then
    the clock comes before them, if every frame has a time.
    """
    number = frames["instance_number"].astype(np.int64)
    acquired = frames["acquired_us"].astype(np.int64)
    inside = frames["source_frame"]
    members = len(np.unique(code(frames))) if inside.any() else len(frames)
    counts = len(np.unique(number)) == members and bool((number >= 0).all())
    timed = bool((acquired >= 0).all())
    number[number < 0] = _LAST  # without a number: behind the others
    acquired[acquired < 0] = _LAST
    if timed and not counts:
        number, acquired = acquired, number
    if inside.any():
        return np.lexsort((inside, frames["sop_instance_uid"], acquired, number))
    return np.lexsort((frames["sop_instance_uid"], acquired, number))


def _frames(packs: Sequence[SealedPack], place: Members) -> Frames:
    frames = np.zeros(len(place), FRAME)
    frames["pack"], frames["row"] = place["pack"], place["row"]
    for name in _OF_THE_INDEX:
        frames[name] = _gather(packs, place, name)
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
