"""Pure: the structured report: transit times, landmarks and key frames (PS3.16 TID 1500).

A Comprehensive SR document (PS3.3 A.35.3), never more than preliminary: nobody verified it.
There is no template for capsule endoscopy; what PS3.16 has no code for is coded by us.
"""

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.sequence import Sequence

from gateway.dicom import times, uids
from gateway.dicom.storage_classes import COMPREHENSIVE_SR
from gateway.model import DerivedRole, KeyFrameReason, Organ
from workers import dicom_objects
from workers.dicom_objects import MODEL_NAME, MadeInstance, Placement, Reference, SourceStudy, code
from workers.summary import document
from workers.summary.key_frame import KeyFrame
from workers.summary.parts import SourcePart

SERIES_NUMBER, SERIES_DESCRIPTION = 904, "Capsule report"
SCHEME = "99CAPSGW"

_PLACE = Placement(
    role=DerivedRole.REPORT,
    sop_class_uid=COMPREHENSIVE_SR,
    modality="SR",
    series_number=SERIES_NUMBER,
    series_description=SERIES_DESCRIPTION,
    instance_number=1,
)
_SITES = {
    Organ.OESOPHAGUS: ("32849002", "Esophagus"),
    Organ.STOMACH: ("69695003", "Stomach"),
    Organ.SMALL_BOWEL: ("30315005", "Small intestine"),
    Organ.COLON: ("71854001", "Colon"),
}
_REASONS = {
    KeyFrameReason.REPRESENTATIVE: ("REPRESENTATIVE", "Representative view"),
    KeyFrameReason.COVERAGE: ("COVERAGE", "Chosen to cover the recording"),
    KeyFrameReason.POSSIBLE_BLOOD: ("POSSIBLEBLOOD", "Looks like blood"),
    KeyFrameReason.RARE: ("RARE", "Looks unlike its surroundings"),
    KeyFrameReason.LANDMARK: ("LANDMARK", "Looks like a landmark"),
}
_MINUTES = ("min", "UCUM", "minute")


@dataclass(frozen=True)
class Landmark:
    """Where an organ begins. frame_number: 1-based in the part; recording_frame_number: 1-based
    in its recording. confidence: 0 to 1; 1 if a person said so, then edited_by names who."""

    organ: Organ
    part: SourcePart
    frame_number: int
    recording_frame_number: int
    elapsed_ms: int
    confidence: float
    edited_by: str = ""


def transit_ms(landmarks: SequenceOf[Landmark]) -> dict[Organ, int]:
    """Return how long the capsule was in stomach and small bowel, where both ends are known."""
    at = {one.organ: one.elapsed_ms for one in landmarks}
    pairs = ((Organ.STOMACH, Organ.SMALL_BOWEL), (Organ.SMALL_BOWEL, Organ.COLON))
    return {
        organ: at[after] - at[organ]
        for organ, after in pairs
        if organ in at and after in at and at[after] >= at[organ]
    }


def make(
    study: SourceStudy,
    landmarks: SequenceOf[Landmark],
    chosen: SequenceOf[tuple[KeyFrame, Reference]],
    statement: str,
) -> MadeInstance:
    """Return the document. chosen: not empty. statement: what the summary is and promises."""
    title = code("126000", "DCM", "Imaging Measurement Report")
    ds = document.begin(study, _PLACE, title, "1500")
    ds.CompletionFlag, ds.VerificationFlag = "PARTIAL", "UNVERIFIED"
    ds.PreliminaryFlag = "PRELIMINARY"
    ds.PerformedProcedureCodeSequence = Sequence()
    ds.CodingSchemeIdentificationSequence = Sequence([_scheme()])
    references = [key_frame.part.reference for key_frame, _ in chosen]
    references += [image for _, image in chosen] + [one.part.reference for one in landmarks]
    ds.CurrentRequestedProcedureEvidenceSequence = document.evidence(study, references)
    groups = [_landmark(study, one) for one in landmarks]
    times = _transit(study, landmarks)
    groups = ([times] if times is not None else []) + groups
    groups += [_key_frame(study, key_frame, image) for key_frame, image in chosen]
    english = code("en", "RFC5646", "English")
    language = code("121049", "DCM", "Language of Content Item and Descendants")
    procedure = code("121058", "DCM", "Procedure reported")
    ds.ContentSequence = Sequence(
        [
            document.coded("HAS CONCEPT MOD", language, english),
            *document.observer(study),
            document.coded("HAS CONCEPT MOD", procedure, _own("CAPSULE", "Capsule endoscopy")),
            document.container(code("126010", "DCM", "Imaging Measurements"), groups),
            document.text("CONTAINS", code("121106", "DCM", "Comment"), statement),
        ]
    )
    return dicom_objects.document(ds, study, _PLACE)


