"""Writes made while instances arrive: associations, packs, new and reopened studies, quarantine."""

import hashlib
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from gateway.errors import NotFound
from gateway.ledger import events
from gateway.ledger.schema import Association, Pack, Quarantine, Series, Study
from gateway.ledger.transitions.moves import move_study
from gateway.model import (
    AssociationOutcome,
    Disposition,
    PackState,
    QuarantineNote,
    SeriesIdentity,
    StudyIdentity,
    StudyState,
    TextOrigin,
)


@dataclass(frozen=True)
class AssociationCounts:
    received: int = 0
    duplicates: int = 0
    refused: int = 0


def open_association(
    session: Session,
    association_id: str,
    *,
    calling: str,
    called: str,
    peer: str,
    now: datetime,
    listener: str = "",
) -> None:
    """Record an association that begins.

    listener: the process that holds it, by the name of its gateway.scp.presence.Presence; a
    recovery closes what nobody living holds.
    """
    session.add(
        Association(
            id=association_id,
            calling_ae_title=calling,
            called_ae_title=called,
            peer=peer,
            listener=listener,
            outcome=AssociationOutcome.OPEN,
            opened_at=now,
        )
    )


def reject_association(
    session: Session,
    association_id: str,
    *,
    calling: str,
    called: str,
    peer: str,
    reason: str,
    now: datetime,
) -> None:
    session.add(
        Association(
            id=association_id,
            calling_ae_title=calling,
            called_ae_title=called,
            peer=peer,
            outcome=AssociationOutcome.REJECTED,
            reason=reason,
            opened_at=now,
            closed_at=now,
        )
    )
    events.append(
        session,
        "association",
        association_id,
        "rejected",
        now=now,
        detail=f"{calling} from {peer}: {reason}",
    )


def explain_association(
    session: Session, association_id: str, reason: str, *, now: datetime
) -> None:
    """Say why an association broke off, where a human finds it."""
    row = session.get(Association, association_id)
    if row is None:
        raise NotFound(f"There is no association {association_id}.")
    row.reason = reason[:400]
    detail = f"{row.calling_ae_title} from {row.peer}: {reason}"
    events.append(session, "association", association_id, "broken off", now=now, detail=detail)


def close_association(
    session: Session,
    association_id: str,
    outcome: AssociationOutcome,
    counts: AssociationCounts,
    *,
    now: datetime,
) -> None:
    session.execute(
        update(Pack)
        .where(Pack.association_id == association_id, Pack.outcome == AssociationOutcome.OPEN)
        .values(outcome=outcome)
    )
    session.execute(
        update(Association)
        .where(Association.id == association_id, Association.outcome == AssociationOutcome.OPEN)
        .values(
            outcome=outcome,
            closed_at=now,
            received_count=counts.received,
            duplicate_count=counts.duplicates,
            refused_count=counts.refused,
        )
    )


def open_pack(
    session: Session,
    study: StudyIdentity,
    series: SeriesIdentity,
    *,
    storage_key: str,
    association_id: str,
    calling_ae_title: str,
    now: datetime,
) -> int:
    """Record that new instances of a Series start to arrive; returns the pack's row id.

    1. Create the study, or reopen it: something new after a close is a new revision.
    2. Create the series if it is new.
    3. Create the pack row. Called twice for one storage key, it changes nothing.
    """
    existing = session.scalar(select(Pack.id).where(Pack.storage_key == storage_key))
    if existing is not None:
        return existing
    # Step 1: the study.
    row = session.scalar(select(Study).where(Study.study_instance_uid == study.study_instance_uid))
    if row is None:
        row = _new_study(session, study, calling_ae_title, now)
    else:
        _reopen(session, row, now)
    # Step 2: the series.
    series_row = session.scalar(
        select(Series).where(
            Series.study_id == row.id,
            Series.series_instance_uid == series.series_instance_uid,
        )
    )
    if series_row is None:
        series_row = Series(
            study_id=row.id,
            series_instance_uid=series.series_instance_uid,
            modality=series.modality[:16],
            series_number=series.series_number[:12],
            series_description=series.series_description[:64],
        )
        session.add(series_row)
        session.flush()
    # Step 3: the pack.
    pack = Pack(
        storage_key=storage_key,
        study_id=row.id,
        series_id=series_row.id,
        association_id=association_id,
        state=PackState.OPEN,
        opened_at=now,
    )
    session.add(pack)
    session.flush()
    events.append(
        session,
        "pack",
        pack.id,
        "opened",
        now=now,
        study_id=row.id,
        detail=f"{calling_ae_title}, series {series.series_instance_uid}",
    )
    return pack.id


def record_progress(
    session: Session, pack_id: int, *, instance_count: int, size_bytes: int, now: datetime
) -> None:
    """Show how far an open pack has come; for the screen and for the quiet rule."""
    session.execute(
        update(Pack)
        .where(Pack.id == pack_id, Pack.state == PackState.OPEN)
        .values(instance_count=instance_count, size_bytes=size_bytes)
    )
    study_id = session.scalar(select(Pack.study_id).where(Pack.id == pack_id))
    session.execute(update(Study).where(Study.id == study_id).values(last_received_at=now))


