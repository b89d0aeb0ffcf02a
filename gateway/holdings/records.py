"""What is known of a study, a series or an instance, as text by keyword."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.datadict import tag_for_keyword

from gateway.holdings.headers import Headers, Place
from gateway.ledger.queries.holdings import HeldSeries, HeldStudy, Summary
from gateway.ledger.schema import Derived

Values = Mapping[str, Sequence[str]]
_COLUMNS = {
    "PatientID": "patient_id",
    "PatientName": "patient_name",
    "PatientBirthDate": "patient_birth_date",
    "PatientSex": "patient_sex",
    "AccessionNumber": "accession_number",
    "StudyDate": "study_date",
    "StudyTime": "study_time",
    "StudyID": "study_identifier",
    "StudyDescription": "study_description",
    "StudyInstanceUID": "study_instance_uid",
}


@dataclass(frozen=True)
class StudyRecord:
    """A study. summary: what is counted about it, if the query wants to know."""

    held: HeldStudy
    summary: Summary

    def value(self, keyword: str) -> Sequence[str]:
        """Return the values of an attribute of the patient or the study; none if it has none."""
        column = _COLUMNS.get(keyword)
        if column is not None:
            found = str(getattr(self.held, column))
            return [found] if found else []
        counted = {
            "ModalitiesInStudy": self.summary.modalities,
            "SOPClassesInStudy": self.summary.sop_class_uids,
            "NumberOfStudyRelatedSeries": [str(self.summary.series_count)],
            "NumberOfStudyRelatedInstances": [str(self.summary.instance_count)],
        }.get(keyword)
        return counted if counted is not None else _from_json(self.held.attributes, keyword)


@dataclass(frozen=True)
class SeriesRecord:
    """A series. place: of an instance that stands for it, if there is one."""

    held: HeldSeries
    place: Place | None
    headers: Headers

    def value(self, keyword: str) -> Sequence[str]:
        known = {
            "SeriesInstanceUID": self.held.series_instance_uid,
            "Modality": self.held.modality,
            "NumberOfSeriesRelatedInstances": str(self.held.instance_count),
            "SeriesNumber": self.held.series_number,
            "SeriesDescription": self.held.series_description,
        }.get(keyword)
        if known:
            return [known]
        return self.headers.of(self.place).get(keyword, ()) if self.place else ()


@dataclass(frozen=True)
class DerivedRecord:
    """A derived instance."""

    held: Derived
    headers: Headers

    def value(self, keyword: str) -> Sequence[str]:
        held = self.held
        known = {
            "SOPInstanceUID": held.sop_instance_uid,
            "SOPClassUID": held.sop_class_uid,
            "InstanceNumber": str(held.number),
            "AvailableTransferSyntaxUID": held.transfer_syntax_uid,
            "NumberOfFrames": str(held.frame_count) if held.frame_count > 1 else "",
        }.get(keyword)
        if known:
            return [known]
        return self.headers.of(place_of(held)).get(keyword, ())


@dataclass(frozen=True)
class ReceivedRecord:
    """A received instance, as the index of its pack and its own header have it."""

    known: Mapping[str, str]
    place: Place
    headers: Headers

    def value(self, keyword: str) -> Sequence[str]:
        known = self.known.get(keyword)
        if known is not None:
            return [known] if known else []
        return self.headers.of(self.place).get(keyword, ())


def place_of(held: Derived) -> Place:
    return Place(held.storage_key, held.offset_bytes, held.size_bytes)


def _from_json(attributes: Mapping[str, Any], keyword: str) -> list[str]:
    """Return the values of an element of the DICOM JSON model (PS3.18 F.2)."""
    tag = tag_for_keyword(keyword)
    element = attributes.get(f"{tag:08X}") or {}
    return [_text(one) for one in element.get("Value") or [] if one is not None]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        groups = (str(value.get(one, "")) for one in ("Alphabetic", "Ideographic", "Phonetic"))
        return "=".join(groups).rstrip("=")
    return str(value)
