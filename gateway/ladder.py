"""Pure: the delivery ladder: in which carrier a destination gets the frames (OBJECTS section 3).

The better rung loses less: Video Endoscopic says what it is; Multi-frame True Color SC holds the
same JPEG bytes and says "secondary capture"; below that, frames stay here and key frames go.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.dicom.storage_classes import (
    COMPREHENSIVE_SR,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    JPEG_BASELINE,
    KEY_OBJECT_SELECTION,
    MULTI_FRAME_GRAYSCALE_BYTE_SC,
    MULTI_FRAME_TRUE_COLOR_SC,
    SECONDARY_CAPTURE,
    STORAGE_CLASSES,
    TRANSFER_SYNTAXES,
    VIDEO_ENDOSCOPIC,
    VL_ENDOSCOPIC,
)
from gateway.model import Carrier

PROBED: tuple[tuple[str, str], ...] = (
    (VIDEO_ENDOSCOPIC, JPEG_BASELINE),
    (VIDEO_ENDOSCOPIC, EXPLICIT_LITTLE),
    (MULTI_FRAME_TRUE_COLOR_SC, JPEG_BASELINE),
    (MULTI_FRAME_TRUE_COLOR_SC, EXPLICIT_LITTLE),
    (MULTI_FRAME_GRAYSCALE_BYTE_SC, JPEG_BASELINE),
    (VL_ENDOSCOPIC, JPEG_BASELINE),
    (VL_ENDOSCOPIC, EXPLICIT_LITTLE),
    (SECONDARY_CAPTURE, JPEG_BASELINE),
    (SECONDARY_CAPTURE, EXPLICIT_LITTLE),
    (KEY_OBJECT_SELECTION, EXPLICIT_LITTLE),
    (KEY_OBJECT_SELECTION, IMPLICIT_LITTLE),
    (COMPREHENSIVE_SR, EXPLICIT_LITTLE),
    (COMPREHENSIVE_SR, IMPLICIT_LITTLE),
)
"""What is asked about: all we make, as we make it, and what a person deciding wants to know."""

_RUNGS = (
    (Carrier.VIDEO_ENDOSCOPIC, (VIDEO_ENDOSCOPIC, JPEG_BASELINE)),
    (Carrier.MULTI_FRAME_SC, (MULTI_FRAME_TRUE_COLOR_SC, JPEG_BASELINE)),
)
_WORDS = {
    Carrier.VIDEO_ENDOSCOPIC: "Frames go as Video Endoscopic Image with their JPEG bytes untouched",
    Carrier.MULTI_FRAME_SC: "Frames go as Multi-frame True Color Secondary Capture, the same JPEG"
    " bytes",
    Carrier.KEY_FRAMES: "Frames stay here: key frames, contact sheet and documents go",
}


@dataclass(frozen=True)
class Rung:
    """words: a sentence for an operator: what is sent, and why so."""

    carrier: Carrier
    words: str


def choose(capabilities: Mapping[tuple[str, str], str], wanted: Carrier) -> Rung:
    """Return how frames are sent.

    capabilities: (SOP Class UID, Transfer Syntax UID) to why it was refused, empty: accepted;
    nothing at all: never probed. wanted: what the operator chose, AUTOMATIC if nothing.
    """
    if wanted is not Carrier.AUTOMATIC:
        return Rung(wanted, f"{_WORDS[wanted]}: chosen by an operator.")
    if not capabilities:
        carrier = Carrier.VIDEO_ENDOSCOPIC
        return Rung(carrier, f"{_WORDS[carrier]}: not probed yet, so the best is tried first.")
    refused: list[str] = []
    for carrier, context in _RUNGS:
        why = capabilities.get(context, "it was not asked")
        if not why:
            because = "; ".join(refused) or "it takes them so"
            return Rung(carrier, f"{_WORDS[carrier]}: {because}.")
        refused.append(f"{STORAGE_CLASSES[context[0]]} is refused, {why}")
    return Rung(Carrier.KEY_FRAMES, f"{_WORDS[Carrier.KEY_FRAMES]}: {'; '.join(refused)}.")


def name_of(sop_class_uid: str, transfer_syntax_uid: str) -> tuple[str, str]:
    """Return the names of a class and a transfer syntax; what has none keeps its UID."""
    return (
        STORAGE_CLASSES.get(sop_class_uid, sop_class_uid),
        TRANSFER_SYNTAXES.get(transfer_syntax_uid, transfer_syntax_uid),
    )
