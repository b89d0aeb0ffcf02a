"""What the demo claims, checked against what the simulated hospital PACS really holds."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread

from gateway.dicom.storage_classes import KEY_OBJECT_SELECTION, VIDEO_ENDOSCOPIC, VL_ENDOSCOPIC
from gateway.ledger import events
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import studies, transfers
from gateway.model import StudyState, TransferState
from gateway.packs.multiframe import MultiFrameFile
from gateway.simulator.workstation import SendReport


@dataclass(frozen=True)
class Claim:
    """One line of the proof. found is what was measured, expected what makes it true."""

    words: str
    found: str
    true: bool


def collect(
    ledger: Ledger, study_id: int, report: SendReport, *, frame_count: int, pacs_folder: Path
) -> list[Claim]:
    """Compare what the workstation sent with what the ledger says and the PACS holds."""
    with ledger.reading() as session:
        line = studies.line(session, study_id)
        delivery = transfers.lines(session, study_id=study_id)
        broken_event = events.first_broken(session)
    delivered = _Delivered.read(pacs_folder)
    sent = list(report.digests.values())
    gap_count = int(line.study.report.get("gap_count", -1))
    states = [one.transfer.state for one in delivery]
    item_count = sum(one.item_count for one in delivery)
    return [
        _equal("frames acknowledged to the workstation", report.acknowledged_count, frame_count),
        _equal("frames kept in packs", line.received_count, frame_count),
        _equal("gaps found", gap_count, 0),
        Claim("the study is ready", line.study.state, line.study.state is StudyState.READY),
        _equal("frames in multi-frame instances at the PACS", len(delivered.digests), frame_count),
        Claim(
            "every JPEG bit for bit, in order",
            f"{sum(a == b for a, b in zip(sent, delivered.digests, strict=False))} equal digests",
            sent == delivered.digests,
        ),
        _equal("key frames at the PACS", delivered.key_frame_count, line.key_frame_count),
        Claim(
            "key object document at the PACS",
            str(delivered.key_object_count),
            delivered.key_object_count == 1,
        ),
        _equal("instances at the PACS", delivered.instance_count, item_count),
        Claim(
            "committed by the PACS",
            ", ".join(states) or "nothing",
            bool(states) and all(state is TransferState.COMMITTED for state in states),
        ),
        Claim(
            "event chain untouched",
            "yes" if broken_event is None else f"event {broken_event} was changed",
            broken_event is None,
        ),
    ]


_PREVIEW_SERIES_NUMBER = 902
"""Of the key frames as a loop: they are in the recording already."""


@dataclass(frozen=True)
class _Delivered:
    digests: Sequence[str]
    key_frame_count: int
    key_object_count: int
    instance_count: int

    @classmethod
    def read(cls, folder: Path) -> "_Delivered":

        parts: list[tuple[int, Path]] = []
        classes: list[str] = []
        for path in sorted(folder.rglob("*.dcm")):
            ds = dcmread(path, stop_before_pixels=True)
            classes.append(str(ds.SOPClassUID))
            preview = int(ds.SeriesNumber) == _PREVIEW_SERIES_NUMBER
            if ds.SOPClassUID == VIDEO_ENDOSCOPIC and not preview:
                parts.append((int(ds.InstanceNumber), path))
        digests = [digest for _, path in sorted(parts) for digest in _frame_digests(path)]
        return cls(
            digests,
            classes.count(VL_ENDOSCOPIC),
            classes.count(KEY_OBJECT_SELECTION),
            len(classes),
        )


def _frame_digests(path: Path) -> list[str]:
    """Return the SHA-256 of every frame's JPEG stream, without the byte that makes it even."""
    part = MultiFrameFile(path)
    try:
        frames = (part.read_frame(index) for index in range(part.frame_count))
        return [hashlib.sha256(_unpadded(frame)).hexdigest() for frame in frames]
    finally:
        part.close()


def _unpadded(frame: bytes) -> bytes:
    return frame[:-1] if frame.endswith(b"\xff\xd9\x00") else frame


def _equal(words: str, found: int, expected: int) -> Claim:
    return Claim(
        words, f"{found:,} of {expected:,}" if expected else f"{found:,}", found == expected
    )
