"""Pure: a de-identified header, built from what may be in it (PS3.15 E.1, E.3)."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from gateway.deidentify import moments, rules, sentences
from gateway.deidentify.profile import Dates, Profile
from gateway.deidentify.pseudonyms import Domain, patient_of
from gateway.deidentify.rules import Action, Rule
from gateway.errors import CannotDeidentify

DUMMIES = {"DA": "20000101", "TM": "000000", "DT": "20000101000000"}
DEPTH_MAX = 32
_PIXEL_DATA = 0x7FE00010
_FREE_TEXT = frozenset({"LO", "SH", "ST", "LT", "UC", "UT", "PN"})
_IDENTIFYING = (
    "PatientName", "PatientID", "OtherPatientIDs", "OtherPatientNames", "AccessionNumber",
    "ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName", "PatientBirthDate",
    "StudyID", "PatientBirthName", "PatientMotherBirthName", "MedicalRecordLocator",
)  # fmt: skip
_IDENTIFIER_LENGTH_MIN = 4
"""Shorter ones are parts of ordinary words."""
_METHOD = "PS3.15 Basic Profile by capsule-gateway"
_AGE_MAX = "090Y"


@dataclass
class Changes:
    """What was done, by attribute name: sets of 'Keyword' or 'Sequence.Keyword'."""

    kept: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Subject:
    """Whose instance: what the pseudonyms follow from. known: UIDs that are already what the
    destination knows, for notes about instances it has."""

    patient: str
    known: frozenset[str] = frozenset()


def subject_of(ds: Dataset, *, patient_id: str, issuer: str, known: frozenset[str]) -> Subject:
    """Say whose an instance is. patient_id, issuer: of its study, where itself does not say."""
    own = str(ds.get("PatientID") or "").strip()
    if own:
        patient_id, issuer = own, str(ds.get("IssuerOfPatientID") or "").strip()
    return Subject(patient_of(patient_id, issuer, str(ds.get("StudyInstanceUID", ""))), known)


def build(
    ds: Dataset, profile: Profile, domain: Domain, subject: Subject, *, pixels_cleaned: bool
) -> tuple[Dataset, Changes]:
    """Return a new header and what was done. ds: decoded text, everything but pixel data.

    Raises CannotDeidentify if the instance is nested beyond reason, or has no identity.
    """
    building = _Building(profile, domain, subject, _identifiers(ds))
    with disable_value_validation():
        if not ds.get("StudyInstanceUID") or not ds.get("SOPInstanceUID"):
            raise CannotDeidentify("An instance without UIDs cannot be de-identified.")
        made = building.items(ds, "", 0)
        made.SpecificCharacterSet = "ISO_IR 192"
        made.PatientName = made.PatientID = domain.patient(subject.patient)
        _mark(made, profile)
        if pixels_cleaned:
            _mark_cleaned(made)
    return made, building.changes


class _Building:
    def __init__(
        self, profile: Profile, domain: Domain, subject: Subject, identifiers: frozenset[str]
    ) -> None:
        self._profile, self._domain, self._subject = profile, domain, subject
        self._identifiers = identifiers
        self._days = domain.days(subject.patient) if profile.dates is Dates.SHIFTED else 0
        self.changes = Changes()

    def items(self, ds: Dataset, path: str, depth: int) -> Dataset:
        """Return what may be in a data set or an item of a sequence."""
        if depth > DEPTH_MAX:
            raise CannotDeidentify("Sequences are nested too deep to be de-identified.")
        made = Dataset()
        for element in _elements(ds):
            keyword = "" if element.tag.is_private else keyword_for_tag(element.tag)
            name = path + (keyword or str(element.tag))
            rule = rules.RULES.get(keyword)
            new = None if rule is None else self._element(element, keyword, rule, depth)
            if new is not None:
                made.add(new)
            self._note(name, element, new)
        return made

    def _note(self, name: str, old: DataElement, new: DataElement | None) -> None:
        if old.keyword == "SpecificCharacterSet":
            return
        if new is None:
            self.changes.removed.add(name)
        elif (new.VR == "SQ" and new.value) or new.value == old.value:
            self.changes.kept.add(name)
        else:
            self.changes.changed.add(name)

    def _element(
        self, element: DataElement, keyword: str, rule: Rule, depth: int
    ) -> DataElement | None:
        action = rule.action
        if action is Action.MOMENT:
            if self._profile.dates is not Dates.REMOVED:
                return self._moment(element)
            action = rule.otherwise
        elif rule.option is not None and rule.option not in self._profile.options:
            action = rule.otherwise
        if element.VR == "SQ":
            return self._sequence(element, action, depth)
        if action is Action.REMOVE:
            return None
        if action is Action.KEEP:
            return self._kept(element, keyword)
        if action is Action.OWN_TEXT:
            words = sentences.own_lines(str(element.value or ""))
            return None if self._identifies(words) else DataElement(element.tag, element.VR, words)
        return DataElement(element.tag, element.VR, self._value(element, action))

    def _value(self, element: DataElement, action: Action) -> object:
        value = str(element.value or "")
        if action is Action.PSEUDONYM:
            return self._domain.patient(self._subject.patient)
        if action is Action.DUMMY:
            return DUMMIES[element.VR]
        if not value or action is Action.EMPTY:
            return ""
        if value in self._subject.known:
            return value
        if action is Action.INSTANCE_UID:
            return self._domain.instance(value)
        assert action in (Action.STUDY_UID, Action.OTHER_UID), action
        return self._domain.uid(value)

    def _kept(self, element: DataElement, keyword: str) -> DataElement | None:
        """Return an element as it is, unless its text says who the patient is."""
        if keyword == "SeriesDescription" and not _is_own(str(element.value)):
            return None
        if keyword == "PatientAge" and str(element.value) > _AGE_MAX:
            # Of the oldest, the age alone tells who they are.
            return DataElement(element.tag, element.VR, _AGE_MAX)
        if element.VR in _FREE_TEXT and self._identifies(str(element.value)):
            return DataElement(element.tag, element.VR, "")
        return DataElement(element.tag, element.VR, element.value)

    def _identifies(self, text: str) -> bool:
        folded = text.casefold()
        return any(one in folded for one in self._identifiers)

    def _moment(self, element: DataElement) -> DataElement | None:
        if self._profile.dates is Dates.FULL:
            return DataElement(element.tag, element.VR, element.value)
        if element.keyword == "TimezoneOffsetFromUTC":
            return None
        if element.VR == "TM":
            return DataElement(element.tag, element.VR, element.value)
        shift = moments.shifted_date if element.VR == "DA" else moments.shifted_date_time
        value = shift(str(element.value or ""), self._days)
        return DataElement(element.tag, element.VR, value)

    def _sequence(self, element: DataElement, action: Action, depth: int) -> DataElement | None:
        path = f"{element.keyword}."
        if action is Action.EMPTY:
            return DataElement(element.tag, "SQ", Sequence())
        if action not in (Action.ITEMS, Action.CODES, Action.CONTENT):
            return None
        made = []
        for item in element.value or ():
            if action is Action.CODES and not _is_public(item):
                continue
            new = self.items(item, path, depth + 1)
            if action is not Action.CONTENT or self._may_be_content(new):
                made.append(new)
        if element.value and not made:
            return None
        return DataElement(element.tag, "SQ", Sequence(made))

    def _may_be_content(self, item: Dataset) -> bool:
        """Tell whether a built content item still says something, and of a kind that may be."""
        if str(item.get("ValueType", "")) not in rules.CONTENT_TYPES:
            return False
        return not (item.ValueType == "TEXT" and not item.get("TextValue"))


def _elements(ds: Dataset) -> Iterator[DataElement]:
    """Yield the elements, private ones too, without pixel data and group lengths."""
    return (one for one in ds if one.tag != _PIXEL_DATA and one.tag.element)


def _is_public(item: Dataset) -> bool:
    return str(item.get("CodingSchemeDesignator", "")) in rules.PUBLIC_SCHEMES


def _is_own(description: str) -> bool:
    return description.rstrip("0123456789 ") in rules.OWN_DESCRIPTIONS


def _identifiers(ds: Dataset) -> frozenset[str]:
    """Return what must not be found in any text that is kept, folded."""
    found: set[str] = set()
    for keyword in _IDENTIFYING:
        value = ds.get(keyword)
        for one in value if isinstance(value, MultiValue) else [value]:
            text = str(one or "").casefold()
            pieces = text.replace("=", "^").split("^") if "Name" in keyword else [text]
            found |= {piece.strip() for piece in pieces}
    return frozenset(one for one in found if len(one) >= _IDENTIFIER_LENGTH_MIN)


def _mark(ds: Dataset, profile: Profile) -> None:
    """Say in the instance what was done (PS3.3 C.7.1.1, C.12.1)."""
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = _METHOD
    items = []
    for value, meaning in profile.codes:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
        items.append(item)
    ds.DeidentificationMethodCodeSequence = Sequence(items)
    ds.LongitudinalTemporalInformationModified = {
        Dates.REMOVED: "REMOVED", Dates.SHIFTED: "MODIFIED", Dates.FULL: "UNMODIFIED",
    }[profile.dates]  # fmt: skip


def _mark_cleaned(ds: Dataset) -> None:
    ds.BurnedInAnnotation = "NO"
    kinds = ds.get("ImageType")
    if isinstance(kinds, MultiValue) and kinds:
        ds.ImageType = ["DERIVED", *list(kinds)[1:]]
