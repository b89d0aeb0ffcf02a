"""Pure: which attributes the instances we make must have (PS3.3 Annex A, by Type)."""

from pydicom import Dataset
from pydicom.datadict import keyword_for_tag

from gateway.dicom import legal, text, uids
from gateway.dicom.charsets import Reason
from gateway.dicom.storage_classes import (
    COMPREHENSIVE_SR,
    KEY_OBJECT_SELECTION,
    MULTI_FRAME_TRUE_COLOR_SC,
    SECONDARY_CAPTURE,
    VIDEO_ENDOSCOPIC,
    VL_ENDOSCOPIC,
)
from gateway.preflight.report import Findings

_ANY_1 = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality")
_ANY_2 = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "StudyID", "AccessionNumber", "ReferringPhysicianName", "SeriesNumber", "InstanceNumber",
)  # fmt: skip
_IMAGE_1 = (
    "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
)  # fmt: skip
_VL_1 = ("ImageType", "AnatomicRegionSequence")
_VL_2 = ("LossyImageCompression", "AcquisitionContextSequence")
_DOCUMENT_1 = (
    "SeriesNumber", "InstanceNumber", "ContentDate", "ContentTime", "ValueType",
    "ConceptNameCodeSequence", "ContinuityOfContent",
)  # fmt: skip
_DOCUMENT_2 = ("ReferencedPerformedProcedureStepSequence",)

_TYPE_1: dict[str, tuple[str, ...]] = {
    VIDEO_ENDOSCOPIC: (
        *_IMAGE_1, *_VL_1, "NumberOfFrames", "FrameIncrementPointer", "ContentDate", "ContentTime",
    ),
    VL_ENDOSCOPIC: (*_IMAGE_1, *_VL_1),
    SECONDARY_CAPTURE: (*_IMAGE_1, "ConversionType"),
    MULTI_FRAME_TRUE_COLOR_SC: (
        *_IMAGE_1, "ConversionType", "BurnedInAnnotation", "NumberOfFrames",
    ),
    KEY_OBJECT_SELECTION: (*_DOCUMENT_1, "CurrentRequestedProcedureEvidenceSequence"),
    COMPREHENSIVE_SR: (*_DOCUMENT_1, "CompletionFlag", "VerificationFlag"),
}  # fmt: skip
"""Must be there with a value. 1C whose condition our instances always meet are among them."""
_TYPE_2: dict[str, tuple[str, ...]] = {
    VIDEO_ENDOSCOPIC: (*_VL_2, "Manufacturer", "PatientOrientation"),
    VL_ENDOSCOPIC: (*_VL_2, "Manufacturer", "PatientOrientation"),
    SECONDARY_CAPTURE: ("PatientOrientation",),
    KEY_OBJECT_SELECTION: (*_DOCUMENT_2, "Manufacturer"),
    COMPREHENSIVE_SR: (*_DOCUMENT_2, "PerformedProcedureCodeSequence", "Manufacturer"),
}
"""Must be there, if empty."""
_MODALITY = {
    VIDEO_ENDOSCOPIC: "ES",
    VL_ENDOSCOPIC: "ES",
    KEY_OBJECT_SELECTION: "KO",
    COMPREHENSIVE_SR: "SR",
}
_CONCATENATION = (
    "ConcatenationUID", "SOPInstanceUIDOfConcatenationSource", "InConcatenationNumber",
    "InConcatenationTotalNumber", "ConcatenationFrameOffsetNumber",
)  # fmt: skip
_SIDES = ("BodyPartExamined", "Laterality", "ImageLaterality")
_SINGLE_FRAME = frozenset({VL_ENDOSCOPIC, SECONDARY_CAPTURE})
_UNTEXTED = frozenset({"", "SpecificCharacterSet", "FrameTimeVector"})
_UNREAD_VRS = frozenset({"OV", "SV", "UV"})