def seal_pack(
    session: Session,
    pack_id: int,
    *,
    outcome: AssociationOutcome,
    instance_count: int,
    size_bytes: int,
    now: datetime,
) -> None:
    """Close a pack. A second call changes nothing.

    outcome is OPEN for a full pack whose association goes on; close_association settles it.
    """
    pack = session.get(Pack, pack_id, populate_existing=True)
    if pack is None:
        raise NotFound(f"There is no pack {pack_id}.")
    if pack.state is PackState.SEALED:
        return
    pack.state = PackState.SEALED
    pack.outcome = outcome
    pack.instance_count = instance_count
    pack.size_bytes = size_bytes
    pack.sealed_at = now
    session.execute(update(Study).where(Study.id == pack.study_id).values(last_received_at=now))
    events.append(
        session,
        "pack",
        pack.id,
        "sealed",
        now=now,
        study_id=pack.study_id,
        detail=f"{instance_count} instances, {size_bytes} bytes, association {outcome}",
    )


def quarantine(session: Session, note: QuarantineNote, *, now: datetime) -> None:
    """Record an instance that needs a human. The same fault of the same instance stands once."""
    fingerprint = hashlib.sha256(
        "|".join(
            (note.code, note.study_instance_uid, note.sop_instance_uid, note.storage_key)
        ).encode()
    ).hexdigest()
    if session.scalar(select(Quarantine.id).where(Quarantine.fingerprint == fingerprint)):
        return
    row = Quarantine(
        fingerprint=fingerprint,
        at=now,
        code=note.code,
        reason=note.reason[:1000],
        disposition=note.disposition,
        status=note.status,
        calling_ae_title=note.calling_ae_title,
        association_id=note.association_id,
        study_instance_uid=note.study_instance_uid,
        sop_instance_uid=note.sop_instance_uid,
        storage_key=note.storage_key,
        size_bytes=note.size_bytes,
    )
    session.add(row)
    session.flush()
    study_id = session.scalar(
        select(Study.id).where(Study.study_instance_uid == note.study_instance_uid)
    )
    verb = {Disposition.REFUSED: "refused", Disposition.EXCLUDED: "excluded"}.get(
        note.disposition, "set apart"
    )
    events.append(
        session, "quarantine", row.id, verb, now=now, study_id=study_id, detail=note.reason
    )


def _new_study(
    session: Session, study: StudyIdentity, calling_ae_title: str, now: datetime
) -> Study:
    row = Study(
        study_instance_uid=study.study_instance_uid,
        state=StudyState.RECEIVING,
        calling_ae_title=calling_ae_title,
        patient_id=study.patient_id[:64],
        patient_name=study.patient_name[:324],
        patient_birth_date=study.patient_birth_date[:8],
        patient_sex=study.patient_sex[:16],
        accession_number=study.accession_number[:16],
        study_date=study.study_date[:8],
        study_time=study.study_time[:16],
        study_description=study.study_description[:64],
        declared_count=study.declared_count,
        attributes=dict(study.attributes),
        text_origin=asdict(study.text_origin),
        received_at=now,
        last_received_at=now,
        state_changed_at=now,
    )
    session.add(row)
    session.flush()
    events.append(
        session,
        "study",
        row.id,
        "created",
        now=now,
        study_id=row.id,
        to_state=StudyState.RECEIVING,
        detail=f"first instance from {calling_ae_title}",
    )
    _note_text(session, row, study.text_origin, now)
    return row


def _note_text(session: Session, row: Study, origin: TextOrigin, now: datetime) -> None:
    """Write down that text was not read as declared, or may not be what was meant."""
    if origin.because != "declared":
        events.append(
            session,
            "study",
            row.id,
            "charset",
            now=now,
            study_id=row.id,
            detail=f"Declared {origin.declared or 'nothing'}, read as {origin.read_as}:"
            f" {origin.because}.",
        )
    for keyword, doubt in origin.doubts.items():
        events.append(
            session, "study", row.id, "doubt", now=now, study_id=row.id,
            detail=f"{keyword}: {doubt}",
        )  # fmt: skip


def _reopen(session: Session, row: Study, now: datetime) -> None:
    if row.state is StudyState.RECEIVING:
        return
    # What waits for a worker can still take frames in; everything later is a new revision.
    waiting = row.state is StudyState.SETTLING
    move_study(
        session,
        row,
        StudyState.RECEIVING,
        "reopened",
        now=now,
        values={
            "revision": row.revision if waiting else row.revision + 1,
            "attempt": row.attempt + 1,  # fences off a worker that still holds the lease
            "lease_until": None,
            "tries": 0,
            "settle_rule": None,
            "reason": "",
            "remedy": "",
            "last_received_at": now,
        },
        detail="a new instance arrived",
    )
