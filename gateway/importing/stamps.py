"""Pure: when frames were taken, as their file names or a list beside them say.

A time is absolute (microseconds as in gateway.dicom.times) or elapsed since the recording began.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from gateway.dicom import times
from gateway.errors import OrderIncomplete

NAMED_SHARE_MIN = 0.9
"""Of the names of a recording, as many must hold a time before any of them is believed."""
LIST_BYTES_MAX = 256 << 20

_BUILT_IN = (
    # 20260131_081500.250, 2026-01-31T08-15-00, 20260131081500123
    re.compile(
        r"(?<!\d)(?P<year>(?:19|20)\d\d)[-_.]?(?P<month>\d\d)[-_.]?(?P<day>\d\d)[T_\- .]?"
        r"(?P<hour>\d\d)[-_.:h]?(?P<minute>\d\d)[-_.:m]?(?P<second>\d\d)"
        r"(?:s|[.,](?P<fraction>\d{1,6})|[_-]?(?P<ms>\d{3}))?(?!\d)"
    ),
    # 02h13m45s, 02h13m45s250
    re.compile(
        r"(?<!\d)(?P<hour>\d{1,2})h(?P<minute>\d{1,2})m(?P<second>\d{1,2})s?"
        r"(?:[.,_-]?(?P<ms>\d{3}))?(?!\d)", re.IGNORECASE,
    ),
    # 02-13-45, 02_13_45.250
    re.compile(
        r"(?<!\d)(?P<hour>\d\d)(?P<mark>[-_.:])(?P<minute>\d\d)(?P=mark)(?P<second>\d\d)"
        r"(?:[.,](?P<fraction>\d{1,6})|[_-](?P<ms>\d{3}))?(?!\d)"
    ),
    # 8025250ms
    re.compile(r"(?<!\d)(?P<ms>\d{1,10})ms(?![a-z])", re.IGNORECASE),
    # 1706688000123: milliseconds since 1970
    re.compile(r"(?<!\d)(?P<epoch_ms>1\d{12})(?!\d)"),
)  # fmt: skip


@dataclass(frozen=True)
class Stamps:
    """One time a frame, in order, None where unknown. absolute: with a date."""

    us: list[int | None]
    absolute: bool


def from_names(names: Sequence[str], pattern: str = "") -> Stamps | None:
    """Read the times in file names; None if there are none that make sense.

    pattern: a regular expression of the operator's with groups year, month, day, hour, minute,
    second, fraction, ms; else the usual ways to write one are tried. Times must not go back.
    Raises OrderIncomplete if the pattern is none, or fits no name.
    """
    plain = [name.rpartition("/")[2] for name in names]
    if pattern:
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise OrderIncomplete(f"The time pattern is no regular expression: {error}.") from error
        found = _read(plain, compiled)
        if all(one is None for one in found.us):
            raise OrderIncomplete("The time pattern fits none of the file names.")
        return found
    for one in _BUILT_IN:
        if not one.search(plain[0] if plain else "") and not one.search(plain[-1] if plain else ""):
            continue
        found = _read(plain, one)
        known = [us for us in found.us if us is not None]
        enough = len(known) >= NAMED_SHARE_MIN * len(plain)
        forward = all(a <= b for a, b in pairwise(known))
        if enough and forward and (len(known) == 1 or known[-1] > known[0]):
            return found
    return None


def _read(names: Sequence[str], pattern: re.Pattern[str]) -> Stamps:
    absolute = bool({"year", "epoch_ms"} & set(pattern.groupindex))
    return Stamps([_time_in(pattern.search(name), absolute=absolute) for name in names], absolute)


def _time_in(match: re.Match[str] | None, *, absolute: bool) -> int | None:
    if match is None:
        return None
    said = {name: text for name, text in match.groupdict().items() if text and name != "mark"}
    try:
        if "epoch_ms" in said:
            return int(said["epoch_ms"]) * 1000
        clock = {name: int(said.get(name, 0)) for name in ("hour", "minute", "second")}
        if clock["minute"] > 59 or clock["second"] > 59:
            return None
        start = 0
        if absolute:
            day = datetime(  # noqa: DTZ001 - wall-clock time, as the recorder wrote it
                int(said["year"]), int(said.get("month", 1)), int(said.get("day", 1)), clock["hour"]
            )
            start, clock["hour"] = times.from_datetime(day), 0
    except (ValueError, KeyError):
        return None
    seconds = clock["hour"] * 3600 + clock["minute"] * 60 + clock["second"]
    fraction = int(said.get("fraction", "0").ljust(6, "0")[:6]) + int(said.get("ms", 0)) * 1000
    return start + seconds * 1_000_000 + fraction


_FILE_COLUMNS = ("file", "filename", "file_name", "name", "image", "frame")
_SECOND_COLUMNS = ("seconds", "elapsed_s", "time_s", "t", "sec")
_MILLISECOND_COLUMNS = ("ms", "elapsed_ms", "time_ms", "milliseconds")
_MOMENT_COLUMNS = ("time", "datetime", "date_time", "timestamp", "acquired", "acquisitiondatetime")


def from_list(data: bytes, names: Sequence[str]) -> Stamps:
    """Read a CSV file with a heading: a column of file names, and one of times.

    Names are matched whole, then by their last part, then without suffix. Raises OrderIncomplete.
    """
    if len(data) > LIST_BYTES_MAX:
        raise OrderIncomplete("The list of times is absurdly long.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    first = text.partition("\n")[0]
    mark = max(",;\t", key=first.count)
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=mark))
    except csv.Error as error:
        raise OrderIncomplete(f"The list of times cannot be read: {error}.") from error
    heading = [cell.strip().casefold().replace(" ", "_") for cell in rows[0]] if rows else []
    file_at = _column(heading, _FILE_COLUMNS)
    time_at = _column(heading, (*_SECOND_COLUMNS, *_MILLISECOND_COLUMNS, *_MOMENT_COLUMNS))
    if file_at is None or time_at is None:
        raise OrderIncomplete("The list of times needs a heading with a file and a time column.")
    told = {
        row[file_at].strip(): row[time_at].strip()
        for row in rows[1:]
        if len(row) > max(file_at, time_at)
    }
    return _matched(told, names, heading[time_at])


def _column(heading: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((heading.index(name) for name in wanted if name in heading), None)


def _matched(told: dict[str, str], names: Sequence[str], heading: str) -> Stamps:
    found = [_told(told, name) for name in names]
    values = [None if text is None else _value(text, heading) for text in found]
    kinds = {one[1] for one in values if one is not None}
    if not kinds:
        raise OrderIncomplete("The list of times names none of the frames, or no readable time.")
    if len(kinds) > 1:
        raise OrderIncomplete("The list of times mixes dates with elapsed times.")
    return Stamps([None if one is None else one[0] for one in values], kinds.pop())


def _told(told: dict[str, str], name: str) -> str | None:
    last = name.rpartition("/")[2]
    stem = last.rpartition(".")[0]
    return next((told[one] for one in (name, last, stem) if one in told), None)


def _value(text: str, heading: str) -> tuple[int, bool] | None:
    """Return (microseconds, whether it is absolute); None if it cannot be read."""
    scale = 1000 if heading in _MILLISECOND_COLUMNS else 1_000_000
    if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text) and heading != "acquisitiondatetime":
        return round(float(text) * scale), False
    dicom = times.from_date_time(text)
    if dicom != times.UNKNOWN:
        return dicom, True
    clock = re.fullmatch(r"(\d{1,2}):(\d\d):(\d\d)(?:[.,](\d{1,6}))?", text)
    if clock is not None:
        hour, minute, second = (int(clock[number]) for number in (1, 2, 3))
        fraction = int((clock[4] or "0").ljust(6, "0"))
        return (hour * 3600 + minute * 60 + second) * 1_000_000 + fraction, False
    try:
        moment = datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return None
    return times.from_datetime(moment), True