def check(ds: Dataset, findings: Findings) -> None:
    """Check a header: modules, UIDs, text, and what viewers stumble over."""
    _check_text(ds, findings)
    kind = str(ds.get("SOPClassUID", ""))
    for keyword in (*_ANY_1, *_TYPE_1.get(kind, ())):
        if keyword not in ds or ds[keyword].is_empty:
            findings.error("missing", f"{keyword} is missing or empty (Type 1).")
    for keyword in (*_ANY_2, *_TYPE_2.get(kind, ())):
        if keyword not in ds:
            findings.error("missing", f"{keyword} is missing (Type 2).")
    wanted = _MODALITY.get(kind)
    if wanted and str(ds.get("Modality", "")) not in ("", wanted):
        findings.error("modality", f"Modality is {ds.Modality}, of this SOP class {wanted}.")
    _check_shape(ds, kind, findings)
    _check_uids(ds, findings)
    if kind == KEY_OBJECT_SELECTION:
        _check_evidence(ds, findings)


def _check_shape(ds: Dataset, kind: str, findings: Findings) -> None:
    if kind in _SINGLE_FRAME and ds.get("NumberOfFrames") not in (None, 1):
        findings.error(
            "multi-frame", "This SOP class has one frame: widespread libraries abort at more."
        )
    if int(ds.get("SamplesPerPixel") or 1) > 1 and "PlanarConfiguration" not in ds:
        findings.error("missing", "PlanarConfiguration is missing (Type 1C).")
    if kind in (VIDEO_ENDOSCOPIC, VL_ENDOSCOPIC) and not any(one in ds for one in _SIDES):
        findings.error(
            "missing", "Neither a body part nor Laterality nor Image Laterality is said (Type 2C)."
        )
    if kind == VIDEO_ENDOSCOPIC:
        for keyword in _CONCATENATION:
            if keyword in ds:
                findings.error(
                    "concatenation",
                    f"{keyword}: a Video Endoscopic Image has no functional groups and cannot be"
                    " part of a Concatenation.",
                )
    _check_vrs(ds, findings)


def _check_vrs(ds: Dataset, findings: Findings) -> None:
    tags = list(ds.keys())
    for tag in tags:
        element = ds.get_item(tag)
        if str(element.VR) in _UNREAD_VRS:
            findings.error("vr", f"{tag} has VR {element.VR}: viewers reject the whole file.")
        if element.VR == "SQ":
            for item in ds[tag].value:
                _check_vrs(item, findings)


def _check_uids(ds: Dataset, findings: Findings) -> None:
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        value = str(ds.get(keyword, ""))
        if value and not uids.is_valid(value):
            findings.error("uid", f"{keyword} is no UID.")


def _check_text(ds: Dataset, findings: Findings) -> None:
    """Check that text can be read as declared, and that no value is one its VR forbids.

    ds: nothing of it was decoded yet.
    """
    said = [name for tag in list(ds.keys()) if (name := keyword_for_tag(tag)) not in _UNTEXTED]
    origin = text.decode(ds, said)
    if origin.because != Reason.DECLARED:
        findings.error(
            "charset",
            f"Specific Character Set says {origin.declared or 'nothing'}, the text is in"
            f" {origin.read_as}.",
        )
    for keyword, doubt in origin.doubts.items():
        if "\ufffd" in str(ds[keyword].value):
            findings.error("charset", f"{keyword} is not in the declared character set.")
        else:
            findings.warning("text", f"{keyword}: {doubt}")
    copy = Dataset()
    for keyword in said:
        if ds[keyword].VM == 1 or all(map(str, ds[keyword].value)):
            copy[keyword] = ds[keyword]
    for keyword in sorted(set(legal.make_legal(copy))):
        findings.error("value", f"{keyword} has a value that its VR does not allow.")


def _check_evidence(ds: Dataset, findings: Findings) -> None:
    """Check that the evidence names every instance the content refers to (PS3.3 C.17.2.1)."""
    evidence = {
        str(one.get("ReferencedSOPInstanceUID", ""))
        for study in ds.get("CurrentRequestedProcedureEvidenceSequence") or ()
        for series in study.get("ReferencedSeriesSequence") or ()
        for one in series.get("ReferencedSOPSequence") or ()
    }
    for item in ds.get("ContentSequence") or ():
        for one in item.get("ReferencedSOPSequence") or ():
            if str(one.get("ReferencedSOPInstanceUID", "")) not in evidence:
                findings.error("evidence", "A referenced instance is not in the evidence.")
