"""Every received member is in one recording, once, and in the right place."""

import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.dicom import times
from gateway.dicom.storage_classes import VL_ENDOSCOPIC
from gateway.model import FrameEncoding, FrameFault
from tests.unit.wrap.indexes import member, pack
from workers.wrap.recording import SealedPack, recordings


def uids(frames):
    return [int(bytes(uid).split(b".")[-1]) for uid in frames["sop_instance_uid"]]


def rows(members):
    return [(int(one["pack"]), int(one["row"])) for one in members]


def only(packs):
    (recording,) = recordings(packs)
    return recording


def test_frames_are_in_the_order_of_their_instance_numbers_over_all_packs():
    recording = only([pack([member(3), member(1)]), pack([member(4), member(2)])])
    assert uids(recording.frames) == [1, 2, 3, 4]
    assert rows(recording.frames) == [(0, 1), (1, 1), (0, 0), (1, 0)]


def test_a_clock_that_was_set_back_does_not_change_the_order_of_numbers():
    recording = only([pack([member(1, acquired_us=9), member(2, acquired_us=5)])])
    assert uids(recording.frames) == [1, 2]


def test_numbers_that_repeat_leave_the_order_to_the_clock():
    members = [
        member(1, uid=1, acquired_us=50),
        member(1, uid=2, acquired_us=30),
        member(2, uid=3, acquired_us=40),
    ]
    assert uids(only([pack(members)]).frames) == [2, 3, 1]


def test_without_numbers_the_clock_decides_and_then_the_uid():
    members = [
        member(uid=5, instance_number=-1, acquired_us=7),
        member(uid=9, instance_number=-1, acquired_us=3),
        member(uid=4, instance_number=-1, acquired_us=7),
    ]
    assert uids(only([pack(members)]).frames) == [9, 4, 5]


def test_frames_without_number_or_time_come_last_by_uid():
    unknown = {"instance_number": -1, "acquired_us": times.UNKNOWN}
    members = [member(uid=8, **unknown), member(uid=7, **unknown), member(2), member(1)]
    assert uids(only([pack(members)]).frames) == [1, 2, 7, 8]


def test_the_same_instance_again_is_counted_and_kept_once():
    recording = only([pack([member(1), member(2)]), pack([member(2), member(3)])])
    assert uids(recording.frames) == [1, 2, 3]
    assert (recording.duplicate_count, len(recording.conflicts)) == (1, 0)


def test_of_one_uid_with_two_contents_the_first_kept_wins_and_the_other_is_listed():
    recording = only([pack([member(1)]), pack([member(1, content="other"), member(1)])])
    assert rows(recording.frames) == [(0, 0)]
    assert rows(recording.conflicts) == [(1, 0)]
    assert recording.duplicate_count == 1


def test_one_uid_in_two_series_is_a_conflict_of_the_second():
    first, second = recordings(
        [pack([member(1)], "1.1"), pack([member(1, content="other"), member(2)], "1.2")]
    )
    assert (uids(first.frames), uids(second.frames)) == ([1], [2])
    assert rows(second.conflicts) == [(1, 0)]


def test_two_cameras_are_two_recordings_in_the_order_they_came():
    packs = [pack([member(1)], "9"), pack([member(2)], "1"), pack([member(3)], "9")]
    assert [(one.series_instance_uid, uids(one.frames)) for one in recordings(packs)] == [
        ("9", [1, 3]),
        ("1", [2]),
    ]


def test_faulty_members_are_excluded_and_what_cannot_be_wrapped_stays_original():
    other = FrameEncoding.OTHER
    recording = only(
        [
            pack(
                [
                    member(1),
                    member(2, fault=FrameFault.TRUNCATED, encoding=other),
                    member(3, encoding=other),
                    member(4, encoding=FrameEncoding.JPEG_RGB),
                    member(5, encoding=other),
                ]
            )
        ]
    )
    assert uids(recording.frames) == [1, 4]
    assert rows(recording.excluded) == [(0, 1)]
    assert rows(recording.originals) == [(0, 2), (0, 4)]
    assert recording.other_numbers.tolist() == [2, 3, 5]


def test_empty_packs_and_no_packs_make_no_frames():
    assert recordings([]) == []
    assert len(only([pack([])]).frames) == 0


KIND = st.tuples(
    st.integers(1, 12),  # the UID
    st.integers(0, 1),  # its contents
    st.sampled_from(FrameFault),
    st.sampled_from(FrameEncoding),
    st.integers(-1, 5),  # Instance Number
    st.integers(-1, 5),  # time
)


@given(st.lists(st.tuples(st.integers(0, 1), st.lists(KIND, max_size=8)), max_size=5))
def test_every_member_is_in_exactly_one_place(packs):
    given_packs = [
        pack(
            [
                member(
                    uid=uid, content=(uid, content), fault=fault, encoding=encoding,
                    instance_number=number, acquired_us=acquired,
                )
                for uid, content, fault, encoding, number, acquired in members
            ],
            f"1.{series}",
        )
        for series, members in packs
    ]  # fmt: skip
    found = recordings(given_packs)
    places = [
        place
        for one in found
        for kind in (one.frames, one.excluded, one.conflicts, one.originals)
        for place in rows(kind)
    ]
    assert len(set(places)) == len(places)
    duplicates = sum(one.duplicate_count for one in found)
    assert len(places) + duplicates == sum(len(one.index) for one in given_packs)
    kept = [uid for one in found for uid in uids(one.frames)]
    assert len(set(kept)) == len(kept)


def test_memory_grows_by_arrays_and_not_by_objects():
    """About 330 bytes a frame at the peak; one Python object for each would show."""
    count = 40_000
    index = np.zeros(count, pack([member(1)]).index.dtype)
    index["sop_instance_uid"] = [b"2.25.%039d" % number for number in range(count)]
    index["instance_number"] = np.arange(count)[::-1]
    index["encoding"] = FrameEncoding.JPEG_YBR
    index["sop_class_uid"] = VL_ENDOSCOPIC.encode()
    tracemalloc.start()
    recording = only([SealedPack("1.1", index)])
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert recording.frames["row"][0] == count - 1
    assert peak_bytes / count < 450
