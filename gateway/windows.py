"""Pure: time windows of a destination, on the clock of its own time zone.

"Mon-Fri 19:00-06:00; Sat,Sun 00:00-24:00": days, then from and until; a window that ends
before it begins ends the next day. Nothing at all: always.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.errors import ConfigurationError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(
    r"(?:(?P<days>[a-z,\-]+)\s+)?(?P<from>\d{1,2}:\d{2})\s*-\s*(?P<until>\d{1,2}:\d{2})"
)
_DAY_MINUTES = 24 * 60
_LOOK_AHEAD_DAYS = 8


@dataclass(frozen=True)
class Window:
    """days: 0 is Monday; minutes since midnight, until_minute at most two days later."""

    days: frozenset[int]
    from_minute: int
    until_minute: int


def parse(text: str) -> tuple[Window, ...]:
    """Return the windows of a description. Raises ConfigurationError, naming what is wrong."""
    parts = [part.strip() for part in text.lower().split(";")]
    return tuple(_window(part) for part in parts if part)


def zone(name: str) -> ZoneInfo:
    """Return a time zone. Raises ConfigurationError if there is none of that name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigurationError(f"There is no time zone {name!r}: say Asia/Shanghai.") from error


def open_from(windows: Sequence[Window], time_zone: ZoneInfo, now: datetime) -> datetime:
    """Return when the next window is open: `now` itself if one is, or if there are none."""
    if not windows:
        return now
    spans = _spans(windows, time_zone, now)
    return min(max(begin, now) for begin, end in spans if end > now)


def open_until(windows: Sequence[Window], time_zone: ZoneInfo, now: datetime) -> datetime | None:
    """Return when the window that is open now closes; None: not before eight days from now.

    Windows that touch or overlap count as one.
    """
    if not windows:
        return None
    end = now
    for begin, until in sorted(_spans(windows, time_zone, now)):
        if begin <= end:
            end = max(end, until)
    return None if end >= now + timedelta(days=_LOOK_AHEAD_DAYS - 1) else end


def _spans(
    windows: Sequence[Window], time_zone: ZoneInfo, now: datetime
) -> list[tuple[datetime, datetime]]:
    """Return the windows of yesterday and the days to come, in UTC."""
    today = now.astimezone(time_zone).date()
    spans = []
    for offset in range(-1, _LOOK_AHEAD_DAYS):
        day = today + timedelta(days=offset)
        midnight = datetime.combine(day, time(), tzinfo=time_zone)
        for window in windows:
            if day.weekday() in window.days:
                # Wall-clock arithmetic: the window says 06:00 on the clock there, summer or not.
                begin = midnight + timedelta(minutes=window.from_minute)
                end = midnight + timedelta(minutes=window.until_minute)
                spans.append((begin.astimezone(UTC), end.astimezone(UTC)))
    return spans


def _window(text: str) -> Window:
    match = _WINDOW.fullmatch(text)
    if match is None:
        raise ConfigurationError(f"{text!r} is no time window: say Mon-Fri 19:00-06:00.")
    begin, end = _minute(match["from"]), _minute(match["until"])
    if end <= begin:
        end += _DAY_MINUTES
    return Window(_days(match["days"] or "mon-sun"), begin, end)


def _days(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            raise ConfigurationError(f"{part!r} are no days: say Mon-Fri, or Sat,Sun.")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        found.update((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    return frozenset(found)


def _minute(text: str) -> int:
    hours, minutes = (int(part) for part in text.split(":"))
    total = hours * 60 + minutes
    if minutes > 59 or total > _DAY_MINUTES:
        raise ConfigurationError(f"{text!r} is no time of day.")
    return total
