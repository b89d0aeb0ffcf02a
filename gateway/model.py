"""Pure: the words of the gateway. Enums, state machines as tables, frozen data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, IntFlag, StrEnum
from typing import Any


class StudyState(StrEnum):
    RECEIVING = "receiving"  # instances arrive, or may still arrive
    SETTLING = "settling"  # complete by some evidence; waits for a worker
    WRAPPING = "wrapping"  # a worker holds the lease and makes multi-frame instances
    SUMMARISING = "summarising"  # parts are recorded; key frames are being chosen
    READY = "ready"  # everything made and recorded; transfers are planned
    FAILED = "failed"  # needs an operator; reason and remedy say why


class TransferState(StrEnum):
    PENDING = "pending"  # due at next_attempt_at
    SENDING = "sending"  # a worker holds the lease
    SENT = "sent"  # every item acknowledged
    COMMITTED = "committed"  # the destination took responsibility (PS3.4 Annex J)
    VERIFIED = "verified"  # asked back and compared
    FAILED = "failed"  # permanent, or attempts spent
    PAUSED = "paused"  # by an operator, or the destination's breaker is open
    CANCELLED = "cancelled"  # by an operator


class DestinationKind(StrEnum):
    DIMSE = "dimse"  # C-STORE (PS3.4 Annex B)
    DICOMWEB = "dicomweb"  # STOW-RS (PS3.18 10.5)


class AuthKind(StrEnum):
    """How a DICOMweb server learns who we are; a client certificate counts beside any of them."""

    NONE = "none"
    BASIC = "basic"
    BEARER = "bearer"  # a token that lies in a file
    OAUTH2 = "oauth2"  # client credentials (RFC 6749 4.4)


class Truth(StrEnum):
    """How far an instance got at a destination, from weak to strong."""

    SENT = "sent"  # its last byte left
    ACKNOWLEDGED = "acknowledged"  # answered with Success or a Warning
    COMMITTED = "committed"  # the destination took responsibility (PS3.4 Annex J)
    VERIFIED = "verified"  # asked back: it is there, with all its frames


class Contents(StrEnum):
    """What of a study a destination gets."""

    EVERYTHING = "everything"
    SUMMARY = "summary"  # all but the frames and what was received
    SUMMARY_FIRST = "summary-first"  # the summary at once, the rest in the time windows


class Carrier(StrEnum):
    """The rungs of the delivery ladder, the best first; AUTOMATIC: as the probe found."""

    AUTOMATIC = "automatic"
    VIDEO_ENDOSCOPIC = "video-endoscopic"
    MULTI_FRAME_SC = "multi-frame-sc"
    KEY_FRAMES = "key-frames"


class BreakerState(StrEnum):
    CLOSED = "closed"  # transfers go through
    OPEN = "open"  # none is tried until probe_at
    HALF_OPEN = "half-open"  # one is under way and decides


class TaskKind(StrEnum):
    MISSING = "missing"  # the destination no longer has what it acknowledged
    FRAMES_DIFFER = "frames-differ"  # it has it with another Number of Frames
    UNANSWERED = "unanswered"  # it cannot be asked


class DiskLevel(StrEnum):
    """Room on the disk we receive to, from good to bad."""

    PLENTY = "plenty"
    LOW = "low"  # below CAPSULE_DISK_WARN_BYTES
    FULL = "full"  # below CAPSULE_DISK_REFUSE_BYTES: every instance is refused


STUDY_TRANSITIONS: Mapping[StudyState, frozenset[StudyState]] = {
    StudyState.RECEIVING: frozenset({StudyState.SETTLING, StudyState.FAILED}),
    StudyState.SETTLING: frozenset({StudyState.WRAPPING, StudyState.RECEIVING, StudyState.FAILED}),
    StudyState.WRAPPING: frozenset(
        {StudyState.WRAPPING, StudyState.SUMMARISING, StudyState.RECEIVING, StudyState.FAILED}
    ),
    StudyState.SUMMARISING: frozenset(
        {StudyState.SUMMARISING, StudyState.READY, StudyState.RECEIVING, StudyState.FAILED}
    ),
    StudyState.READY: frozenset({StudyState.RECEIVING, StudyState.SETTLING}),
    StudyState.FAILED: frozenset({StudyState.SETTLING, StudyState.RECEIVING}),
}
"""WRAPPING to WRAPPING is a new claim after a lease ran out; to RECEIVING, a late frame."""

TRANSFER_TRANSITIONS: Mapping[TransferState, frozenset[TransferState]] = {
    TransferState.PENDING: frozenset(
        {TransferState.SENDING, TransferState.PAUSED, TransferState.CANCELLED}
    ),
    TransferState.SENDING: frozenset(
        {
            TransferState.SENT,
            TransferState.PENDING,
            TransferState.FAILED,
            TransferState.PAUSED,
            TransferState.CANCELLED,
        }
    ),
    TransferState.SENT: frozenset(
        {
            TransferState.COMMITTED,
            TransferState.VERIFIED,
            TransferState.PENDING,
            TransferState.FAILED,
        }
    ),
    TransferState.COMMITTED: frozenset(
        {TransferState.VERIFIED, TransferState.PENDING, TransferState.FAILED}
    ),
    TransferState.VERIFIED: frozenset({TransferState.PENDING}),
    TransferState.FAILED: frozenset({TransferState.PENDING, TransferState.CANCELLED}),
    TransferState.PAUSED: frozenset({TransferState.PENDING, TransferState.CANCELLED}),
    TransferState.CANCELLED: frozenset({TransferState.PENDING}),
}


TRUTH_OF_STATE: Mapping[TransferState, Truth] = {
    TransferState.SENT: Truth.ACKNOWLEDGED,
    TransferState.COMMITTED: Truth.COMMITTED,
    TransferState.VERIFIED: Truth.VERIFIED,
}
"""What is true of every instance of a transfer in these states, but of those left out."""


def is_done(state: TransferState, green_at: Truth) -> bool:
    """Tell whether a transfer has come as far as its destination's policy asks."""
    order = list(Truth)
    reached = TRUTH_OF_STATE.get(state)
    return reached is not None and order.index(reached) >= order.index(green_at)


