"""Builders of transfers for tests: a ready study, its files on disk, planned for one peer."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.dicom.part10 import encode_file_meta
from gateway.dicom.storage_classes import JPEG_BASELINE, VL_ENDOSCOPIC
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import transfers as queries
from gateway.ledger.schema import Derived, Transfer, TransferItem
from gateway.ledger.transitions import reception, registry, studies, transfers
from gateway.ledger.transitions.studies import DerivedInstance
from gateway.model import (
    AssociationOutcome,
    DerivedRole,
    ItemState,
    SeriesIdentity,
    SettleRule,
    StudyIdentity,
)
from gateway.settings import Settings
from tests import ledgers
from tests.instances import SERIES_UID, STUDY_UID, frame


def clock() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Made:
    """An instance to deliver; number makes its UID and, unless data_set is given, its pixels."""

    number: int
    role: DerivedRole = DerivedRole.KEY_FRAME
    sop_class_uid: str = VL_ENDOSCOPIC
    transfer_syntax_uid: str = JPEG_BASELINE
    data_set: bytes = b""

    @property
    def sop_instance_uid(self) -> str:
        return f"{SERIES_UID}.{self.number}"

    @property
    def content(self) -> bytes:
        return self.data_set or frame(self.number, SOPClassUID=self.sop_class_uid)

    @property
    def file(self) -> bytes:
        meta = encode_file_meta(
            sop_class_uid=self.sop_class_uid,
            sop_instance_uid=self.sop_instance_uid,
            transfer_syntax_uid=self.transfer_syntax_uid,
        )
        return meta + self.content


@dataclass
class Delivery:
    settings: Settings
    ledger: Ledger
    transfer_id: int

    def claim(self) -> int:
        """Claim the transfer, however far away its next attempt is; returns the attempt."""
        with self.ledger.transaction() as session:
            transfers.retry(session, self.transfer_id, now=clock(), actor="test")
        return self.claim_due()

    def claim_due(self) -> int:
        with self.ledger.transaction() as session:
            claim = transfers.claim(
                session,
                self.transfer_id,
                lease_s=self.settings.lease_s,
                attempts_max=self.settings.attempts_max,
                now=clock(),
            )
        assert claim is not None
        return claim.attempt

    def path(self, made: Made) -> Path:
        return self.settings.home / f"derived/{made.sop_instance_uid}.dcm"

    @property
    def transfer(self) -> Transfer:
        with self.ledger.reading() as session:
            return queries.line(session, self.transfer_id).transfer

    def items(self) -> dict[str, TransferItem]:
        """Return the items by SOP Instance UID."""
        with self.ledger.reading() as session:
            lines = queries.items(session, self.transfer_id)
        return {line.derived.sop_instance_uid: line.item for line in lines}

    def item_states(self) -> dict[str, ItemState]:
        return {uid: item.state for uid, item in self.items().items()}


def make_delivery(
    home: Path,
    instances: Sequence[Made],
    *,
    port: int,
    ae_title: str = "PACS",
    checked: bool = True,
    **settings: object,
) -> Delivery:
    """Write the files of a study and plan its transfer to a peer on this machine.

    checked: as if they had passed the preflight, which wants more of them than tests of sending.
    """
    chosen = Settings(home=home, **settings)
    ledger = ledgers.in_home(home)
    recorded = [_write(home, made) for made in instances]
    with ledger.transaction() as session:
        registry.add_destination(
            session, "pacs", ae_title=ae_title, host="127.0.0.1", port=port, now=clock(),
            actor="test", route_all=True,
        )  # fmt: skip
        study_id = _received_study(session)
    frames = (DerivedRole.FRAMES, DerivedRole.ORIGINAL)
    with ledger.transaction() as session:
        attempt = _claim(session, study_id)
        parts = [one for one in recorded if one.role in frames]
        studies.finish_wrap(session, study_id, attempt, parts, report={}, now=clock())
        attempt = _claim(session, study_id)
        summary = [one for one in recorded if one.role not in frames]
        studies.finish_summary(session, study_id, attempt, summary, [], now=clock())
        for row in session.query(Derived) if checked else ():
            transfers.note_checked(session, row.id, now=clock())
        (transfer,) = session.query(Transfer).all()
    return Delivery(chosen, ledger, transfer.id)


def add_acknowledged(delivery: Delivery, count: int) -> None:
    """Add instances without files, as if they had been sent."""
    with delivery.ledger.transaction() as session:
        study_id = delivery.transfer.study_id
        rows = [
            Derived(
                study_id=study_id, revision=1, role=DerivedRole.ORIGINAL, number=number,
                series_instance_uid=SERIES_UID, sop_class_uid=VL_ENDOSCOPIC,
                sop_instance_uid=f"{SERIES_UID}.9.{number}", transfer_syntax_uid=JPEG_BASELINE,
                storage_key="", size_bytes=1, frame_count=1, digest="", created_at=clock(),
            )
            for number in range(count)
        ]  # fmt: skip
        session.add_all(rows)
        session.flush()
        session.add_all(
            TransferItem(
                transfer_id=delivery.transfer_id,
                derived_id=row.id,
                state=ItemState.ACKNOWLEDGED,
                status=0,
            )
            for row in rows
        )


def _write(home: Path, made: Made) -> DerivedInstance:
    key = f"derived/{made.sop_instance_uid}.dcm"
    path = home / key
    path.parent.mkdir(parents=True, exist_ok=True)
    content = made.file
    path.write_bytes(content)
    return DerivedInstance(
        role=made.role,
        number=made.number,
        series_instance_uid=SERIES_UID,
        sop_class_uid=made.sop_class_uid,
        sop_instance_uid=made.sop_instance_uid,
        transfer_syntax_uid=made.transfer_syntax_uid,
        storage_key=key,
        size_bytes=len(content),
        frame_count=1,
        digest=hashlib.sha256(content).hexdigest(),
    )


def _received_study(session) -> int:
    pack_id = reception.open_pack(
        session, StudyIdentity(STUDY_UID), SeriesIdentity(SERIES_UID), storage_key="packs/x.tar",
        association_id="a", calling_ae_title="WORKSTATION", now=clock(),
    )  # fmt: skip
    reception.seal_pack(
        session, pack_id, outcome=AssociationOutcome.RELEASED, instance_count=1, size_bytes=1,
        now=clock(),
    )  # fmt: skip
    study_id = 1
    studies.settle(session, study_id, SettleRule.QUIET, now=clock())
    return study_id


def _claim(session, study_id: int) -> int:
    claim = studies.claim(session, study_id, lease_s=60, attempts_max=8, now=clock())
    assert claim is not None
    return claim.attempt
