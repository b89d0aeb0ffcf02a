"""Pure: the Key Object Selection document that names the key frames (PS3.3 A.35.4, TID 2010).

One IMAGE item per frame of the multi-frame instances, with its Referenced Frame Number, and one
per single-frame key image: many viewers overlook frame numbers.
"""

from collections import Counter
from collections.abc import Iterable
from collections.abc import Sequence as SequenceOf
from typing import Any

from pydicom import Dataset
from pydicom.sequence import Sequence

from gateway import __version__
from gateway.dicom import uids
from gateway.dicom.storage_classes import KEY_OBJECT_SELECTION
from gateway.model import DerivedRole
from workers import dicom_objects
from workers.dicom_objects import MODEL_NAME, MadeInstance, Placement, Reference, SourceStudy, code
from workers.summary.key_frame import KeyFrame
from workers.summary.selection import Selection

SERIES_NUMBER, SERIES_DESCRIPTION = 900, "Key objects"

_PLACE = Placement(
    role=DerivedRole.KEY_OBJECTS,
    sop_class_uid=KEY_OBJECT_SELECTION,
    modality="KO",
    series_number=SERIES_NUMBER,
    series_description=SERIES_DESCRIPTION,
    instance_number=1,
)


def make(
    study: SourceStudy,
    selection: Selection,
    frame_count: int,
    chosen: SequenceOf[tuple[KeyFrame, Reference]],
) -> MadeInstance:
    """Return the document. frame_count: of the recordings. chosen: not empty, with the key image
    made of each frame.
    """
    ds = dicom_objects.without_image_attributes(dicom_objects.common(study, _PLACE))
    created = dicom_objects.created_at(ds, study)
    ds.ContentDate, ds.ContentTime = f"{created:%Y%m%d}", f"{created:%H%M%S}"
    ds.ReferencedPerformedProcedureStepSequence = Sequence()
    _add_request(ds, study)
    parts = [key_frame.part.reference for key_frame, _ in chosen]
    images = [reference for _, reference in chosen]
    ds.CurrentRequestedProcedureEvidenceSequence = _evidence(study, [*parts, *images])
    ds.ValueType = "CONTAINER"
    ds.ConceptNameCodeSequence = Sequence([code("113000", "DCM", "Of Interest")])
    ds.ContinuityOfContent = "SEPARATE"
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "2010"
    ds.ContentTemplateSequence = Sequence([template])
    frames = [_image(key_frame.part.reference, key_frame.frame_number) for key_frame, _ in chosen]
    ds.ContentSequence = Sequence(
        [
            *_observer(study),
            *frames,
            *(_image(reference) for reference in images),
            _text("CONTAINS", "113012", "Key Object Description",
                  describe(selection, frame_count, [key_frame for key_frame, _ in chosen])),
        ]
    )  # fmt: skip
    return dicom_objects.document(ds, study, _PLACE)


def describe(selection: Selection, frame_count: int, chosen: SequenceOf[KeyFrame]) -> str:
    """Return the document's description: what this is, what it promises, why each frame."""
    counts = Counter(str(key_frame.choice.reason) for key_frame in chosen)
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
    kind = "usable" if selection.usable_count else "decodable"
    lines = [
        "Chosen automatically to begin reading with. No diagnosis; the whole recording is in"
        " this study.",
        f"{len(chosen)} key frames of {frame_count} frames, {selection.usable_count} of them"
        f" usable: {reasons}.",
        f"Among any {selection.bound_frames} consecutive {kind} frames at least one is a key"
        " frame.",
    ]
    lines += [f"{one.rank}: {one.in_words}, {one.choice.reason}" for one in chosen]
    return "\n".join(lines)


def _observer(study: SourceStudy) -> list[Dataset]:
    """Return who chose: a device observer (PS3.16 TID 1004)."""
    kind = _item("HAS OBS CONTEXT", "CODE", "121005", "Observer Type")
    kind.ConceptCodeSequence = Sequence([code("121007", "DCM", "Device")])
    uid = _item("HAS OBS CONTEXT", "UIDREF", "121012", "Device Observer UID")
    uid.UID = uids.derived(study.tenant, "device")
    return [
        kind,
        uid,
        _text("HAS OBS CONTEXT", "121013", "Device Observer Name", MODEL_NAME),
        _text("HAS OBS CONTEXT", "121014", "Device Observer Manufacturer", MODEL_NAME),
        _text(
            "HAS OBS CONTEXT",
            "121015",
            "Device Observer Model Name",
            f"{MODEL_NAME} {__version__}",
        ),
    ]


def _item(relationship: str, value_type: str, value: str, meaning: str) -> Dataset:
    ds = Dataset()
    ds.RelationshipType, ds.ValueType = relationship, value_type
    ds.ConceptNameCodeSequence = Sequence([code(value, "DCM", meaning)])
    return ds


def _text(relationship: str, value: str, meaning: str, text: str) -> Dataset:
    ds = _item(relationship, "TEXT", value, meaning)
    ds.TextValue = text
    return ds


def _image(reference: Reference, frame_number: int | None = None) -> Dataset:
    target = Dataset()
    target.ReferencedSOPClassUID = reference.sop_class_uid
    target.ReferencedSOPInstanceUID = reference.sop_instance_uid
    if frame_number is not None:
        target.ReferencedFrameNumber = frame_number
    ds = Dataset()
    ds.RelationshipType, ds.ValueType = "CONTAINS", "IMAGE"
    ds.ReferencedSOPSequence = Sequence([target])
    return ds


def _evidence(study: SourceStudy, references: Iterable[Reference]) -> Sequence:
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
