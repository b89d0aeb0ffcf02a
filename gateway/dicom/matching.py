"""Pure: does a value match a key? Attribute matching of PS3.4 C.2.2.2, all kinds but sequences.

What is chosen where the standard leaves a choice is said in docs/conformance.md.
"""

import functools
import re
from collections.abc import Sequence

from gateway.dicom import names, ranges

WILDCARD_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
RANGE_VRS = frozenset({"DA", "TM", "DT"})
_ONE_VALUE_VRS = frozenset({"LT", "ST", "UT", "UR"})
"""A backslash in them is a character."""


def is_universal(vr: str, key: str) -> bool:
    """Tell whether a key matches everything, what has no value included (PS3.4 C.2.2.2.3)."""
    stripped = key.strip(" \0")
    return not stripped or (vr in WILDCARD_VRS and not stripped.strip("*"))


def has_wildcards(key: str) -> bool:
    return "*" in key or "?" in key


def alternatives(vr: str, key: str) -> list[str]:
    """Return the single keys in one: a list of UIDs, or several values where they may be."""
    return [key] if vr in _ONE_VALUE_VRS else key.split("\\")


def matches(vr: str, key: str, values: Sequence[str]) -> bool:
    """Tell whether any of an attribute's values matches any value of the key.

    key: as in the Identifier, decoded. values: as stored, decoded, one entry each.
    """
    if is_universal(vr, key):
        return True
    return any(
        _matches_one(vr, one, value)
        for one in alternatives(vr, key)
        for value in values
        if value.strip(" \0")
    )


def matches_moment(
    date_key: str, time_key: str, dates: Sequence[str], times: Sequence[str]
) -> bool:
    """Tell whether a date and a time together lie in the range of both keys (C.2.2.2.5).

    Only for requestors that negotiated combined date-time matching; others ask for each alone.
    """
    date, time = ranges.key_span("DA", date_key), ranges.key_span("TM", time_key)
    if is_universal("DA", date_key) or is_universal("TM", time_key) or not (date and time):
        return matches("DA", date_key, dates) and matches("TM", time_key, times)
    wanted = ranges.combined(date, time)
    found = [
        ranges.combined(day, moment)
        for one in dates
        for other in times
        if (day := ranges.span("DA", one)) and (moment := ranges.span("TM", other))
    ]
    return any(wanted.meets(one) for one in found)


def matches_name(key: str, name: str) -> bool:
    """Tell whether a Person Name matches: a key without = finds any of the three groups."""
    stored = names.groups(name)
    if "=" not in key:
        wanted = names.fold_group(key)
        return any(group and _like(wanted, group) for group in stored)
    asked = zip(names.groups(key), stored, strict=True)
    return all(_like(wanted, group) for wanted, group in asked if wanted.strip("*"))


def _matches_one(vr: str, key: str, value: str) -> bool:
    if vr == "PN":
        return matches_name(key, value)
    key, value = key.strip(" \0"), value.strip(" \0")
    if vr in RANGE_VRS:
        wanted, found = ranges.key_span(vr, key), ranges.span(vr, value)
        # What is no date finds the same text: sources do send such values.
        return wanted.meets(found) if wanted and found else key == value
    if vr in WILDCARD_VRS:
        return _like(key, value)
    return key == value or _same_number(key, value)


def _same_number(key: str, value: str) -> bool:
    try:
        return float(key) == float(value)
    except ValueError:
        return False


def _like(key: str, value: str) -> bool:
    return _pattern(key).fullmatch(value) is not None if has_wildcards(key) else key == value


@functools.lru_cache(maxsize=256)
def _pattern(key: str) -> re.Pattern[str]:
    """Return a pattern that needs no second try: the first place a piece fits is good enough."""
    first, *rest = ("".join(map(_character, piece)) for piece in re.split(r"\*+", key))
    if not rest:
        return re.compile(first, re.DOTALL)
    middle = "".join(f"(?>.*?{piece})" for piece in rest[:-1] if piece)
    return re.compile(f"{first}{middle}.*{rest[-1]}", re.DOTALL)


def _character(one: str) -> str:
    return "." if one == "?" else re.escape(one)
