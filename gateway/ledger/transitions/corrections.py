"""The identity of a study corrected by an operator, and the notes that take instances back."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from gateway.errors import StaleTransition, TransitionRefused
from gateway.ledger import events, search_keys
from gateway.ledger.schema import Correction, Derived, Rejection, Study, Transfer
from gateway.ledger.transitions import moves, transfers
from gateway.ledger.transitions.studies import DerivedInstance
from gateway.model import SettleRule, StudyState, TransferState

_COLUMNS = {
    "PatientName": ("patient_name", 324),
    "PatientID": ("patient_id", 64),
    "PatientBirthDate": ("patient_birth_date", 8),
    "PatientSex": ("patient_sex", 16),
    "AccessionNumber": ("accession_number", 16),
}
_MADE = (StudyState.READY, StudyState.FAILED)
_NOT_YET_MADE = (StudyState.RECEIVING, StudyState.SETTLING)
_OPEN = (
    TransferState.PENDING, TransferState.PAUSED, TransferState.SENDING, TransferState.FAILED,
)  # fmt: skip


@dataclass(frozen=True)
class RejectionNote:
    """A made and verified note for one destination, and the rows it takes back there."""

    instance: DerivedInstance
    destination_id: int
    derived_ids: Sequence[int]


def correct(
    session: Session,
    study_id: int,
    *,
    attributes: Mapping[str, Any],
    changes: Mapping[str, tuple[str, str]],
    delivered_uid: str,
    reason: str,
    now: datetime,
    actor: str,
) -> None:
    """Give a study another identity: a revision of its own, and nothing old is sent any more.

    1. Refuse it while a worker makes the study: half of it would be of the other patient.
    2. Keep what held before, so that it can be taken back where it was delivered.
    3. Write the new identity. A study that was made is made again.
    4. Cancel what is on its way under the old one.

    changes: keyword to (before, after). Raises TransitionRefused, StaleTransition.
    """
    row = moves.study(session, study_id)
    # Step 1.
    if row.state not in (*_MADE, *_NOT_YET_MADE):
        raise TransitionRefused("The study is being made just now: correct it when it is ready.")
    # Step 2.
    revision = row.revision + (row.state is StudyState.READY)
    correction = Correction(
        study_id=study_id,
        revision=revision,
        at=now,
        actor=actor,
        reason=reason[:400],
        changes={keyword: list(pair) for keyword, pair in changes.items()},
        attributes_before=dict(row.attributes),
        study_instance_uid_before=row.delivered_uid or row.study_instance_uid,
    )
    session.add(correction)
    session.flush()
    # Step 3.
    _write(session, row, correction, dict(attributes), delivered_uid, now)
    # Step 4.
    for transfer in session.scalars(
        select(Transfer).where(Transfer.study_id == study_id, Transfer.state.in_(_OPEN))
    ):
        moves.move_transfer(
            session, transfer, TransferState.CANCELLED, "superseded", now=now, actor=actor,
            values={"lease_until": None, "reason": transfers.CORRECTED},
        )  # fmt: skip


def record_notes(
    session: Session, study_id: int, notes: Sequence[RejectionNote], *, now: datetime
) -> None:
    """Record rejection notes, each for its destination only. A second call changes nothing."""
    row = moves.study(session, study_id)
    known = set(
        session.scalars(select(Derived.sop_instance_uid).where(Derived.study_id == study_id))
    )
    for note in notes:
        if note.instance.sop_instance_uid in known:
            continue
        made = Derived(
            study_id=study_id, revision=row.revision, created_at=now,
            destination_id=note.destination_id, **vars(note.instance),
        )  # fmt: skip
        session.add(made)
        session.flush()
        session.add_all(Rejection(note_id=made.id, derived_id=one) for one in note.derived_ids)
        events.append(
            session, "study", study_id, "rejected", now=now, study_id=study_id,
            detail=f"{len(note.derived_ids)} instances at destination {note.destination_id}",
        )  # fmt: skip


def fingerprint(correction: Correction) -> str:
    """Return what ties a correction to its event: changing the row later breaks the match."""
    said = [correction.reason, correction.changes, correction.attributes_before]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _write(
    session: Session,
    row: Study,
    correction: Correction,
    attributes: dict[str, Any],
    delivered_uid: str,
    now: datetime,
) -> None:
    values: dict[str, Any] = {
        "attributes": attributes,
        "delivered_uid": "" if delivered_uid == row.study_instance_uid else delivered_uid,
        "revision": correction.revision,
        "reason": "",
        "remedy": "",
    }
    for keyword, (_, after) in correction.changes.items():
        column, length = _COLUMNS[keyword]
        values[column] = after[:length]
    # No values: an event is kept for ever and read by many.
    detail = f"{', '.join(sorted(correction.changes))}; correction {correction.id}"
    detail += f", SHA-256 {fingerprint(correction)}"
    if row.state in _MADE:
        moves.move_study(
            session, row, StudyState.SETTLING, "corrected", now=now, actor=correction.actor,
            values={**values, "tries": 0, "settle_rule": SettleRule.OPERATOR}, detail=detail,
        )  # fmt: skip
        return
    name = values.get("patient_name", row.patient_name)
    changed = session.execute(
        update(Study)
        .where(Study.id == row.id, Study.state == row.state, Study.attempt == row.attempt)
        .values(**values, **search_keys.of_study(name, attributes))
        .returning(Study.id)
    ).all()
    if len(changed) != 1:
        raise StaleTransition(f"The study {row.id} has moved on.")
    events.append(
        session, "study", row.id, "corrected", now=now, study_id=row.id, actor=correction.actor,
        detail=detail,
    )  # fmt: skip
