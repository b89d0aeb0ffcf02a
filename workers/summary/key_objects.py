"""Pure: the Key Object Selection document that names the key frames (PS3.3 A.35.4, TID 2010).

One IMAGE item per frame of the multi-frame instances, with its Referenced Frame Number, and one
per single-frame key image: many viewers overlook frame numbers.
"""

from collections import Counter
from collections.abc import Sequence as SequenceOf

from pydicom.sequence import Sequence

from gateway.dicom.storage_classes import KEY_OBJECT_SELECTION
from gateway.model import DerivedRole
from workers import dicom_objects
from workers.dicom_objects import MadeInstance, Placement, Reference, SourceStudy, code
from workers.summary import document
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
    ds = document.begin(study, _PLACE, code("113000", "DCM", "Of Interest"), "2010")
    parts = [key_frame.part.reference for key_frame, _ in chosen]
    images = [reference for _, reference in chosen]
    ds.CurrentRequestedProcedureEvidenceSequence = document.evidence(study, [*parts, *images])
    frames = [
        document.image(key_frame.part.reference, key_frame.frame_number) for key_frame, _ in chosen
    ]
    words = describe(selection, frame_count, [key_frame for key_frame, _ in chosen])
    ds.ContentSequence = Sequence(
        [
            *document.observer(study),
            *frames,
            *(document.image(reference) for reference in images),
            document.text("CONTAINS", code("113012", "DCM", "Key Object Description"), words),
        ]
    )
    return dicom_objects.document(ds, study, _PLACE)


def describe(selection: Selection, frame_count: int, chosen: SequenceOf[KeyFrame]) -> str:
    """Return the document's description: what this is, what it promises, why each frame."""
    lines = [statement(selection, frame_count, chosen)]
    lines += [
        f"{one.rank}: {one.in_words}, {one.choice.reason}, score {one.choice.score:.2f},"
        f" for {one.choice.neighbour_count}"
        for one in chosen
    ]
    return "\n".join(lines)


def statement(selection: Selection, frame_count: int, chosen: SequenceOf[KeyFrame]) -> str:
    """Return what the summary is and what it promises."""
    counts = Counter(str(key_frame.choice.reason) for key_frame in chosen)
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
    kind = "usable" if selection.usable_count else "decodable"
    lines = [
        "Chosen automatically to begin reading with. No diagnosis; the whole recording is in"
        " this study.",
        f"{len(chosen)} key frames of {frame_count} frames, {selection.usable_count} of them"
        f" usable: {reasons}.",
        f"Of any {selection.bound_frames} consecutive frames one is a key frame, unless none of"
        f" them is {kind}.",
    ]
    return "\n".join(lines)
