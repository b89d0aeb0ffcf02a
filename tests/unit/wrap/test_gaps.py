"""What is missing is told exactly: how many, after which frame, for how long."""

import numpy as np
import pytest

from gateway.model import FrameEncoding, FrameFault
from tests.unit.wrap.indexes import member, pack
from workers.wrap.gaps import Gap, find
from workers.wrap.recording import recordings
from workers.wrap.timing import timeline


def gaps_of(members, *, from_one=True, listed_max=200):
    (recording,) = recordings([pack(members)])
    times = timeline(recording.frames["acquired_us"], fallback_us=0)
    return find(recording, times, from_one=from_one, listed_max=listed_max)


def test_a_complete_recording_has_no_gap():
    found = gaps_of([member(number) for number in range(1, 50)])
    assert (found.count, found.missing_count, found.listed) == (0, 0, ())


def test_missing_numbers_are_one_gap_with_its_duration():
    found = gaps_of([member(number) for number in range(1, 50) if number not in (20, 21, 22)])
    assert found.listed == (Gap(after_frame_number=19, missing_count=3, duration_ms=4_000),)


def test_what_is_missing_before_the_first_frame_counts_only_where_numbers_begin_with_one():
    members = [member(number) for number in range(4, 20)]
    assert gaps_of(members).listed == (Gap(0, 3, 0),)
    assert gaps_of(members, from_one=False).count == 0


@pytest.mark.parametrize("first", [0, 1])
def test_numbers_may_begin_with_zero_or_one(first):
    assert gaps_of([member(number) for number in range(first, 20)]).count == 0


def test_a_frame_that_was_received_but_cannot_be_shown_is_not_missing():
    members = [member(number) for number in range(1, 9)]
    members[1]["fault"] = FrameFault.CORRUPT
    members[4]["encoding"] = FrameEncoding.OTHER
    assert gaps_of(members).count == 0


def test_a_series_that_numbers_in_twos_is_measured_in_twos():
    numbers = [number for number in range(2, 80, 2) if number != 40]
    assert gaps_of([member(number) for number in numbers]).listed == (Gap(19, 1, 4_000),)


def test_numbers_that_repeat_count_nothing():
    members = [member(number % 3, uid=number, acquired_us=number) for number in range(9)]
    assert gaps_of(members).count == 0


def test_a_jump_of_the_clock_is_a_gap_although_no_number_is_missing():
    members = [
        member(number, acquired_us=number * 500_000 + (number > 30) * 60_000_000)
        for number in range(1, 60)
    ]
    assert gaps_of(members).listed == (Gap(30, 0, 60_500),)


@pytest.mark.parametrize(
    ("usual_ms", "jump_ms", "count"),
    [
        (200, 9_900, 0),  # fifty times the interval, but under ten seconds
        (200, 10_100, 1),
        (2_000, 19_000, 0),  # over ten seconds, but under ten intervals
        (2_000, 21_000, 1),
    ],
)
def test_a_jump_is_over_ten_seconds_and_over_ten_intervals(usual_ms, jump_ms, count):
    at = np.arange(1, 40) * usual_ms
    at[20:] += jump_ms - usual_ms
    members = [member(index + 1, acquired_us=int(ms) * 1000) for index, ms in enumerate(at)]
    assert gaps_of(members).count == count


def test_estimated_times_show_no_jumps():
    assert gaps_of([member(number, acquired_us=-1) for number in (1, 2, 9)]).listed == (
        Gap(2, 6, 0),
    )


def test_all_gaps_are_counted_and_the_first_are_listed():
    found = gaps_of([member(number) for number in range(1, 1000) if number % 10], listed_max=5)
    assert (found.count, found.missing_count, len(found.listed)) == (99, 99, 5)
