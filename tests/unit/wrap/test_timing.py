"""Frame times: whole milliseconds, never more than half of one wrong."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from workers.wrap.timing import NOMINAL_INTERVAL_US, frame_time_vector, timeline

START = 1_772_352_000_000_000  # 2026-03-01 08:00:00


def array(*values):
    return np.array(values, np.int64)


STEPS_US = hnp.arrays(np.int64, st.integers(1, 500), elements=st.integers(0, 90_000_000))


@given(STEPS_US)
def test_no_frame_is_more_than_half_a_millisecond_off_however_many_there_are(steps):
    elapsed = np.cumsum(steps) - steps[0]
    vector = frame_time_vector(elapsed)
    assert vector[0] == 0
    assert len(vector) == len(elapsed)
    assert (vector >= 0).all()
    assert np.abs(np.cumsum(vector) * 1000 - elapsed).max() <= 500


@given(hnp.arrays(np.int64, st.integers(1, 300), elements=st.integers(0, 3_600_000_000)))
def test_with_a_clock_set_back_no_increment_is_negative_and_time_catches_up(acquired):
    elapsed = acquired - acquired[0]
    vector = frame_time_vector(elapsed)
    assert (vector >= 0).all()
    reached = np.maximum.accumulate(elapsed)
    assert np.abs(np.cumsum(vector) * 1000 - reached).max() <= 500


def test_a_part_in_the_middle_begins_with_zero():
    assert frame_time_vector(array(5_000_400, 5_333_700)).tolist() == [0, 333]


def test_known_times_are_taken_as_they_are():
    made = timeline(array(START, START + 333_333, START + 100), fallback_us=0)
    assert made.started_us == START
    assert made.elapsed_us.tolist() == [0, 333_333, 100]
    assert (made.estimated, made.anchored, made.backward_count) == (False, True, 1)
    assert made.duration_us == 333_333


def test_without_any_time_frames_come_twice_a_second_from_the_fallback_on():
    made = timeline(array(-1, -1, -1), fallback_us=START)
    assert made.started_us == START
    assert made.elapsed_us.tolist() == [0, NOMINAL_INTERVAL_US, 2 * NOMINAL_INTERVAL_US]
    assert (made.estimated, made.anchored) == (True, False)


def test_missing_times_lie_between_their_neighbours_and_at_the_usual_interval_outside():
    second = 1_000_000
    at = array(-1, START, -1, START + 2 * second, START + 3 * second, -1, -1)
    made = timeline(at, fallback_us=0)
    assert made.started_us == START - second
    assert made.elapsed_us.tolist() == [number * second for number in range(7)]
    assert (made.estimated, made.anchored) == (True, True)


@given(
    st.lists(st.one_of(st.just(-1), st.integers(0, 10**13)), min_size=1, max_size=50),
)
def test_every_recording_has_a_timeline_and_known_times_stay_exact(acquired):
    made = timeline(array(*acquired), fallback_us=START)
    assert made.elapsed_us[0] == 0
    assert made.started_us >= 0
    assert made.estimated == (-1 in acquired)
    for index, at in enumerate(acquired):
        if at >= 0:
            assert made.started_us + made.elapsed_us[index] == at
