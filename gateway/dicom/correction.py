"""Pure: another identity for a study, and what it leaves behind in every instance.

Whoever the study was said to belong to before stays readable: in the Original Attributes
Sequence (PS3.3 C.12.1.1.9), as the standard has it for corrections. Because that grows with
every correction, so do the SOP Instance UIDs change with every one, also with one that takes
an earlier one back: the archive was told to reject those.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.sequence import Sequence

from gateway.dicom import identity, legal, uids
from gateway.errors import ConfigurationError

CORRECTABLE = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber",
)  # fmt: skip
MARK = "OriginalAttributesSequence"
"""In the attributes of a study that was corrected, and in no other."""
MODIFYING_SYSTEM = "capsule-gateway"
CORRECTIONS_MAX = 50
_LENGTHS = {"PatientID": 64, "AccessionNumber": 16}
_OF_THE_OTHER = ("PatientAge", "OtherPatientIDsSequence")
"""Said of the patient before: of another one they would be wrong."""


@dataclass(frozen=True)
class CorrectedIdentity:
    """attributes: gateway.model.StudyIdentity.attributes as they are now. changes: keyword to
    (before, after). study_instance_uid: the one instances are delivered with.
    """

    attributes: Mapping[str, Any]
    changes: Mapping[str, tuple[str, str]]
    study_instance_uid: str


def correct(
    attributes: Mapping[str, Any],
    wanted: Mapping[str, str],
    *,
    received: tuple[str, str],
    tenant: str,
    at: datetime,
) -> CorrectedIdentity:
    """Give a study another identity. wanted: CORRECTABLE keyword to value; others stay.

    received: Study Instance UID and Patient ID as they came. A study of another patient is
    another study: with another Patient ID it is delivered under a UID of its own.
    Raises ConfigurationError for a value that is not legal, or if nothing would change.
    """
    ds = identity.as_dataset(attributes)
    changes = {
        keyword: (_text(ds, keyword), value)
        for keyword, value in wanted.items()
        if value != _text(ds, keyword)
    }
    if not changes:
        raise ConfigurationError("Nothing would change.")
    for keyword, (_, value) in changes.items():
        _check(keyword, value)
    before = Dataset()
    with disable_value_validation():
        for keyword, (_, value) in changes.items():
            _move(ds, before, keyword)
            setattr(ds, keyword, value)
        if {"PatientID", "PatientBirthDate"} & set(changes):
            for keyword in _OF_THE_OTHER:
                _move(ds, before, keyword)
        if "AccessionNumber" in changes:
            _correct_requests(ds, *changes["AccessionNumber"])
        _remember(ds, before, at)
        corrected: dict[str, Any] = ds.to_json_dict()
    return CorrectedIdentity(corrected, changes, _study_uid(ds, received, tenant))


def is_corrected(attributes: Mapping[str, Any]) -> bool:
    return MARK in identity.as_dataset(attributes)


def apply(ds: Dataset, attributes: Mapping[str, Any]) -> None:
    """Give another data set of a corrected study its identity. ds: changed in place, decoded."""
    said = identity.as_dataset(attributes)
    for keyword in (*CORRECTABLE, MARK):
        if keyword in said:
            ds[keyword] = said[keyword]
    for keyword in _OF_THE_OTHER:
        if keyword in ds and keyword not in said:
            del ds[keyword]


def _check(keyword: str, value: str) -> None:
    """Raise ConfigurationError unless the value is one the attribute may have."""
    if keyword not in CORRECTABLE:
        raise ConfigurationError(f"{keyword} is not corrected here.")
    ds = Dataset()
    with disable_value_validation():
        setattr(ds, keyword, value)
        bad = legal.make_legal(ds) if value else []
    too_long = len(value) > _LENGTHS.get(keyword, 3 * 64 + 2)
    if bad or too_long or "\\" in value or not value.isprintable() or value != value.strip():
        raise ConfigurationError(f"This is no {keyword} that DICOM allows.")
    if keyword == "PatientID" and not value:
        raise ConfigurationError("A Patient ID is needed: without one nobody finds the study.")


def _text(ds: Dataset, keyword: str) -> str:
    value = ds.get(keyword)
    return "" if value is None else str(value)


def _move(ds: Dataset, before: Dataset, keyword: str) -> None:
    if keyword in ds:
        before[keyword] = ds[keyword]
        del ds[keyword]
    elif keyword in CORRECTABLE:
        setattr(before, keyword, "")


def _correct_requests(ds: Dataset, before: str, after: str) -> None:
    for item in ds.get("RequestAttributesSequence") or ():
        if item.get("AccessionNumber") == before:
            item.AccessionNumber = after


def _remember(ds: Dataset, before: Dataset, at: datetime) -> None:
    item = Dataset()
    item.SourceOfPreviousValues = ""
    item.AttributeModificationDateTime = f"{at:%Y%m%d%H%M%S.%f%z}"
    item.ModifyingSystem = MODIFYING_SYSTEM
    item.ReasonForTheAttributeModification = "CORRECT"
    item.ModifiedAttributesSequence = Sequence([before])
    earlier = list(ds.get(MARK) or ())
    if len(earlier) >= CORRECTIONS_MAX:
        raise ConfigurationError(f"A study is corrected at most {CORRECTIONS_MAX} times.")
    setattr(ds, MARK, Sequence([*earlier, item]))


def _study_uid(ds: Dataset, received: tuple[str, str], tenant: str) -> str:
    uid, patient_id = received
    now = _text(ds, "PatientID")
    return uid if now == patient_id else uids.derived(tenant, "study of", now, uid)
