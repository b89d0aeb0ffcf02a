"""Which frames go into which instance: the cut rules, and that nothing is lost between them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import LimitExceeded
from gateway.model import FrameEncoding
from tests.unit.wrap.indexes import frames
from workers.wrap.segment import (
    FRAME_TIME_VECTOR_BYTES_MAX,
    ITEM_BYTES,
    PARTS_MAX,
    Limits,
    split,
)
from workers.wrap.timing import frame_time_vector

ROOMY = Limits(frames_max=2_000, bytes_max=64 << 20)


def every(count, interval_s=0.5):
    return (np.arange(count) * interval_s * 1_000_000).astype(np.int64)


def lengths(parts):
    return [len(part.positions) for part in parts]


def test_no_frames_make_no_parts():
    assert split(frames(0), every(0), ROOMY) == []


def test_parts_are_as_full_as_the_frame_cap_allows():
    parts = split(frames(5_000), every(5_000), ROOMY)
    assert lengths(parts) == [2_000, 2_000, 1_000]
    assert [part.number for part in parts] == [1, 2, 3]


def test_a_tiny_last_part_shares_with_the_one_before_it():
    assert lengths(split(frames(4_050), every(4_050), ROOMY)) == [2_000, 1_025, 1_025]


def test_appended_frames_leave_all_but_the_last_two_parts_as_they_were():
    before = split(frames(7_010), every(7_010), ROOMY)
    after = split(frames(9_500), every(9_500), ROOMY)
    for old, new in zip(before[:-2], after, strict=False):
        assert old.positions.tolist() == new.positions.tolist()


def test_the_byte_cap_counts_items_and_padding():
    made = frames(10, fragment_size=99)  # 100 with its padding, 108 with its item header
    assert lengths(split(made, every(10), Limits(2_000, 4 * 108))) == [4, 4, 2]
    assert lengths(split(made, every(10), Limits(2_000, 4 * 108 - 1))) == [3, 3, 3, 1]


def test_a_frame_larger_than_the_byte_cap_is_a_part_of_its_own():
    made = frames(3, fragment_size=[100, 5_000, 100])
    assert lengths(split(made, every(3), Limits(2_000, 1_000))) == [1, 1, 1]


def test_a_long_pause_cuts_and_a_short_one_does_not():
    elapsed = every(100)
    elapsed[40:] += 601_000_000
    elapsed[70:] += 599_000_000
    assert lengths(split(frames(100), elapsed, ROOMY)) == [40, 60]


def test_a_clock_set_far_back_begins_a_part_with_its_own_time():
    elapsed = every(100)
    elapsed[40:] -= 3_600_000_000
    assert lengths(split(frames(100), elapsed, ROOMY)) == [40, 60]


def test_frames_of_another_size_are_set_apart_without_cutting_the_others():
    rows = np.full(100, 64)
    rows[[10, 50]] = 32
    parts = split(frames(100, rows=rows), every(100), ROOMY)
    assert [(part.rows, part.set_apart, len(part.positions)) for part in parts] == [
        (64, False, 98),
        (32, True, 2),
    ]
    assert parts[1].positions.tolist() == [10, 50]


def test_another_colour_encoding_is_another_part_but_not_set_apart():
    encoding = np.full(10, FrameEncoding.JPEG_YBR)
    encoding[:4] = FrameEncoding.JPEG_RGB
    parts = split(frames(10, encoding=encoding), every(10), ROOMY)
    assert [(part.encoding, part.set_apart, len(part.positions)) for part in parts] == [
        (FrameEncoding.JPEG_RGB, False, 4),
        (FrameEncoding.JPEG_YBR, False, 6),
    ]


def test_the_text_of_the_frame_time_vector_stays_within_its_length():
    steps = np.full(20_000, 599_999_900)  # six digits of milliseconds and a backslash
    parts = split(frames(20_000), np.cumsum(steps), Limits(20_000, 1 << 40))
    text = [len("\\".join(map(str, vector_of(part, steps)))) for part in parts]
    assert max(text) <= FRAME_TIME_VECTOR_BYTES_MAX
    assert len(parts) == 3


def vector_of(part, steps):
    return frame_time_vector(np.cumsum(steps)[part.positions]).tolist()


def test_frames_that_are_no_recording_are_refused():
    count = PARTS_MAX + 1
    with pytest.raises(LimitExceeded):
        split(frames(count, rows=np.arange(1, count + 1)), every(count), ROOMY)


@st.composite
def studies(draw):
    count = draw(st.integers(1, 300))
    numbers = np.random.default_rng(draw(st.integers(0, 2**32)))
    made = frames(
        count,
        fragment_size=numbers.integers(1, 3_000, count),
        rows=numbers.choice([32, 64], count, p=[0.1, 0.9]),
        encoding=numbers.choice([1, 2], count, p=[0.9, 0.1]),
    )
    steps = numbers.choice([0, 400_000, 5_000_000, 900_000_000], count, p=[0.1, 0.7, 0.19, 0.01])
    limits = Limits(draw(st.integers(1, 120)), draw(st.integers(1_000, 200_000)))
    return made, np.cumsum(steps).astype(np.int64), limits


@given(studies())
def test_every_frame_is_in_exactly_one_part_and_every_part_keeps_the_limits(study):
    made, elapsed, limits = study
    parts = split(made, elapsed, limits)
    together = np.concatenate([part.positions for part in parts])
    assert sorted(together.tolist()) == list(range(len(made)))
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    firsts = [part.positions[0] for part in parts]
    assert firsts == sorted(firsts)
    for part in parts:
        own = made[part.positions]
        assert (np.diff(part.positions) > 0).all()
        assert set(own["rows"]) == {part.rows}
        assert set(own["encoding"]) == {part.encoding}
        sizes = own["fragment_size"]
        fits = (sizes + sizes % 2 + ITEM_BYTES).sum() <= limits.bytes_max
        assert fits or len(own) == 1
        assert len(own) <= limits.frames_max
        between = np.abs(np.diff(elapsed))[part.positions[0] : part.positions[-1]]
        assert between.max(initial=0) <= 600_000_000
    assert len({part.set_apart for part in parts if part.rows == parts[0].rows}) == 1


@given(st.integers(1, 2_000), st.integers(20, 300))
def test_no_part_of_a_plain_recording_is_tiny(count, frames_max):
    parts = split(frames(count), every(count), Limits(frames_max, 1 << 40))
    smallest = min(lengths(parts))
    assert smallest >= 0.05 * frames_max or len(parts) == 1
    assert len(parts) == -(-count // frames_max)
