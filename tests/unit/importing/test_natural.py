"""File names in the order in which a person would put them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.importing import natural


@pytest.mark.parametrize(
    "names",
    [
        ["frame1", "frame2", "frame10"],
        ["001.jpg", "2.jpg", "0010.jpg"],
        ["A2.jpg", "a10.jpg"],
        ["cam1/frame9", "cam1/frame10", "cam2/frame1", "cam10/frame1"],
        ["10/1.jpg", "a/1.jpg"],
        ["20260131_235959.jpg", "20260201_000000.jpg"],
        ["img_99999999999999999999.jpg", "img_100000000000000000000.jpg"],
    ],
)
def test_numbers_count_by_value_and_case_does_not(names):
    shuffled = names[::-1]
    assert sorted(shuffled, key=natural.key) == names


@given(st.lists(st.text(max_size=12), max_size=8))
def test_any_names_have_one_order_whatever_order_they_came_in(names):
    backward = names[::-1]
    assert sorted(names, key=natural.key) == sorted(backward, key=natural.key)
