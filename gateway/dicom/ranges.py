"""Pure: dates and times as keys: single values and ranges (PS3.4 C.2.2.2.5).

Everything becomes text of one length that sorts as time does, so that a range is two of them:
dates YYYYMMDD, times HHMMSSffffff, both together. A value that says less than it could ("0815",
"2026") stands for everything it leaves open. Zones are not looked at: times are compared as
the clock of the recorder showed them.
"""

import re
from typing import NamedTuple

DATE_FIRST, DATE_LAST = "00000101", "99991231"
TIME_FIRST, TIME_LAST = "000000000000", "235959999999"

_DATE = re.compile(r"(\d{4})\.?(\d\d)\.?(\d\d)", re.ASCII)  # with points as ACR-NEMA had it
_TIME = re.compile(r"(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.(\d{1,6}))?)?)?", re.ASCII)
_MOMENT = r"\d{4}(?:\d\d){0,5}(?:\.\d{1,6})?"
_ZONE = r"[+-](?:0\d|1[0-4])[0-5]\d"
_DATE_TIME = re.compile(rf"({_MOMENT})(?:{_ZONE})?", re.ASCII)
_DATE_TIME_RANGE = re.compile(
    rf"(?:({_MOMENT})(?:{_ZONE})?)?-(?:({_MOMENT})(?:{_ZONE})?)?", re.ASCII
)


class Span(NamedTuple):
    """Both ends belong to it."""

    first: str
    last: str

    def meets(self, other: "Span") -> bool:
        return self.first <= other.last and other.first <= self.last


def span(vr: str, text: str) -> Span | None:
    """Return what a value, or a key that is no range, of DA, TM or DT stands for; None if none."""
    text = text.strip()
    if vr == "DA":
        match = _DATE.fullmatch(text)
        return Span("".join(match.groups()), "".join(match.groups())) if match else None
    if vr == "TM":
        match = _TIME.fullmatch(text)
        return _time_span(*match.groups()) if match else None
    match = _DATE_TIME.fullmatch(text)
    return _moment_span(match.group(1)) if match else None


def key_span(vr: str, key: str) -> Span | None:
    """Return what a key asks for, range or single value; None if it cannot be read.

    -0500 behind a DT is a zone where it can be one: a range is written with both of its years.
    """
    key = key.strip()
    single = span(vr, key)
    if single is not None:
        return single
    if vr == "DT":
        match = _DATE_TIME_RANGE.fullmatch(key)
        ends = match.groups() if match else ("", "")
    else:
        before, dash, after = key.partition("-")
        ends = (before, after) if dash else ("", "")
    if not any(ends):
        return None
    low = span(vr, ends[0]) if ends[0] else _everything(vr)
    high = span(vr, ends[1]) if ends[1] else _everything(vr)
    return Span(low.first, high.last) if low and high else None


def combined(date: Span, time: Span) -> Span:
    """Return one range from a date and a time key, first to first, last to last."""
    return Span(date.first + time.first, date.last + time.last)


def _everything(vr: str) -> Span:
    if vr == "DA":
        return Span(DATE_FIRST, DATE_LAST)
    if vr == "TM":
        return Span(TIME_FIRST, TIME_LAST)
    return Span(DATE_FIRST + TIME_FIRST, DATE_LAST + TIME_LAST)


def _time_span(hour: str, minute: str | None, second: str | None, fraction: str | None) -> Span:
    known = hour + (minute or "") + (second or "") + (fraction or "")
    return Span(known + TIME_FIRST[len(known) :], known + TIME_LAST[len(known) :])


def _moment_span(text: str) -> Span:
    known = text.replace(".", "")
    first, last = DATE_FIRST + TIME_FIRST, DATE_LAST + TIME_LAST
    return Span(known + first[len(known) :], known + last[len(known) :])
