"""Fills a ledger the way the gateway does: through its transitions, with real DICOM files.

For tests of the console and for its screenshots. Frames are the simulator's; nothing here
comes from a patient, and the names are invented.
"""

import hashlib
import io
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from gateway.errors import GatewayError
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import studies as study_queries
from gateway.ledger.queries import transfers as transfer_queries
from gateway.ledger.transitions import commitments, reception, studies, transfers
from gateway.model import (
    AssociationOutcome,
    DerivedRole,
    ItemState,
    KeyFrameReason,
    SeriesIdentity,
    SettleRule,
    StudyIdentity,
)

VIDEO_ENDOSCOPIC = "1.2.840.10008.5.1.4.1.1.77.1.1.1"
VL_ENDOSCOPIC = "1.2.840.10008.5.1.4.1.1.77.1.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.88.59"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
FRAME_BYTES = 24_300
PART_FRAMES = 2000
REASONS = (
    KeyFrameReason.REPRESENTATIVE,
    KeyFrameReason.COVERAGE,
    KeyFrameReason.REPRESENTATIVE,
    KeyFrameReason.POSSIBLE_BLOOD,
    KeyFrameReason.REPRESENTATIVE,
    KeyFrameReason.RARE,
)


@dataclass
class Filling:
    """now is the clock of everything that is written; tests move it on."""

    ledger: Ledger
    home: Path
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    serial: int = 0
    pictures: list[bytes] = field(default_factory=list)
    pack_id: int = 0  # the pack and the association of the latest `receive`
    association: str = ""

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def receive(
        self,
        uid: str,
        count: int,
        *,
        name: str = "Doe^Jane",
        source: str = "CAPSULE_WS1",
        finished: bool = True,
        outcome: AssociationOutcome = AssociationOutcome.RELEASED,
        declared: int | None = None,
        **identity: str,
    ) -> int:
        """Let instances arrive; returns the study's id. finished: the association is over."""
        self.serial += 1
        association = f"{self.serial:032x}"
        study = StudyIdentity(uid, patient_name=name, declared_count=declared, **identity)
        series = SeriesIdentity(f"{uid}.1", modality="ES", series_number="1")
        size_bytes = count * FRAME_BYTES
        with self.ledger.transaction() as session:
            reception.open_association(
                session,
                association,
                calling=source,
                called="CAPSULEGW",
                peer="10.20.4.31:50412",
                now=self.now,
            )
            pack_id = reception.open_pack(
                session,
                study,
                series,
                storage_key=f"packs/{uid}/{self.serial}.tar",
                association_id=association,
                calling_ae_title=source,
                now=self.now,
            )
            reception.record_progress(
                session, pack_id, instance_count=count, size_bytes=size_bytes, now=self.now
            )
        if finished:
            self.seal(pack_id, association, count, outcome=outcome)
        self.pack_id, self.association = pack_id, association
        with self.ledger.reading() as session:
            return study_queries.by_uid(session, uid).id

    def more(self, pack_id: int, count: int) -> None:
        with self.ledger.transaction() as session:
            reception.record_progress(
                session,
                pack_id,
                instance_count=count,
                size_bytes=count * FRAME_BYTES,
                now=self.now,
            )

    def seal(
        self,
        pack_id: int,
        association: str,
        count: int,
        *,
        outcome: AssociationOutcome = AssociationOutcome.RELEASED,
    ) -> None:
        counts = reception.AssociationCounts(received=count)
        with self.ledger.transaction() as session:
            reception.seal_pack(
                session,
                pack_id,
                outcome=outcome,
                instance_count=count,
                size_bytes=count * FRAME_BYTES,
                now=self.now,
            )
            reception.close_association(session, association, outcome, counts, now=self.now)

    def settle(self, study_id: int, rule: SettleRule = SettleRule.QUIET) -> None:
        with self.ledger.transaction() as session:
            studies.settle(session, study_id, rule, now=self.now)

    def claim(self, study_id: int) -> int:
        with self.ledger.transaction() as session:
            claim = studies.claim(session, study_id, lease_s=60, attempts_max=8, now=self.now)
        assert claim is not None
        return claim.attempt

    def wrap(self, study_id: int, frame_count: int, **report: object) -> None:
        """Claim a settled study and record its parts."""
        attempt = self.claim(study_id)
        parts = [
            self._derived(
                study_id,
                DerivedRole.FRAMES,
                number,
                VIDEO_ENDOSCOPIC,
                frame_count=min(PART_FRAMES, frame_count - first),
            )
            for number, first in enumerate(range(0, frame_count, PART_FRAMES), 1)
        ]
        full = {
            "frame_count": frame_count,
            "received_count": frame_count,
            "gap_count": 0,
            "gaps": [],
            "duplicate_count": 0,
            "excluded_count": 0,
            "conflict_count": 0,
            "duration_s": frame_count * 0.58,
            "parts": len(parts),
            **report,
        }
        with self.ledger.transaction() as session:
            studies.finish_wrap(session, study_id, attempt, parts, report=full, now=self.now)

    def summarise(self, study_id: int, frame_count: int, key_frame_count: int) -> None:
        """Claim a wrapped study and record its key frames, with pictures, and a contact sheet."""
        attempt = self.claim(study_id)
        instances, chosen = [], []
        for rank in range(1, key_frame_count + 1):
            one = self._derived(
                study_id, DerivedRole.KEY_FRAME, rank, VL_ENDOSCOPIC, picture=self.picture(rank)
            )
            at = (rank - 1) * (frame_count - 1) // max(1, key_frame_count - 1)
            part = at // PART_FRAMES + 1
            instances.append(one)
            chosen.append(
                studies.ChosenFrame(
                    rank=rank,
                    sop_instance_uid=one.sop_instance_uid,
                    part_sop_instance_uid=self._uid(study_id, DerivedRole.FRAMES, part),
                    frame_number=at % PART_FRAMES + 1,
                    recording_frame_number=at + 1,
                    elapsed_ms=at * 580,
                    reason=REASONS[rank % len(REASONS)],
                    score=0.9,
                    neighbour_count=frame_count // key_frame_count,
                )
            )
        instances.append(
            self._derived(
                study_id,
                DerivedRole.CONTACT_SHEET,
                1,
                SECONDARY_CAPTURE,
                picture=self.contact_sheet(key_frame_count),
            )
        )
        instances.append(self._derived(study_id, DerivedRole.KEY_OBJECTS, 1, KEY_OBJECTS))
        with self.ledger.transaction() as session:
            studies.finish_summary(session, study_id, attempt, instances, chosen, now=self.now)

    def fail(self, study_id: int, error: GatewayError) -> None:
        """Claim a study's next step and fail it for good."""
        attempt = self.claim(study_id)
        with self.ledger.transaction() as session:
            studies.step_failed(session, study_id, attempt, error, retry_after_s=5, now=self.now)

    def ready(self, uid: str, count: int, *, key_frame_count: int = 12, **identity: object) -> int:
        """Take a study all the way to ready."""
        report = identity.pop("report", {})
        study_id = self.receive(uid, count, **identity)  # type: ignore[arg-type]
        self.later(5)
        self.settle(study_id)
        self.later(2)
        self.wrap(study_id, count, **report)  # type: ignore[arg-type]
        self.later(9)
        self.summarise(study_id, count, key_frame_count)
        return study_id

    def claim_transfer(self, transfer_id: int) -> int:
        with self.ledger.transaction() as session:
            claim = transfers.claim(session, transfer_id, lease_s=60, attempts_max=8, now=self.now)
        assert claim is not None
        return claim.attempt

    def acknowledge(self, transfer_id: int, attempt: int, count: int | None = None) -> None:
        """Let the destination take the next `count` instances, or all that are left."""
        with self.ledger.transaction() as session:
            items = transfer_queries.items(session, transfer_id)
            waiting = [one.item.id for one in items if one.item.state is ItemState.PENDING]
            transfers.acknowledge_items(
                session, transfer_id, attempt, waiting[:count], status=0, now=self.now
            )

    def deliver(self, transfer_id: int, *, commit: bool = False) -> None:
        attempt = self.claim_transfer(transfer_id)
        self.later(31)
        self.acknowledge(transfer_id, attempt)
        transaction_uid = f"2.25.{transfer_id}7"
        with self.ledger.transaction() as session:
            transfers.finish_send(session, transfer_id, attempt, now=self.now)
            if commit:
                items = transfer_queries.items(session, transfer_id)
                uids = frozenset(one.derived.sop_instance_uid for one in items)
                commitments.request(
                    session,
                    transfer_id,
                    [transaction_uid],
                    asked_before=self.now,
                    now=self.now,
                )
                self.later(2)
                commitments.report(
                    session, transaction_uid, committed=uids, failed={}, now=self.now
                )

    def deliver_all(self, study_id: int) -> None:
        """Deliver every transfer of a study; destinations that are asked commit it."""
        with self.ledger.reading() as session:
            lines = transfer_queries.lines(session, study_id=study_id)
        for line in sorted(lines, key=lambda one: one.transfer.id):
            self.deliver(line.transfer.id, commit=line.destination.commitment)

    def fail_transfer(
        self, transfer_id: int, error: GatewayError, *, refused: int | None = None, after: int = 0
    ) -> None:
        """Let `after` instances pass, then fail; refused: the status of the next one."""
        attempt = self.claim_transfer(transfer_id)
        self.acknowledge(transfer_id, attempt, after)
        with self.ledger.transaction() as session:
            if refused is not None:
                items = transfer_queries.items(session, transfer_id)
                one = next(one for one in items if one.item.state is ItemState.PENDING)
                transfers.refuse_item(
                    session, transfer_id, attempt, one.item.id, status=refused, reason=str(error)
                )
            transfers.send_failed(
                session,
                transfer_id,
                attempt,
                error,
                attempts_max=8,
                retry_after_s=40,
                now=self.now,
            )

    def transfers_of(self, study_id: int) -> list[int]:
        """Return the ids of a study's transfers in the order they were planned."""
        with self.ledger.reading() as session:
            lines = transfer_queries.lines(session, study_id=study_id)
            return sorted(one.transfer.id for one in lines)

    def picture(self, rank: int) -> bytes:
        """Return the JPEG stream of a key frame; without pictures, a disc of the rank's colour."""
        if self.pictures:
            return self.pictures[rank % len(self.pictures)]
        canvas = np.zeros((96, 96, 3), np.uint8)
        cv2.circle(canvas, (48, 48), 44, (60, 40 + rank * 37 % 200, 90 + rank * 61 % 160), -1)
        return cv2.imencode(".jpg", canvas)[1].tobytes()

    def contact_sheet(self, count: int) -> bytes:
        decoded = [
            cv2.imdecode(np.frombuffer(self.picture(rank), np.uint8), cv2.IMREAD_COLOR)
            for rank in range(1, count + 1)
        ]
        small = [cv2.resize(one, (160, 160)) for one in decoded]
        small += [np.zeros_like(small[0])] * (-len(small) % 6)
        rows = [np.hstack(small[first : first + 6]) for first in range(0, len(small), 6)]
        return cv2.imencode(".jpg", np.vstack(rows))[1].tobytes()

    def _uid(self, study_id: int, role: DerivedRole, number: int) -> str:
        return f"2.25.{study_id}{list(DerivedRole).index(role)}{number:04}"

    def _derived(
        self,
        study_id: int,
        role: DerivedRole,
        number: int,
        sop_class_uid: str,
        *,
        frame_count: int = 1,
        picture: bytes | None = None,
    ) -> studies.DerivedInstance:
        uid = self._uid(study_id, role, number)
        key = f"derived/{study_id}/{uid}.dcm"
        data = b"" if picture is None else part10(uid, sop_class_uid, picture)
        if data:
            path = self.home / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return studies.DerivedInstance(
            role=role,
            number=number,
            series_instance_uid=f"2.25.{study_id}9{list(DerivedRole).index(role)}",
            sop_class_uid=sop_class_uid,
            sop_instance_uid=uid,
            transfer_syntax_uid=JPEGBaseline8Bit if picture or frame_count > 1 else EXPLICIT_LITTLE,
            storage_key=key,
            size_bytes=len(data) or frame_count * FRAME_BYTES,
            frame_count=frame_count,
            digest=hashlib.sha256(data or uid.encode()).hexdigest(),
        )


def part10(uid: str, sop_class_uid: str, jpeg: bytes) -> bytes:
    """Return a Part 10 file with one JPEG fragment, as a key frame instance is."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    ds.file_meta.MediaStorageSOPClassUID = sop_class_uid
    ds.file_meta.MediaStorageSOPInstanceUID = uid
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class_uid, uid
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"{uid}.1", f"{uid}.2"
    ds.SamplesPerPixel, ds.Rows, ds.Columns = 3, 320, 320
    ds.PhotometricInterpretation, ds.BitsAllocated = "YBR_FULL_422", 8
    ds.PixelData = encapsulate([jpeg])
    ds["PixelData"].VR = "OB"
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
