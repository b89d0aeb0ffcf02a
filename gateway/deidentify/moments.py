"""Pure: dates moved by whole days; the time of day, and so every interval, stays."""

import re
from datetime import date, timedelta

_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")
_DATE_TIME = re.compile(r"(\d{8})(\d{0,6}(?:\.\d{1,6})?)([+-]\d{4})?")


def shifted_date(value: str, days: int) -> str:
    """Return a DA value some days away; empty if it is no date."""
    match = _DATE.fullmatch(value.strip())
    if match is None:
        return ""
    try:
        moved = date(*(int(one) for one in match.groups())) + timedelta(days=days)
    except (ValueError, OverflowError):
        return ""
    return f"{moved:%Y%m%d}".rjust(8, "0")


def shifted_date_time(value: str, days: int) -> str:
    """Return a DT value some days away, without its zone; empty if it names no day."""
    match = _DATE_TIME.fullmatch(value.strip())
    if match is None:
        return ""
    day = shifted_date(match[1], days)
    return day and day + match[2]
