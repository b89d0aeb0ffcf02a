"""Pure: the conditions of a route, and why a study fulfils them or not."""

import fnmatch
from collections.abc import Mapping
from typing import Any

from pydicom.datadict import keyword_for_tag, tag_for_keyword

from gateway.errors import ConfigurationError

CONDITIONS_MAX, PATTERN_MAX = 16, 128


def check(conditions: Mapping[str, str]) -> dict[str, str]:
    """Return conditions by keyword. Raises ConfigurationError for an unknown attribute.

    An attribute is named by its keyword (StationName) or tag (00081010); a pattern may hold *
    and ?, several are separated by |, and ! in front turns it round. Case does not matter.
    """
    if len(conditions) > CONDITIONS_MAX:
        raise ConfigurationError(f"A route has at most {CONDITIONS_MAX} conditions.")
    checked = {}
    for name, pattern in conditions.items():
        keyword = _keyword(name.strip())
        if not keyword:
            raise ConfigurationError(f"{name!r} is no attribute: say StationName, or 00081010.")
        if not pattern.strip("!") or len(pattern) > PATTERN_MAX:
            raise ConfigurationError(f"{name}: a pattern has 1 to {PATTERN_MAX} characters.")
        checked[keyword] = pattern
    return checked


def parse(text: str) -> tuple[str, str]:
    """Return the keyword and the pattern of 'StationName=ENDO*'. Raises ConfigurationError."""
    name, equals, pattern = text.partition("=")
    if not equals:
        raise ConfigurationError(f"{text!r} is no condition: say StationName=ENDO*.")
    return name.strip(), pattern.strip()


def judge(conditions: Mapping[str, str], values: Mapping[str, str]) -> list[tuple[bool, str]]:
    """Return for each condition whether it holds, and why in words.

    values: of the study, by keyword; text that was sent more than once is separated by a
    backslash. Patient data may stand in the words: for people who may see the study.
    """
    return [_judge(keyword, pattern, values) for keyword, pattern in conditions.items()]


def values_of(columns: Mapping[str, str], attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of a study by keyword. attributes: DICOM JSON (PS3.18 Annex F)."""
    values = dict(columns)
    for tag, element in attributes.items():
        keyword = _keyword(tag)
        texts = [_text(one) for one in (element or {}).get("Value") or []]
        if keyword and texts:
            values.setdefault(keyword, "\\".join(texts))
    return values


def _judge(keyword: str, pattern: str, values: Mapping[str, str]) -> tuple[bool, str]:
    value = values.get(keyword, "")
    negated = pattern.startswith("!")
    wanted = pattern.removeprefix("!").split("|")
    found = any(
        fnmatch.fnmatchcase(one.strip().casefold(), each.strip().casefold())
        for one in value.split("\\")
        for each in wanted
    )
    holds = found is not negated
    said = f"{keyword} is {value!r}" if value else f"{keyword} is empty"
    return holds, f"{said}, {'as' if holds else 'not'} {pattern}"


def _keyword(name: str) -> str:
    tag = tag_for_keyword(name)
    if tag is not None:
        return name
    compact = name.strip("()").replace(",", "")
    if len(compact) != 8 or any(one not in "0123456789abcdefABCDEF" for one in compact):
        return ""
    return keyword_for_tag(int(compact, 16))


def _text(value: object) -> str:
    if isinstance(value, Mapping):  # a person's name has up to three groups
        return str(value.get("Alphabetic") or next(iter(value.values()), ""))
    return str(value)
