"""Pure: DICOM dates and times (PS3.5 6.2) as microseconds of local wall-clock time.

Frames are ordered by the clock of the recorder that wrote them; its zone, if it says one,
is the same for the whole study and travels separately.
"""

import re
from datetime import datetime, timedelta
from functools import lru_cache

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - wall-clock time, no zone on purpose
UNKNOWN = -1

_DATE_TIME = re.compile(
    r"(\d{4})(\d\d)(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,6}))?)?)?)?([+-]\d{4})?"
)

_USUAL = re.compile(r"(\d{8})([01]\d|2[0-3])([0-5]\d)([0-5]\d)(?:\.(\d{6}))?", re.ASCII)
"""Seconds or microseconds, no zone: what recorders write. Read without building a datetime."""


def from_date_time(text: str) -> int:
    """Return a DT value as microseconds since 1970, zone ignored; UNKNOWN if it is none."""
    usual = _USUAL.fullmatch(text)
    if usual is None:
        return _from_any_date_time(text)
    date, hour, minute, second, fraction = usual.groups()
    midnight = _midnight(date)
    if midnight == UNKNOWN:
        return UNKNOWN
    seconds = int(hour) * 3600 + int(minute) * 60 + int(second)
    return midnight + seconds * 1_000_000 + int(fraction or 0)


@lru_cache(maxsize=64)
def _midnight(date: str) -> int:
    return _from_any_date_time(date)


def _from_any_date_time(text: str) -> int:
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        return UNKNOWN
    year, month, day, hour, minute, second, fraction, _ = match.groups()
    try:
        moment = datetime(  # noqa: DTZ001 - wall-clock time
            int(year), int(month), int(day), int(hour or 0), int(minute or 0),
            min(int(second or 0), 59),  # a leap second is shown as the last ordinary one
            int((fraction or "0").ljust(6, "0")),
        )  # fmt: skip
    except ValueError:
        return UNKNOWN
    return from_datetime(moment)


def from_date_and_time(date: str, time: str) -> int:
    """Return a DA and a TM value together; UNKNOWN without either."""
    if len(date) != 8 or not time:
        return UNKNOWN
    return from_date_time(date + time)


def from_datetime(moment: datetime) -> int:
    """Return a naive local datetime as microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def to_datetime(microseconds: int) -> datetime:
    """Return the naive local datetime of a value of this module."""
    return EPOCH + timedelta(microseconds=microseconds)


def clock(elapsed_ms: int) -> str:
    """Return an elapsed time as people read it, for instance '+03:12:45'."""
    seconds = max(0, elapsed_ms) // 1000
    return f"+{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
