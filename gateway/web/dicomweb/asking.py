"""Pure: a QIDO-RS request as an Identifier: the same keys as C-FIND (PS3.18 10.6.1)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydicom.datadict import keyword_for_tag, tag_for_keyword

from gateway.errors import QueryInvalid
from gateway.holdings import keys
from gateway.holdings.identifier import Identifier
from gateway.holdings.keys import Level

ARGUMENTS_MAX = 1000
NUMBER_MAX = 1 << 31
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_DEFAULTS: Mapping[Level, tuple[str, ...]] = {
    Level.STUDY: (
        "StudyDate", "StudyTime", "AccessionNumber", "ModalitiesInStudy",
        "ReferringPhysicianName", "TimezoneOffsetFromUTC", "PatientName", "PatientID",
        "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID", "StudyDescription",
        "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances",
    ),
    Level.SERIES: (
        "Modality", "SeriesDescription", "SeriesInstanceUID", "SeriesNumber",
        "NumberOfSeriesRelatedInstances", "PerformedProcedureStepStartDate",
        "PerformedProcedureStepStartTime",
    ),
    Level.IMAGE: (
        "SOPClassUID", "SOPInstanceUID", "InstanceNumber", "Rows", "Columns", "BitsAllocated",
        "NumberOfFrames", "AvailableTransferSyntaxUID",
    ),
}  # fmt: skip
"""PS3.18 10.6.3.3, and the Study Description every list of studies shows."""


@dataclass(frozen=True)
class Asked:
    """A query. fields: keywords to answer with. limit: None where the client sets none.

    warnings: what of the request was not done, in words.
    """

    identifier: Identifier
    fields: frozenset[str]
    limit: int | None
    offset: int
    warnings: tuple[str, ...] = field(default=())


def read(level: Level, path: Mapping[str, str], arguments: Iterable[tuple[str, str]]) -> Asked:
    """Read the arguments of a query. path: keys its address names. Raises QueryInvalid."""
    asked: dict[str, str] = dict(path)
    fields = {one for each in _levels(level, path) for one in _DEFAULTS.get(each, ())} | set(path)
    warnings: list[str] = []
    numbers: dict[str, int] = {}
    for count, (name, value) in enumerate(arguments):
        if count >= ARGUMENTS_MAX:
            raise QueryInvalid(f"There are more than {ARGUMENTS_MAX} arguments.")
        if name in ("limit", "offset"):
            numbers[name] = _number(name, value)
        elif name == "fuzzymatching":
            warnings += _fuzzy(value)
        elif name == "includefield":
            fields |= _included(level, value)
        elif name.lower() != "accept":
            keyword = _keyword(name)
            key = keys.BY_KEYWORD.get(keyword)
            if key is None or key.level > level:
                warnings.append(f"{keyword} is not supported as a key and was not looked at.")
                continue
            if keyword in path and value.strip() != path[keyword]:
                raise QueryInvalid(f"{keyword} is another one in the address.")
            asked[keyword] = value.replace(",", "\\") if key.vr == "UI" else value
            fields.add(keyword)
    wanted = {one: asked.get(one, "") for one in sorted({*fields, *asked})}
    return Asked(
        Identifier(level, wanted), frozenset(fields), numbers.get("limit"),
        numbers.get("offset", 0), tuple(dict.fromkeys(warnings)),
    )  # fmt: skip


def _levels(level: Level, path: Mapping[str, str]) -> list[Level]:
    """Return the levels whose attributes are told: those the address does not name."""
    named = {Level.STUDY: "StudyInstanceUID", Level.SERIES: "SeriesInstanceUID"}
    return [one for one in Level if one <= level and (one == level or named.get(one) not in path)]


def _included(level: Level, value: str) -> set[str]:
    found: set[str] = set()
    for one in value.split(","):
        if one.strip().lower() == "all":
            return {key.keyword for key in keys.TABLE if key.level <= level}
        keyword = _keyword(one.strip())
        if keyword in keys.BY_KEYWORD and keys.BY_KEYWORD[keyword].level <= level:
            found.add(keyword)
    return found


def _keyword(name: str) -> str:
    """Return the keyword of an attribute, given by tag or keyword. Raises QueryInvalid."""
    first = name.split(".")[0]  # of a sequence: we have none
    keyword = keyword_for_tag(int(first, 16)) if _TAG.fullmatch(first) else first
    if _TAG.fullmatch(first) and not keyword:
        return first.upper()  # private, or newer than our dictionary: not supported, not wrong
    if tag_for_keyword(keyword) is None:
        raise QueryInvalid("There is no such attribute, nor such an argument.")
    return keyword


def _number(name: str, value: str) -> int:
    if not value.isascii() or not value.isdigit() or int(value[:12]) > NUMBER_MAX:
        raise QueryInvalid(f"{name} is not a number that could be.")
    return int(value[:12])


def _fuzzy(value: str) -> list[str]:
    if value.lower() not in ("true", "false"):
        raise QueryInvalid("fuzzymatching is true or false.")
    if value.lower() == "false":
        return []
    return [
        "The fuzzymatching parameter is not supported. Only literal matching has been performed."
    ]
