"""Matching against a reference written from PS3.4 C.2.2.2, slowly and plainly."""

import time
import unicodedata
from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.dicom import matching, names, ranges

TEXT = st.text("aAbB1_%^ *?", max_size=8)
STORED = st.text("aAbB1_%^ ", max_size=8)
DAYS = st.dates(date(1999, 12, 25), date(2000, 1, 10))


def like(key: str, value: str) -> bool:
    """C.2.2.2.4: * is any run of characters, ? any one."""
    if not key:
        return not value
    if key[0] == "*":
        return any(like(key[1:], value[at:]) for at in range(len(value) + 1))
    return bool(value) and key[0] in ("?", value[0]) and like(key[1:], value[1:])


def reference(key: str, value: str) -> bool:
    key, value = key.strip(), value.strip()
    if not key.replace("*", ""):
        return True  # C.2.2.2.3 and the note of C.2.2.2.4: universal
    return bool(value) and like(key, value)


@given(TEXT, STORED)
def test_text_matches_as_the_reference_says(key, value):
    assert matching.matches("LO", key, [value] if value else []) is reference(key, value)


@given(TEXT, STORED)
def test_code_strings_and_short_strings_match_by_the_same_rule(key, value):
    assert matching.matches("SH", key, [value]) is reference(key, value)


def test_a_key_full_of_wildcards_takes_no_time():
    started = time.process_time()
    assert not matching.matches("LO", "*a" * 500 + "b", ["a" * 1000])
    assert time.process_time() - started < 1


@given(DAYS, DAYS, DAYS)
def test_a_day_is_in_a_range_of_days_if_the_calendar_says_so(low, high, day):
    text = [f"{day:%Y%m%d}"]
    assert matching.matches("DA", f"{low:%Y%m%d}-{high:%Y%m%d}", text) is (low <= day <= high)
    assert matching.matches("DA", f"{low:%Y%m%d}-", text) is (low <= day)
    assert matching.matches("DA", f"-{high:%Y%m%d}", text) is (day <= high)
    assert matching.matches("DA", f"{low:%Y%m%d}", text) is (day == low)


SECONDS = st.integers(0, 86_399)


def clock(second: int, digits: int = 6) -> str:
    return f"{second // 3600:02}{second // 60 % 60:02}{second % 60:02}"[:digits]


@given(SECONDS, SECONDS, SECONDS, st.sampled_from([2, 4, 6]))
def test_a_time_is_in_a_range_that_is_as_fine_as_its_ends_are(low, high, moment, digits):
    grain = {2: 3600, 4: 60, 6: 1}[digits]
    wanted = low // grain <= moment // grain <= high // grain
    key = f"{clock(low, digits)}-{clock(high, digits)}"
    assert matching.matches("TM", key, [clock(moment)]) is wanted


@given(DAYS, SECONDS, DAYS, SECONDS, DAYS, SECONDS)
def test_a_date_and_a_time_together_are_one_moment(day_1, time_1, day_2, time_2, day, moment):
    dates = f"{day_1:%Y%m%d}-{day_2:%Y%m%d}"
    times = f"{clock(time_1)}-{clock(time_2)}"
    wanted = (day_1, time_1) <= (day, moment) <= (day_2, time_2)
    found = matching.matches_moment(dates, times, [f"{day:%Y%m%d}"], [clock(moment)])
    assert found is wanted


@given(DAYS, SECONDS, DAYS, SECONDS)
def test_a_date_time_is_in_a_range_of_date_times(day_1, time_1, day, moment):
    stored = [f"{day:%Y%m%d}{clock(moment)}.250000+0800"]
    key = f"{day_1:%Y%m%d}{clock(time_1)}"
    wanted = (day_1, time_1) <= (day, moment)
    assert matching.matches("DT", f"{key}-", stored) is wanted
    assert matching.matches("DT", f"{key}+0100-", stored) is wanted  # zones are not looked at


@pytest.mark.parametrize(
    ("vr", "key", "value", "found"),
    [
        ("DA", "20240101", "2024.01.01", True),  # as ACR-NEMA wrote it
        ("DA", "2024", "20240101", False),  # a DA is a whole day
        ("DA", "20240101-20240102-", "20240101", False),
        ("DA", "-", "20240101", False),
        ("TM", "08", "080001", True),
        ("TM", "0800-0830", "083059.999", True),
        ("TM", "08:00", "0800", True),
        ("DT", "2024", "20241231235959", True),
        ("DT", "2023-2024", "20241231235959", True),  # -2024 is no zone: a range, all of 2024 in it
        ("DT", "2022-2023", "20240101", False),
        ("DT", "20240101-0500", "20240101120000", True),  # -0500 is a zone
        ("UI", "1.2.3\\1.2.4", "1.2.4", True),
        ("UI", "1.2.*", "1.2.3", False),  # no wildcards in UIDs
        ("IS", "1", "01", True),
        ("US", "64", "64", True),
        ("CS", "ES\\CT", "CT", True),
        ("LT", "a\\b", "a\\b", True),  # one value
        ("LO", "P1 ", "P1", True),
        ("LO", "p1", "P1", False),
    ],
)
def test_particular_keys(vr, key, value, found):
    assert matching.matches(vr, key, [value]) is found


@pytest.mark.parametrize(
    ("key", "name", "found"),
    [
        ("wang^xiaodong", "Wang^XiaoDong=王^小东", True),
        ("Wang", "Wang^XiaoDong", False),
        ("WANG*", "Wang^XiaoDong", True),
        ("王小东", "Wang^XiaoDong=王^小东", True),
        ("王 小东", "Wang^XiaoDong=王^小东", True),
        ("*小东", "Wang^XiaoDong=王^小东", True),
        ("=王*", "Wang^XiaoDong=王^小东", True),
        ("Li=王*", "Wang^XiaoDong=王^小东", False),
        ("Wang*=王*", "Wang^XiaoDong=王^小东", True),
        ("muller^jose", "Müller^José", True),
        ("MÜLLER^*", "Muller^Jose", True),
        ("straße^*", "STRASSE^Anna", True),
        ("Wang^XiaoDong^^^", "Wang^XiaoDong", True),
        ("Wang ^ XiaoDong", "Wang^XiaoDong", True),
        ("ｗａｎｇ*", "Wang^XiaoDong", True),  # full width
        ("が*", "か^き", False),  # there the marks are letters
        ("Иванов^*", "ИВАНОВ^ИВАН", True),
        ("W?ng^*", "Wang^XiaoDong", True),
    ],
)
def test_names_match_without_case_width_and_accents(key, name, found):
    assert matching.matches("PN", key, [name]) is found


@given(st.text("abcABCéüÅñ ^", min_size=1, max_size=10))
@example("É^ü")
def test_a_name_is_found_by_itself_however_it_is_accented(name):
    plain = "".join(
        one for one in unicodedata.normalize("NFD", name) if not unicodedata.combining(one)
    )
    if names.fold_group(name):
        assert matching.matches("PN", plain.upper(), [name])


@given(st.text(max_size=12))
def test_folding_twice_changes_nothing(text):
    assert names.fold_group(names.fold_group(text)) == names.fold_group(text)


@given(st.sampled_from(["DA", "TM", "DT"]), st.text("0123456789-+.: ", max_size=20))
def test_no_key_for_a_time_is_too_odd(vr, key):
    ranges.key_span(vr, key)
    matching.matches(vr, key, ["20240101", "0800", ""])
