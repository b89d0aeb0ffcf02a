"""Motion JPEG inside AVI and MOV files, whole, damaged and hostile."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import FileRefused
from gateway.importing import avi, quicktime
from tests.recordings import avi_of, box, chunk, frames, mov_of


class Bytes:
    def __init__(self, data):
        self.data, self.size_bytes = data, len(data)

    def read_at(self, offset, size):
        return self.data[offset : offset + size]


def pictures(data, track):
    return [data[one.offset : one.offset + one.size] for one in track.samples]


def test_an_avis_pictures_come_out_bit_for_bit():
    wanted = frames(7)
    data = avi_of(wanted, fps=5)
    track = avi.track(Bytes(data))
    assert pictures(data, track) == wanted
    assert [one.elapsed_us for one in track.samples[:3]] == [0, 200_000, 400_000]
    assert (track.codec, track.rows, track.columns, track.timed) == ("MJPG", 64, 64, True)


def test_an_empty_chunk_is_a_picture_that_stayed_and_only_time_goes_on():
    one, two = frames(2)
    track = avi.track(Bytes(avi_of([one, b"", b"", two], fps=10)))
    assert [sample.elapsed_us for sample in track.samples] == [0, 300_000]


def test_an_avi_that_was_cut_off_gives_what_lies_before_the_cut():
    wanted = frames(4)
    data = avi_of(wanted)[:-100]
    track = avi.track(Bytes(data))
    assert pictures(data, track)[:3] == wanted[:3]
    assert track.samples[3].offset + track.samples[3].size > len(data)


def test_open_dml_parts_and_rec_lists_are_entered():
    first, second, third = frames(3)
    more = chunk(b"RIFF", b"AVIX" + chunk(b"LIST", b"movi" + chunk(b"00dc", second)))
    rec = chunk(b"LIST", b"rec " + chunk(b"01wb", b"sound") + chunk(b"00db", third))
    data = avi_of([first]) + more + chunk(b"RIFF", b"AVIX" + chunk(b"LIST", b"movi" + rec))
    assert pictures(data, avi.track(Bytes(data))) == [first, second, third]


@pytest.mark.parametrize("per_chunk", [1, 2, 5])
def test_a_movs_pictures_come_out_bit_for_bit(per_chunk):
    wanted = frames(5)
    data = mov_of(wanted, delta=100, per_chunk=per_chunk)
    track = quicktime.track(Bytes(data))
    assert pictures(data, track) == wanted
    assert [one.elapsed_us for one in track.samples] == [n * 200_000 for n in range(5)]
    assert (track.codec, track.rows, track.columns) == ("jpeg", 64, 64)


def test_a_mov_whose_tables_were_never_written_says_so():
    with pytest.raises(FileRefused, match="not finished"):
        quicktime.track(Bytes(mov_of(frames(2)).partition(b"moov")[0][:-4]))


@pytest.mark.parametrize(
    "table",
    [
        box(b"stsz", struct.pack(">LLL", 0, 5, 0xFFFFFFFF)),  # four milliards of pictures
        box(b"stsz", struct.pack(">LLL", 0, 0, 100_000)),  # a table that is not there
        box(b"stsz", struct.pack(">LLL", 0, 0, 0)),
    ],
)
def test_absurd_tables_are_refused_without_being_believed(table):
    data = mov_of(frames(2))
    start = data.index(b"stsz") - 4
    (size,) = struct.unpack_from(">L", data, start)
    padded = table + box(b"free", bytes(max(0, size - len(table) - 8)))
    with pytest.raises(FileRefused):
        quicktime.track(Bytes(data[:start] + padded[:size] + data[start + size :]))


@pytest.mark.parametrize(("module", "whole"), [(avi, avi_of), (quicktime, mov_of)])
@given(where=st.integers(0, 4000), what=st.binary(min_size=1, max_size=8), cut=st.integers(0, 400))
@settings(max_examples=150, deadline=None)
def test_a_damaged_file_has_a_track_or_is_refused(module, whole, where, what, cut):
    data = whole([b"\xff\xd8" + bytes(40)] * 6)
    damaged = bytearray(data[: len(data) - cut])
    at = where % max(1, len(damaged))
    damaged[at : at + len(what)] = what
    try:
        track = module.track(Bytes(bytes(damaged)))
    except FileRefused:
        return
    assert len(track.samples) < 1000


@given(st.binary(max_size=300))
def test_any_bytes_are_no_video(data):
    for module in (avi, quicktime):
        with pytest.raises(FileRefused):
            module.track(Bytes(data))
