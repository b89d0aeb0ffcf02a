"""Pure: what a destination may know: the Basic Profile and the options chosen (PS3.15 E.2, E.3)."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from gateway.errors import ConfigurationError

RULESET = "1"
"""Part of every fingerprint. Raise it when the same profile shall give other instances."""
REGIONS_MAX = 32
_SIDE_MAX = 65_535
_DOMAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


class Dates(StrEnum):
    """What becomes of dates and times (PS3.15 E.3.6)."""

    REMOVED = "removed"
    SHIFTED = "shifted"  # by whole days, the same for everything of a patient
    FULL = "full"


class Option(StrEnum):
    """Options of the profile that are on or off."""

    PATIENT_CHARACTERISTICS = "patient-characteristics"
    DEVICE_IDENTITY = "device-identity"
    INSTITUTION_IDENTITY = "institution-identity"
    DESCRIPTORS = "descriptors"  # Clean Descriptors: what this gateway itself wrote stays


@dataclass(frozen=True)
class Region:
    """A rectangle with burned-in text, in pixels of a frame.

    rows, columns: only in frames of this size; 0: any. source: only in frames that came from
    this calling AE title; empty: any.
    """

    x: int
    y: int
    width: int
    height: int
    rows: int = 0
    columns: int = 0
    source: str = ""

    def applies(self, *, rows: int, columns: int, source: str) -> bool:
        same_size = self.rows in (0, rows) and self.columns in (0, columns)
        return same_size and self.source in ("", source)


@dataclass(frozen=True)
class Profile:
    """The Basic Profile with its options. regions: blanked in every frame they apply to."""

    dates: Dates = Dates.REMOVED
    options: frozenset[Option] = frozenset()
    regions: tuple[Region, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "dates": str(self.dates),
            "options": sorted(map(str, self.options)),
            "regions": [asdict(one) for one in self.regions],
        }

    @property
    def fingerprint(self) -> str:
        """Two profiles that make the same bytes have the same one."""
        text = json.dumps([RULESET, self.as_json()], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def codes(self) -> list[tuple[str, str]]:
        """Return (code value, meaning) of what is done: PS3.16 CID 7050, scheme DCM.

        They belong to the patient: all instances of a study have the same ones.
        """
        found = [("113100", "Basic Application Confidentiality Profile")]
        if self.regions:
            found.append(("113101", "Clean Pixel Data Option"))
        if Option.DESCRIPTORS in self.options:
            found.append(("113105", "Clean Descriptors Option"))
        found += _DATE_CODES[self.dates]
        found += [words for option, words in _OPTION_CODES.items() if option in self.options]
        return found


_DATE_CODES = {
    Dates.REMOVED: [],
    Dates.FULL: [
        ("113106", "Retain Longitudinal Temporal Information Full Dates Option"),
    ],
    Dates.SHIFTED: [
        ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    ],
}
_OPTION_CODES = {
    Option.PATIENT_CHARACTERISTICS: ("113108", "Retain Patient Characteristics Option"),
    Option.DEVICE_IDENTITY: ("113109", "Retain Device Identity Option"),
    Option.INSTITUTION_IDENTITY: ("113112", "Retain Institution Identity Option"),
}


def from_json(given: Mapping[str, Any]) -> Profile:
    """Read what `as_json` wrote, or a person. Raises ConfigurationError, naming what is wrong."""
    unknown = sorted(set(given) - {"dates", "options", "regions"})
    if unknown:
        raise ConfigurationError(f"A de-identification profile has no {', '.join(unknown)}.")
    try:
        dates = Dates(given.get("dates", Dates.REMOVED))
        options = frozenset(Option(one) for one in given.get("options", ()))
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"De-identification: {error}.") from error
    return Profile(dates, options, tuple(_regions(given.get("regions", ()))))


def region_from_text(text: str) -> Region:
    """Read 'X,Y,WIDTHxHEIGHT', behind it '@COLUMNSxROWS' and '/SOURCE_AE' where they matter.

    Raises ConfigurationError.
    """
    match = re.fullmatch(r"(\d+),(\d+),(\d+)x(\d+)(?:@(\d+)x(\d+))?(?:/(.{1,16}))?", text.strip())
    if match is None:
        raise ConfigurationError(
            f"{text!r} is no region: X,Y,WIDTHxHEIGHT[@COLUMNSxROWS][/SOURCE_AE_TITLE]."
        )
    x, y, width, height = (int(match[place]) for place in range(1, 5))
    columns, rows = int(match[5] or 0), int(match[6] or 0)
    return _checked(Region(x, y, width, height, rows, columns, (match[7] or "").strip()))


def domain_name(text: str) -> str:
    """Return the name of a pseudonym domain, checked: it becomes a file name."""
    if not _DOMAIN.fullmatch(text):
        raise ConfigurationError(
            "A pseudonym domain is up to 32 small letters, digits, '-' and '_'."
        )
    return text


def _regions(given: Sequence[Any]) -> list[Region]:
    if len(given) > REGIONS_MAX:
        raise ConfigurationError(f"A profile has at most {REGIONS_MAX} regions.")
    try:
        return [
            _checked(region_from_text(one) if isinstance(one, str) else Region(**one))
            for one in given
        ]
    except TypeError as error:
        raise ConfigurationError(f"De-identification: a region is wrong: {error}.") from error


def _checked(region: Region) -> Region:
    sides = (region.x, region.y, region.rows, region.columns)
    if not all(isinstance(one, int) and 0 <= one <= _SIDE_MAX for one in sides) or not (
        isinstance(region.width, int)
        and isinstance(region.height, int)
        and 0 < region.width <= _SIDE_MAX
        and 0 < region.height <= _SIDE_MAX
    ):
        raise ConfigurationError(f"A region lies outside every picture: {region}.")
    return region