class ItemState(StrEnum):
    PENDING = "pending"
    LEFT_OUT = "left-out"  # the destination does not get it, by its profile
    ACKNOWLEDGED = "acknowledged"  # C-STORE-RSP Success or Warning
    COMMITTED = "committed"
    FAILED = "failed"


class PackState(StrEnum):
    OPEN = "open"
    SEALED = "sealed"


class AssociationOutcome(StrEnum):
    OPEN = "open"
    RELEASED = "released"
    ABORTED = "aborted"  # A-ABORT by either side
    LOST = "lost"  # the connection, or our process, went away
    REJECTED = "rejected"  # refused at A-ASSOCIATE


class SettleRule(StrEnum):
    """Which evidence said that the study is complete."""

    OPERATOR = "operator"
    DECLARED_COUNT = "declared-count"
    PERFORMED_STEP = "performed-step"  # MPPS COMPLETED, and what it names has arrived
    QUIET = "quiet"  # all associations released, then quiet
    QUIET_AFTER_ABORT = "quiet-after-abort"

    @property
    def in_words(self) -> str:
        return _SETTLE_WORDS[self]


_SETTLE_WORDS = {
    SettleRule.OPERATOR: "closed by an operator",
    SettleRule.DECLARED_COUNT: "the declared number of instances has arrived",
    SettleRule.PERFORMED_STEP: "the modality reported the step completed, and all of it arrived",
    SettleRule.QUIET: "all associations were released and it stayed quiet",
    SettleRule.QUIET_AFTER_ABORT: "an association broke off, then it stayed quiet",
}


class StepState(StrEnum):
    """Performed Procedure Step Status (0040,0252)."""

    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    DISCONTINUED = "DISCONTINUED"


class DerivedRole(StrEnum):
    """What an instance we deliver is for."""

    FRAMES = "frames"  # Video Endoscopic, all frames
    KEY_FRAME = "key-frame"  # VL Endoscopic, one chosen frame
    CONTACT_SHEET = "contact-sheet"  # Secondary Capture
    KEY_OBJECTS = "key-objects"  # Key Object Selection document
    REPORT = "report"  # Comprehensive SR: transit times, landmarks, key frames
    PREVIEW = "preview"  # Video Endoscopic, the key frames as a loop
    ORIGINAL = "original"  # a received instance that is delivered as it came
    REJECTION_NOTE = "rejection-note"  # Key Object Selection that takes instances back


SUMMARY_ROLES = frozenset(DerivedRole) - {
    DerivedRole.FRAMES, DerivedRole.ORIGINAL, DerivedRole.REJECTION_NOTE,
}  # fmt: skip


class Disposition(StrEnum):
    """What became of an instance in quarantine."""

    REFUSED = "refused"  # never acknowledged; the bytes lie aside
    EXCLUDED = "excluded"  # acknowledged and kept, but it cannot be shown
    SET_APART = "set-apart"  # kept and delivered in an instance of its own


class FrameEncoding(IntEnum):
    """How the pixel data of an instance can be wrapped (OBJECTS: one class, one instance)."""

    OTHER = 0  # not one JPEG Baseline fragment: the wrap looks closer
    JPEG_YBR = 1  # JPEG Baseline, YCbCr: labelled YBR_FULL_422
    JPEG_RGB = 2  # JPEG Baseline without colour transform: labelled RGB
    JPEG_GREY = 3  # JPEG Baseline of one component: labelled MONOCHROME2


