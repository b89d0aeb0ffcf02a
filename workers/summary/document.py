"""Pure: what the documents of the summary are built of (PS3.3 C.17, PS3.16)."""

from collections.abc import Iterable
from typing import Any

from pydicom import Dataset
from pydicom.sequence import Sequence

from gateway import __version__
from gateway.dicom import uids
from workers import dicom_objects
from workers.dicom_objects import MODEL_NAME, Placement, Reference, SourceStudy, code


def begin(study: SourceStudy, place: Placement, title: Dataset, template: str) -> Dataset:
    """Return a document up to its content. template: of PS3.16, its number."""
    ds = dicom_objects.without_image_attributes(dicom_objects.common(study, place))
    created = dicom_objects.created_at(ds, study)
    ds.ContentDate, ds.ContentTime = f"{created:%Y%m%d}", f"{created:%H%M%S}"
    ds.ReferencedPerformedProcedureStepSequence = Sequence()
    _add_request(ds, study)
    ds.ValueType = "CONTAINER"
    ds.ConceptNameCodeSequence = Sequence([title])
    ds.ContinuityOfContent = "SEPARATE"
    ds.ContentTemplateSequence = Sequence([_template(template)])
    return ds


def observer(study: SourceStudy) -> list[Dataset]:
    """Return who chose: a device observer (PS3.16 TID 1004)."""
    kind = item("HAS OBS CONTEXT", "CODE", code("121005", "DCM", "Observer Type"))
    kind.ConceptCodeSequence = Sequence([code("121007", "DCM", "Device")])
    uid = item("HAS OBS CONTEXT", "UIDREF", code("121012", "DCM", "Device Observer UID"))
    uid.UID = uids.derived(study.tenant, "device")
    said = (
        ("121013", "Device Observer Name", MODEL_NAME),
        ("121014", "Device Observer Manufacturer", MODEL_NAME),
        ("121015", "Device Observer Model Name", f"{MODEL_NAME} {__version__}"),
    )
    texts = [
        text("HAS OBS CONTEXT", code(value, "DCM", name), words) for value, name, words in said
    ]
    return [kind, uid, *texts]


def item(relationship: str, value_type: str, name: Dataset) -> Dataset:
    ds = Dataset()
    ds.RelationshipType, ds.ValueType = relationship, value_type
    ds.ConceptNameCodeSequence = Sequence([name])
    return ds


def text(relationship: str, name: Dataset, words: str) -> Dataset:
    ds = item(relationship, "TEXT", name)
    ds.TextValue = words
    return ds


def coded(relationship: str, name: Dataset, value: Dataset) -> Dataset:
    ds = item(relationship, "CODE", name)
    ds.ConceptCodeSequence = Sequence([value])
    return ds


def number(relationship: str, name: Dataset, value: str, unit: Dataset) -> Dataset:
    """Return a numeric item. value: a decimal string. unit: of UCUM."""
    measured = Dataset()
    measured.MeasurementUnitsCodeSequence = Sequence([unit])
    measured.NumericValue = value
    ds = item(relationship, "NUM", name)
    ds.MeasuredValueSequence = Sequence([measured])
    return ds


def uid_reference(relationship: str, name: Dataset, uid: str) -> Dataset:
    ds = item(relationship, "UIDREF", name)
    ds.UID = uid
    return ds


def container(name: Dataset, content: Iterable[Dataset], template: str = "") -> Dataset:
    ds = item("CONTAINS", "CONTAINER", name)
    ds.ContinuityOfContent = "SEPARATE"
    if template:
        ds.ContentTemplateSequence = Sequence([_template(template)])
    ds.ContentSequence = Sequence(content)
    return ds


def _template(number: str) -> Dataset:
    ds = Dataset()
    ds.MappingResource, ds.TemplateIdentifier = "DCMR", number
    return ds


def image(reference: Reference, frame_number: int | None = None) -> Dataset:
    target = Dataset()
    target.ReferencedSOPClassUID = reference.sop_class_uid
    target.ReferencedSOPInstanceUID = reference.sop_instance_uid
    if frame_number is not None:
        target.ReferencedFrameNumber = frame_number
    ds = Dataset()
    ds.RelationshipType, ds.ValueType = "CONTAINS", "IMAGE"
    ds.ReferencedSOPSequence = Sequence([target])
    return ds


def evidence(study: SourceStudy, references: Iterable[Reference]) -> Sequence:
    """Return every instance referred to, once each, by series (PS3.3 C.17.2.1)."""
    by_series: dict[str, dict[str, Dataset]] = {}
    for one in references:
        sop = Dataset()
        sop.ReferencedSOPClassUID = one.sop_class_uid
        sop.ReferencedSOPInstanceUID = one.sop_instance_uid
        by_series.setdefault(one.series_instance_uid, {})[one.sop_instance_uid] = sop
    item = Dataset()
    item.StudyInstanceUID = study.study_instance_uid
    item.ReferencedSeriesSequence = Sequence()
    for uid, instances in by_series.items():
        series = Dataset()
        series.SeriesInstanceUID = uid
        series.ReferencedSOPSequence = Sequence(instances.values())
        item.ReferencedSeriesSequence.append(series)
    return Sequence([item])


def _add_request(ds: Dataset, study: SourceStudy) -> None:
    """Move the order from the series level of images to where a document has it (C.17.6.2)."""
    if "RequestAttributesSequence" not in ds:
        return
    requests: list[Any] = list(ds.RequestAttributesSequence)
    del ds.RequestAttributesSequence
    ds.ReferencedRequestSequence = Sequence()
    for request in requests:
        item = Dataset()
        item.StudyInstanceUID = study.study_instance_uid
        item.ReferencedStudySequence = Sequence()
        item.AccessionNumber = request.get("AccessionNumber") or ds.AccessionNumber
        item.PlacerOrderNumberImagingServiceRequest = ""
        item.FillerOrderNumberImagingServiceRequest = ""
        item.RequestedProcedureID = request.get("RequestedProcedureID", "")
        item.RequestedProcedureDescription = request.get("RequestedProcedureDescription", "")
        item.RequestedProcedureCodeSequence = request.get("RequestedProcedureCodeSequence", [])
        ds.ReferencedRequestSequence.append(item)