def _group(study: SourceStudy, name: str, content: SequenceOf[Dataset]) -> Dataset:
    """Return a measurement group (PS3.16 TID 1501). name: unique in the document."""
    uid = uids.derived(study.tenant, "tracking", study.study_instance_uid, name)
    tracked = [
        document.text("HAS OBS CONTEXT", code("112039", "DCM", "Tracking Identifier"), name),
        document.uid_reference(
            "HAS OBS CONTEXT", code("112040", "DCM", "Tracking Unique Identifier"), uid
        ),
    ]
    measurement_group = code("125007", "DCM", "Measurement Group")
    return document.container(measurement_group, [*tracked, *content], "1501")


def _transit(study: SourceStudy, landmarks: SequenceOf[Landmark]) -> Dataset | None:
    names = {
        Organ.STOMACH: _own("GASTRICTRANSIT", "Gastric transit time"),
        Organ.SMALL_BOWEL: _own("SBTRANSIT", "Small bowel transit time"),
    }
    times = [_minutes(names[organ], took) for organ, took in transit_ms(landmarks).items()]
    return _group(study, "Capsule transit", times) if times else None


def _landmark(study: SourceStudy, one: Landmark) -> Dataset:
    name = f"First frame: {one.organ}"
    content = [document.coded("CONTAINS", code("121071", "DCM", "Finding"),
                              _own("FIRSTFRAME", "First frame of an organ"))]  # fmt: skip
    if one.organ in _SITES:
        value, meaning = _SITES[one.organ]
        site = code("363698007", "SCT", "Finding Site")
        content.append(document.coded("HAS CONCEPT MOD", site, code(value, "SCT", meaning)))
    content += [
        document.image(one.part.reference, one.frame_number),
        _since_start(one.elapsed_ms),
        document.number(
            "CONTAINS",
            _own("CONFIDENCE", "Confidence of the estimate"),
            f"{one.confidence:.2f}",
            code("1", "UCUM", "no units"),
        ),
    ]
    who = f"corrected by {one.edited_by}" if one.edited_by else "estimated from tissue colour"
    words = f"Frame {one.recording_frame_number}, {times.clock(one.elapsed_ms)}, {who}"
    content.append(document.text("CONTAINS", code("121106", "DCM", "Comment"), words))
    return _group(study, name, content)


def _key_frame(study: SourceStudy, one: KeyFrame, image: Reference) -> Dataset:
    value, meaning = _REASONS[one.choice.reason]
    words = (
        f"{one.in_words}; score {one.choice.score:.2f};"
        f" stands for {one.choice.neighbour_count} frames"
    )
    content = [
        document.coded("CONTAINS", code("121071", "DCM", "Finding"), _own(value, meaning)),
        document.image(one.part.reference, one.frame_number),
        document.image(image),
        _since_start(one.elapsed_ms),
        document.text("CONTAINS", code("121106", "DCM", "Comment"), words),
    ]
    return _group(study, f"Key frame {one.rank}", content)


def _since_start(elapsed_ms: int) -> Dataset:
    return _minutes(_own("SINCESTART", "Time since the first frame"), elapsed_ms)


def _minutes(name: Dataset, duration_ms: int) -> Dataset:
    return document.number("CONTAINS", name, f"{duration_ms / 60000:.2f}", code(*_MINUTES))


def _own(value: str, meaning: str) -> Dataset:
    return code(value, SCHEME, meaning)


def _scheme() -> Dataset:
    ds = Dataset()
    ds.CodingSchemeDesignator = SCHEME
    ds.CodingSchemeName = f"{MODEL_NAME} codes"
    ds.CodingSchemeResponsibleOrganization = MODEL_NAME
    return ds