class FrameTreatment(IntFlag):
    """What was done to a frame so that it is JPEG Baseline. All but the last lose nothing."""

    NONE = 0
    JOINED = 1  # several fragments became one
    TRIMMED = 2  # padding behind the end of the image removed
    TABLES_INSERTED = 4  # the standard Huffman tables, which were left out
    RELABELLED = 8  # extended sequential that uses nothing beyond Baseline
    SEQUENTIAL = 16  # coefficients of a progressive stream written in sequential order
    REENCODED = 32  # decoded and compressed again

    @property
    def in_words(self) -> str:
        if not self:
            return "unchanged"
        return ", ".join(words for one, words in _TREATMENT_WORDS.items() if one in self)


_TREATMENT_WORDS = {
    FrameTreatment.JOINED: "fragments joined",
    FrameTreatment.TRIMMED: "padding removed",
    FrameTreatment.TABLES_INSERTED: "Huffman tables inserted",
    FrameTreatment.RELABELLED: "renamed Baseline",
    FrameTreatment.SEQUENTIAL: "made sequential",
    FrameTreatment.REENCODED: "compressed again",
}


class Compression(IntEnum):
    """How a frame was compressed with loss before it was compressed again."""

    LOSSLESS = 0
    JPEG = 1
    JPEG_LS = 2
    JPEG_2000 = 3
    HTJ2K = 4

    @property
    def method(self) -> str:
        """Defined term of Lossy Image Compression Method (PS3.3 C.7.6.1.1.5.1)."""
        return _METHODS[self]


_METHODS = {
    Compression.LOSSLESS: "",
    Compression.JPEG: "ISO_10918_1",
    Compression.JPEG_LS: "ISO_14495_1",
    Compression.JPEG_2000: "ISO_15444_1",
    Compression.HTJ2K: "ISO_15444_15",
}


class FrameFault(IntEnum):
    NONE = 0
    TRUNCATED = 1  # no EOI, or the scan ends early
    CORRUPT = 2  # not a JPEG stream, or an illegal marker
    SIZE_DISAGREES = 3  # the stream's own size contradicts Rows and Columns
    UNDECODABLE = 4  # no decoder makes a picture of it
    MISSING = 5  # the instance says it has this frame, and has not

    @property
    def in_words(self) -> str:
        return _FAULT_WORDS[self]


_FAULT_WORDS = {
    FrameFault.NONE: "sound",
    FrameFault.TRUNCATED: "the JPEG stream is truncated",
    FrameFault.CORRUPT: "the pixel data is not a readable JPEG stream",
    FrameFault.SIZE_DISAGREES: "the JPEG stream has another size than Rows and Columns say",
    FrameFault.UNDECODABLE: "the pixel data cannot be decoded",
    FrameFault.MISSING: "the instance does not hold all the frames it says it has",
}


class Organ(StrEnum):
    """Where a capsule is, in the order it passes."""

    OUTSIDE = "outside"
    OESOPHAGUS = "oesophagus"
    STOMACH = "stomach"
    SMALL_BOWEL = "small bowel"
    COLON = "colon"


class KeyFrameReason(StrEnum):
    REPRESENTATIVE = "representative"
    COVERAGE = "coverage"
    POSSIBLE_BLOOD = "possible blood"
    RARE = "rare"
    LANDMARK = "landmark"  # where an organ begins, or what looks like such a place


@dataclass(frozen=True)
class TextOrigin:
    """How the text of a source was read.

    declared: its Specific Character Set, as it stands there. read_as, because: what it was read
    as, and why. originals: raw bytes of identifying values, hexadecimal, by keyword, where they
    are more than ASCII. doubts: by keyword, what may not be what the source meant.
    """

    declared: str = ""
    read_as: str = ""
    because: str = "declared"
    originals: Mapping[str, str] = field(default_factory=dict)
    doubts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StudyIdentity:
    """What the first instance of a study says about it. Text is decoded Unicode.

    attributes: DICOM JSON model (PS3.18 Annex F) of the patient, study and equipment
    attributes that derived instances repeat.
    """

    study_instance_uid: str
    patient_id: str = ""
    patient_name: str = ""
    patient_birth_date: str = ""
    patient_sex: str = ""
    accession_number: str = ""
    study_date: str = ""
    study_time: str = ""
    study_description: str = ""
    declared_count: int | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    text_origin: TextOrigin = field(default_factory=TextOrigin)


@dataclass(frozen=True)
class SeriesIdentity:
    series_instance_uid: str
    modality: str = ""
    series_number: str = ""
    series_description: str = ""


@dataclass(frozen=True)
class Claim:
    """A lease on a row. attempt is the fencing token: a write with an older one is refused."""

    row_id: int
    attempt: int
    until: datetime


@dataclass(frozen=True)
class QuarantineNote:
    """An instance a human should look at; the row and, where refused, its bytes."""

    code: str
    reason: str
    disposition: Disposition
    status: int
    calling_ae_title: str = ""
    association_id: str = ""
    study_instance_uid: str = ""
    sop_instance_uid: str = ""
    storage_key: str = ""
    size_bytes: int = 0
