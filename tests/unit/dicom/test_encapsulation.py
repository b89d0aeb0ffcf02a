"""Frames are found in encapsulated pixel data, also where it breaks the rules."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dicom.encapsulation import fragments, frames

JPEG, MORE = b"\xff\xd8one", b"and so on"


def item(value, size=None):
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(value) if size is None else size) + value


def element(values, *, table=(), delimiter=True):
    encoded = item(struct.pack(f"<{len(table)}L", *table)) + b"".join(map(item, values))
    return encoded + (struct.pack("<HHL", 0xFFFE, 0xE0DD, 0) if delimiter else b"")


def walk(data):
    return fragments(lambda offset, size: data[offset : offset + size], 0, len(data))


def grouped(data, declared, extended=()):
    found = walk(data)
    return frames(
        found,
        declared=declared,
        extended_table=extended,
        begins=lambda at: data[found.offsets[at] : found.offsets[at] + 8],
    )


def values(data):
    found = walk(data)
    return [
        data[offset : offset + size]
        for offset, size in zip(found.offsets, found.sizes, strict=True)
    ]


def test_fragments_are_found_behind_the_table():
    data = element([JPEG + b"!", MORE + b"!"], table=[0, 14])
    assert values(data) == [JPEG + b"!", MORE + b"!"]
    assert walk(data).table == [0, 14]


def test_a_missing_delimiter_and_a_last_fragment_cut_off_are_taken_as_they_are():
    data = element([JPEG, MORE], delimiter=False)
    assert values(data) == [JPEG, MORE]
    assert values(data[:-3]) == [JPEG, MORE[:-3]]


def test_a_fragment_of_odd_length_may_be_followed_by_its_padding():
    data = item(b"") + item(JPEG) + b"\0" + item(MORE)
    assert len(JPEG) % 2
    assert values(data) == [JPEG, MORE]


def test_something_else_where_an_item_belongs_is_an_error():
    with pytest.raises(ValueError, match="fragments"):
        walk(item(b"") + b"no item at all at this place")


def test_as_many_fragments_as_frames_are_a_frame_each_whatever_the_table_says():
    assert grouped(element([JPEG, JPEG], table=[7, 9]), 2) == [[0], [1]]


def test_the_table_says_which_fragments_belong_together():
    data = element([JPEG + b"!", MORE + b"!", JPEG + b"!"], table=[0, 32])
    assert grouped(data, 2) == [[0, 1], [2]]


def test_the_extended_table_does_too():
    data = element([JPEG + b"!", MORE + b"!", JPEG + b"!"])
    assert grouped(data, 2, extended=[0, 32]) == [[0, 1], [2]]


def test_without_a_table_images_begin_where_they_begin():
    data = element([JPEG, MORE, MORE, JPEG, MORE])
    assert grouped(data, 2) == [[0, 1, 2], [3, 4]]
    assert grouped(data, None) == [[0, 1, 2], [3, 4]]
    assert grouped(data, 55) == [[0, 1, 2], [3, 4]]


def test_one_frame_may_be_any_number_of_fragments():
    assert grouped(element([b"what", b"ever"]), 1) == [[0, 1]]


def test_several_frames_that_nothing_tells_apart_are_an_error():
    with pytest.raises(ValueError, match="ends"):
        grouped(element([b"what", b"ever", b"else"]), 2)


@given(st.binary(max_size=200), st.one_of(st.none(), st.integers(1, 5)))
def test_any_bytes_give_frames_or_an_error(data, declared):
    try:
        found = grouped(data, declared)
    except ValueError:
        return
    together = [one for group in found for one in group]
    assert together == list(range(len(together)))
