"""Pure: values of a source that its own VR forbids, made fit to be repeated (PS3.5 6.2).

Sources send birth dates of zeros, sexes in words, names without end. An archive may refuse
every instance that repeats such a value, so text is cut to its length and what cannot be made
legal is left out. Identifiers are never touched: a shortened one would be somebody else's.
"""

import re
from collections.abc import Callable
from datetime import date

from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VM
from pydicom.dataelem import DataElement

IDENTIFIERS = frozenset(
    {
        "PatientID", "IssuerOfPatientID", "AccessionNumber", "StudyID",
        "RequestedProcedureID", "ScheduledProcedureStepID", "DeviceSerialNumber", "CodeValue",
    }
)  # fmt: skip
_LENGTHS = {"LO": 64, "SH": 16, "ST": 1024, "LT": 10240}
_GROUP_LENGTH = 64
"""Of each of the three component groups of a PN."""
_ENUMERATED = {
    "PatientSex": {"M", "F", "O"},
    "BurnedInAnnotation": {"YES", "NO"},
}
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d(([0-5]\d|60)(\.\d{1,6})?)?)?")
_AGE = re.compile(r"\d{3}[DWMY]")
_CODE = re.compile(r"[A-Z0-9 _]{1,16}")
_ZONE = re.compile(r"[+-](0\d|1[0-4])[0-5]\d")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_YEARS = range(1000, 3000)


def make_legal(ds: Dataset) -> list[str]:
    """Change values that are not legal; returns the keywords of what was changed or left out.

    ds: modified in place, items of sequences too.
    """
    changed: list[str] = []
    for element in list(ds):
        if element.VR == "SQ":
            for item in element.value:
                changed += make_legal(item)
        elif element.keyword not in IDENTIFIERS and not element.is_empty:
            changed += _check(ds, element)
    return changed


def _check(ds: Dataset, element: DataElement) -> list[str]:
    known = dictionary_has_tag(element.tag)
    single = known and dictionary_VM(element.tag) == "1"
    texts = [str(one) for one in (element.value if element.VM > 1 else [element.value])]
    wanted = texts[:1] if single else texts
    legal = [text for text in (_legal(element, one) for one in wanted) if text]
    if legal == texts:
        return []
    if not legal:
        del ds[element.tag]
    else:
        ds[element.tag] = DataElement(
            element.tag, element.VR, legal[0] if len(legal) == 1 else legal
        )
    return [element.keyword]


def _legal(element: DataElement, text: str) -> str:
    """Return a value as it may be sent; empty if nothing of it may."""
    if element.keyword in _ENUMERATED:
        return text.upper() if text.upper() in _ENUMERATED[element.keyword] else ""
    if element.keyword == "TimezoneOffsetFromUTC":
        return text if _ZONE.fullmatch(text) else ""
    make = _BY_VR.get(element.VR)
    return text if make is None else make(text)


def _date(text: str) -> str:
    try:
        year = date.fromisoformat(text).year if len(text) == 8 else 0
    except ValueError:
        return ""
    return text if year in _YEARS and text.isdigit() else ""


def _matching(pattern: re.Pattern[str]) -> Callable[[str], str]:
    return lambda text: text if pattern.fullmatch(text) else ""


def _code_string(text: str) -> str:
    text = text.strip().upper()
    return text if _CODE.fullmatch(text) else ""


def _text(length: int) -> Callable[[str], str]:
    # Line ends and tabs are legal in the long texts only.
    keep = length > 64
    return lambda text: (text if keep else _CONTROL.sub("", text))[:length].rstrip()


def _person_name(text: str) -> str:
    groups = _CONTROL.sub("", text).split("=")[:3]
    return "=".join(group[:_GROUP_LENGTH] for group in groups)


_BY_VR: dict[str, Callable[[str], str]] = {
    "DA": _date,
    "TM": _matching(_TIME),
    "AS": _matching(_AGE),
    "CS": _code_string,
    "PN": _person_name,
    **{vr: _text(length) for vr, length in _LENGTHS.items()},
}
