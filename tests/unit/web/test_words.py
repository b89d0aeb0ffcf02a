"""Values as people read them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from gateway.web import words


@pytest.mark.parametrize(
    ("value", "first", "second"),
    [
        ("Testcase^Alpha", "Testcase, Alpha", ""),
        ("Specimen^Delta^Middle^Dr^PhD", "Specimen, Dr Delta Middle PhD", ""),
        ("Wang^Xiaodong=王^小东", "Wang, Xiaodong", "王小东"),
        ("Synthetic^Echo=合成^戊=ごうせい^えこ", "Synthetic, Echo", "合成戊"),
        ("=王^小东", "王小东", ""),
        ("Madonna", "Madonna", ""),
        ("^Only Given", "Only Given", ""),
        ("", "No name", ""),
        ("^^^^", "No name", ""),
        ("a^b^c^d^e^f^g", "a, d b c e", ""),
    ],
)
def test_a_person_name_reads_as_one_says_it(value, first, second):
    assert words.person_name(value) == words.PersonName(first, second)


@pytest.mark.parametrize(
    ("value", "text"),
    [("20260105", "2026-01-05"), ("", ""), ("2026", "2026"), ("2026.01.05", "2026.01.05")],
)
def test_a_date_reads_as_iso_8601_or_stays_as_it_is(value, text):
    assert words.dicom_date(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [("074512.25", "07:45"), ("0745", "07:45"), ("7", "7"), ("", "")]
)
def test_a_time_reads_to_the_minute(value, text):
    assert words.dicom_time(value) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (24_300, "24.3 kB"),
        (99_900, "100 kB"),
        (999_600, "1.0 MB"),
        (1_482_000_000, "1.5 GB"),
        (5e15, "5000 TB"),
    ],
)
def test_sizes_have_two_or_three_figures(size_bytes, text):
    assert words.size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (4.2, "4.2 s"), (59, "59 s"), (200, "3 min 20 s"), (29_640, "8 h 14 min")],
)
def test_durations_have_two_units(seconds, text):
    assert words.duration(seconds) == text


def test_the_clock_counts_hours_beyond_a_day():
    assert words.clock(0) == "0:00:00"
    assert words.clock(90_061_000) == "25:01:01"


def test_percent_is_100_only_when_all_is_done():
    assert words.percent(54_999, 55_000) == 99
    assert words.percent(55_000, 55_000) == 100
    assert words.percent(0, 7) == 0


def test_counts_agree_with_their_noun():
    assert words.counted(1, "frame") == "1 frame"
    assert words.counted(49_812, "frame") == "49,812 frames"
    assert words.counted(2, "is", "are") == "2 are"


def test_times_are_shown_in_utc():
    at = datetime(2026, 1, 5, 7, 45, tzinfo=timezone(timedelta(hours=1)))
    assert words.utc(at) == "2026-01-05 06:45:00"
    assert words.utc(datetime(2026, 1, 5, tzinfo=UTC)) == "2026-01-05 00:00:00"
