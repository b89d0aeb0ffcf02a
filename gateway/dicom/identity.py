"""Pure: who and what an instance belongs to, decoded to Unicode."""

import struct
import zlib
from collections.abc import Mapping
from io import BytesIO
from typing import Any

from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.datadict import tag_for_keyword
from pydicom.errors import BytesLengthException

from gateway.dicom import data_set, text
from gateway.dicom.storage_classes import DEFLATED
from gateway.errors import Undecodable
from gateway.model import SeriesIdentity, StudyIdentity, TextOrigin

REPEATED = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex",
    "PatientAge", "OtherPatientIDsSequence",
    "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber",
    "IssuerOfAccessionNumberSequence", "ReferringPhysicianName",
    "PerformingPhysicianName", "OperatorsName", "RequestAttributesSequence",
    "ProcedureCodeSequence", "TimezoneOffsetFromUTC",
    "Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions",
    "InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "StationName",
    "BodyPartExamined", "ProtocolName", "BurnedInAnnotation",
)  # fmt: skip
"""Attributes of the source that every derived instance repeats: copied, never invented."""


UNREADABLE = (
    ValueError, TypeError, LookupError, AttributeError, EOFError, NotImplementedError, OSError,
    RecursionError, BytesLengthException, struct.error, zlib.error,
)  # fmt: skip
"""What the library raises, all in all, for a data set that is none."""
_OF_THE_LEDGER = ("SeriesDescription",)
_LAST_TAG = max(tag_for_keyword(keyword) or 0 for keyword in (*REPEATED, "ImagesInAcquisition"))
"""What comes later is not looked at: it may be megabytes, and cut off."""


def read(
    data: bytes, transfer_syntax_uid: str, *, charset: str = ""
) -> tuple[StudyIdentity, SeriesIdentity]:
    """Read a data set up to its pixel data. Raises Undecodable.

    charset: the Specific Character Set an operator knows the source to mean; empty if none.
    How text was read, and what is doubtful about it, is in StudyIdentity.text_origin.
    """
    try:
        # The library would write every value it finds odd, names among them, into the log.
        with disable_value_validation():
            ds = _read(data, transfer_syntax_uid)
            origin = text.decode(ds, (*REPEATED, *_OF_THE_LEDGER), override=charset)
            return _identity(ds, origin)
    except UNREADABLE as error:
        raise Undecodable(f"An identifying attribute cannot be read: {error}.") from error


def _identity(ds: Dataset, origin: TextOrigin) -> tuple[StudyIdentity, SeriesIdentity]:
    study = StudyIdentity(
        study_instance_uid=str(ds.get("StudyInstanceUID", "")),
        patient_id=_text(ds, "PatientID"),
        patient_name=_text(ds, "PatientName"),
        patient_birth_date=_text(ds, "PatientBirthDate"),
        patient_sex=_text(ds, "PatientSex"),
        accession_number=_text(ds, "AccessionNumber"),
        study_date=_text(ds, "StudyDate"),
        study_time=_text(ds, "StudyTime"),
        study_description=_text(ds, "StudyDescription"),
        declared_count=_declared_count(ds),
        attributes=repeated_attributes(ds),
        text_origin=origin,
    )
    series = SeriesIdentity(
        series_instance_uid=str(ds.get("SeriesInstanceUID", "")),
        modality=_text(ds, "Modality"),
        series_number=_text(ds, "SeriesNumber"),
        series_description=_text(ds, "SeriesDescription"),
    )
    return study, series


def _declared_count(ds: Dataset) -> int | None:
    """Return Images in Acquisition (0020,1002); None if it is absent or no number."""
    try:
        return int(ds["ImagesInAcquisition"].value)
    except (KeyError, ValueError, TypeError):
        return None


def repeated_attributes(ds: Dataset) -> dict[str, Any]:
    """Return the REPEATED attributes that are present, as DICOM JSON (PS3.18 Annex F)."""
    kept = Dataset()
    for keyword in REPEATED:
        if keyword in ds:
            kept[keyword] = ds[keyword]
    json: dict[str, Any] = kept.to_json_dict(suppress_invalid_tags=True)
    return json


def as_dataset(attributes: Mapping[str, Any]) -> Dataset:
    """Return the data set that `repeated_attributes` came from."""
    return Dataset.from_json(dict(attributes))


def _read(data: bytes, transfer_syntax_uid: str) -> Dataset:
    if transfer_syntax_uid == DEFLATED:
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, 1 << 20)
    return data_set.read(BytesIO(data), transfer_syntax_uid, until=_LAST_TAG + 1)


def _text(ds: Dataset, keyword: str) -> str:
    value = ds.get(keyword)
    return "" if value is None else str(value).replace("\0", "").strip()
