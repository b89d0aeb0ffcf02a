"""Times in file names and in lists."""

import contextlib
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dicom import times
from gateway.errors import OrderIncomplete
from gateway.importing import stamps


def at(*moment):
    return (datetime(*moment) - times.EPOCH) // timedelta(microseconds=1)


HOUR, MINUTE, SECOND, MS = 3_600_000_000, 60_000_000, 1_000_000, 1000


@pytest.mark.parametrize(
    ("names", "absolute", "expected"),
    [
        (["20260131_081500.250.jpg", "20260131_081501.jpg"], True,
         [at(2026, 1, 31, 8, 15, 0, 250_000), at(2026, 1, 31, 8, 15, 1)]),
        (["x/2026-01-31T08-15-00.png", "x/2026-01-31T08-15-30.png"], True,
         [at(2026, 1, 31, 8, 15), at(2026, 1, 31, 8, 15, 30)]),
        (["20260131081500123.jpg", "20260131081500623.jpg"], True,
         [at(2026, 1, 31, 8, 15, 0, 123_000), at(2026, 1, 31, 8, 15, 0, 623_000)]),
        (["IMG-20260131-235959_000007.jpg", "IMG-20260201-000001_000008.jpg"], True,
         [at(2026, 1, 31, 23, 59, 59), at(2026, 2, 1, 0, 0, 1)]),
        (["frame7_02h13m45s.jpg", "frame8_02h13m45s500.jpg"], False,
         [2 * HOUR + 13 * MINUTE + 45 * SECOND, 2 * HOUR + 13 * MINUTE + 45 * SECOND + 500 * MS]),
        (["00_00_01.jpg", "00_00_01.500.jpg"], False, [SECOND, SECOND + 500 * MS]),
        (["1_0ms.jpg", "2_500ms.jpg"], False, [0, 500 * MS]),
        (["1706688000123.jpg", "1706688000623.jpg"], True,
         [1_706_688_000_123 * MS, 1_706_688_000_623 * MS]),
    ],
)  # fmt: skip
def test_the_usual_ways_to_write_a_time_are_read(names, absolute, expected):
    found = stamps.from_names(names)
    assert (found.absolute, found.us) == (absolute, expected)


@pytest.mark.parametrize(
    "names",
    [
        ["frame1.jpg", "frame2.jpg"],
        ["d369e4f163df4aba_13459.jpg", "d369e4f163df4aba_13460.jpg"],
        ["20269931_081500.jpg", "20269931_081501.jpg"],  # no such month
        ["20260131_081501.jpg", "20260131_081500.jpg"],  # goes back: it is something else
        ["20260131_081500.jpg"] + [f"other{n}.jpg" for n in range(9)],  # one in ten
        ["20260131_081500_1.jpg", "20260131_081500_2.jpg"],  # a name, the same for all
        [],
    ],
)
def test_names_without_times_are_not_taken_for_times(names):
    assert stamps.from_names(names) is None


def test_an_operators_own_pattern_is_obeyed():
    found = stamps.from_names(["p8s15", "p9s00", "x"], r"p(?P<minute>\d+)s(?P<second>\d+)")
    assert found.us == [8 * MINUTE + 15 * SECOND, 9 * MINUTE, None]
    assert not found.absolute


@pytest.mark.parametrize("pattern", ["(", r"t(?P<second>\d+)"])
def test_a_pattern_that_is_none_or_fits_nothing_is_refused(pattern):
    with pytest.raises(OrderIncomplete):
        stamps.from_names(["frame1.jpg"], pattern)


@pytest.mark.parametrize(
    ("text", "absolute", "expected"),
    [
        ("file,seconds\na.jpg,0\nb.jpg,0.5\n", False, [0, 500 * MS]),
        ("File;Elapsed ms\nsub/a.jpg;10\nb;20\n", False, [10 * MS, 20 * MS]),
        ("name\ttime\na.jpg\t00:00:01.5\nb.jpg\t00:00:02\n", False, [1500 * MS, 2 * SECOND]),
        ("\ufefffilename,datetime\na.jpg,2026-01-31T08:00:00\nb.jpg,20260131080001\n", True,
         [at(2026, 1, 31, 8), at(2026, 1, 31, 8, 0, 1)]),
        ("file,seconds\nb.jpg,2\n\n", False, [None, 2 * SECOND]),
    ],
)  # fmt: skip
def test_a_list_gives_each_frame_its_time(text, absolute, expected):
    found = stamps.from_list(text.encode(), ["sub/a.jpg", "sub/b.jpg"])
    assert (found.absolute, found.us) == (absolute, expected)


@pytest.mark.parametrize(
    "text",
    ["", "file\na.jpg\n", "file,seconds\nother.jpg,1\n", "file,seconds\na.jpg,soon\n",
     "file,time\na.jpg,1\nb.jpg,2026-01-31T08:00:00\n"],
)  # fmt: skip
def test_a_list_that_says_nothing_is_refused(text):
    with pytest.raises(OrderIncomplete):
        stamps.from_list(text.encode(), ["a.jpg", "b.jpg"])


@given(st.binary(max_size=300))
def test_any_bytes_are_a_list_or_refused(data):
    with contextlib.suppress(OrderIncomplete):
        stamps.from_list(b"file,time\n" + data, ["a.jpg"])


@given(st.lists(st.text(alphabet="0123456789hms_-.T :", max_size=30), max_size=5))
def test_any_names_are_read_or_left_alone(names):
    stamps.from_names(names)
