"""Pure: the note that takes delivered instances back (PS3.3 A.35.4; IHE RAD Imaging Object
Change Management).

A Key Object Selection under the identity the instances were sent with. After a correction its
title is Rejected for Patient Safety Reasons: an archive that knows it hides what it names, from
everybody. We cannot say Incorrect Modality Worklist Entry (113038): we do not know that a
worklist was the reason. Where later frames replaced an instance it is Rejected for Quality
Reasons. Data Retention Policy Expired (113039) would be untrue.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydicom import Dataset
from pydicom.sequence import Sequence as DicomSequence

from gateway.dicom import uids
from gateway.dicom.storage_classes import (
    EXPLICIT_LITTLE,
    KEY_OBJECT_SELECTION,
    STORAGE_CLASSES,
)
from gateway.model import DerivedRole
from workers import dicom_objects
from workers.dicom_objects import MODEL_NAME, MadeInstance, Placement, Reference, SourceStudy, code

SERIES_NUMBER, SERIES_DESCRIPTION = 990, "Rejection notes"


@dataclass(frozen=True)
class Cause:
    """title: code value and meaning, scheme DCM (PS3.16 CID 7011)."""

    title: tuple[str, str]
    description: str


WRONG_IDENTITY = Cause(
    ("113037", "Rejected for Patient Safety Reasons"),
    "The identity of these instances was wrong. Do not use them; corrected ones follow.",
)
SUPERSEDED = Cause(
    ("113001", "Rejected for Quality Reasons"),
    "More of the recording came. These instances are superseded; what replaces them follows.",
)


@dataclass(frozen=True)
class Occasion:
    """Why there is a note. number: 1-based, which one of the study. audience: for whom it is."""

    number: int
    at: datetime
    reason: str
    audience: str
    cause: Cause = WRONG_IDENTITY


def make(study: SourceStudy, occasion: Occasion, rejected: Sequence[Reference]) -> MadeInstance:
    """Return the note.

    study: as it was when the rejected instances were made. rejected: not empty.
    """
    value, meaning = occasion.cause.title
    place = Placement(
        role=DerivedRole.REJECTION_NOTE,
        sop_class_uid=KEY_OBJECT_SELECTION,
        modality="KO",
        series_number=SERIES_NUMBER,
        series_description=SERIES_DESCRIPTION,
        instance_number=occasion.number,
    )
    ds = dicom_objects.without_image_attributes(dicom_objects.common(study, place))
    if "RequestAttributesSequence" in ds:
        del ds.RequestAttributesSequence  # of images; a document would name its order elsewhere
    ds.ContentDate, ds.ContentTime = f"{occasion.at:%Y%m%d}", f"{occasion.at:%H%M%S}"
    ds.ReferencedPerformedProcedureStepSequence = DicomSequence()
    ds.CurrentRequestedProcedureEvidenceSequence = DicomSequence([_evidence(study, rejected)])
    ds.ValueType, ds.ContinuityOfContent = "CONTAINER", "SEPARATE"
    ds.ConceptNameCodeSequence = DicomSequence([code(value, "DCM", meaning)])
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "2010"
    ds.ContentTemplateSequence = DicomSequence([template])
    words = _item("CONTAINS", "TEXT", "113012", "Key Object Description")
    words.TextValue = f"{occasion.cause.description}\n{occasion.reason}".strip()
    ds.ContentSequence = DicomSequence(
        [*_observer(study), *(_referring(one) for one in rejected), words]
    )
    # Two archives may have to be told the same: each in an instance of its own.
    uid = dicom_objects.name(ds, study, place.role, occasion.audience)
    reference = Reference(ds.SeriesInstanceUID, place.sop_class_uid, uid)
    contents = dicom_objects.encode_head(ds, EXPLICIT_LITTLE)
    return MadeInstance(place, reference, EXPLICIT_LITTLE, contents)


def _observer(study: SourceStudy) -> list[Dataset]:
    kind = _item("HAS OBS CONTEXT", "CODE", "121005", "Observer Type")
    kind.ConceptCodeSequence = DicomSequence([code("121007", "DCM", "Device")])
    uid = _item("HAS OBS CONTEXT", "UIDREF", "121012", "Device Observer UID")
    uid.UID = uids.derived(study.tenant, "device")
    name = _item("HAS OBS CONTEXT", "TEXT", "121013", "Device Observer Name")
    name.TextValue = MODEL_NAME
    return [kind, uid, name]


def _item(relationship: str, value_type: str, value: str, meaning: str) -> Dataset:
    ds = Dataset()
    ds.RelationshipType, ds.ValueType = relationship, value_type
    ds.ConceptNameCodeSequence = DicomSequence([code(value, "DCM", meaning)])
    return ds


def _referring(reference: Reference) -> Dataset:
    name = STORAGE_CLASSES.get(reference.sop_class_uid, "")
    ds = Dataset()
    ds.RelationshipType = "CONTAINS"
    ds.ValueType = "IMAGE" if "Image" in name or "Capture" in name else "COMPOSITE"
    ds.ReferencedSOPSequence = DicomSequence([_sop(reference)])
    return ds


def _sop(reference: Reference) -> Dataset:
    ds = Dataset()
    ds.ReferencedSOPClassUID = reference.sop_class_uid
    ds.ReferencedSOPInstanceUID = reference.sop_instance_uid
    return ds


def _evidence(study: SourceStudy, references: Sequence[Reference]) -> Dataset:
    by_series: dict[str, list[Any]] = {}
    for one in references:
        by_series.setdefault(one.series_instance_uid, []).append(_sop(one))
    item = Dataset()
    item.StudyInstanceUID = study.study_instance_uid
    item.ReferencedSeriesSequence = DicomSequence()
    for uid, instances in by_series.items():
        series = Dataset()
        series.SeriesInstanceUID = uid
        series.ReferencedSOPSequence = DicomSequence(instances)
        item.ReferencedSeriesSequence.append(series)
    return item
