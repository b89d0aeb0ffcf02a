"""The life of a transfer: planned and sent item by item; and what operators do to it.

How it becomes committed is in commitments.py.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from gateway.errors import GatewayError, StaleTransition, TransitionRefused
from gateway.ledger import events
from gateway.ledger.queries import corrections
from gateway.ledger.schema import (
    Derived,
    Destination,
    Route,
    Source,
    Study,
    Transfer,
    TransferItem,
)
from gateway.ledger.transitions import moves
from gateway.model import Claim, ItemState, TransferState

CORRECTED = "The identity of the study was corrected: send the corrected revision instead."


def plan(session: Session, study: Study, *, now: datetime) -> None:
    """Plan a transfer of the current revision to every Destination its Routes name.

    Transfers of older revisions that have not begun are cancelled: the new one covers them.
    A Destination that has to take instances back gets the note, and what replaces them, too.
    """
    for destination_id in sorted({*_routed(session, study), *_owed(session, study)}):
        for old in session.scalars(
            select(Transfer).where(
                Transfer.study_id == study.id,
                Transfer.destination_id == destination_id,
                Transfer.revision < study.revision,
                Transfer.state.in_((TransferState.PENDING, TransferState.PAUSED)),
            )
        ):
            moves.move_transfer(
                session,
                old,
                TransferState.CANCELLED,
                "superseded",
                now=now,
                values={"reason": f"Superseded by revision {study.revision}."},
            )
        plan_one(session, study, destination_id, now=now)


def plan_one(
    session: Session,
    study: Study,
    destination_id: int,
    *,
    now: datetime,
    actor: str = "gateway",
) -> int:
    """Plan one transfer unless it is planned already; returns its id.

    What the destination acknowledged in an earlier transfer is not sent again.
    """
    existing = session.scalar(
        select(Transfer.id).where(
            Transfer.study_id == study.id,
            Transfer.revision == study.revision,
            Transfer.destination_id == destination_id,
        )
    )
    if existing is not None:
        return existing
    transfer = Transfer(
        study_id=study.id,
        revision=study.revision,
        destination_id=destination_id,
        state=TransferState.PENDING,
        next_attempt_at=now,
        created_at=now,
        state_changed_at=now,
    )
    session.add(transfer)
    session.flush()
    had = {
        item.derived_id: item
        for item in session.scalars(
            select(TransferItem)
            .join(Transfer, Transfer.id == TransferItem.transfer_id)
            .where(
                Transfer.study_id == study.id,
                Transfer.destination_id == destination_id,
                TransferItem.state.in_((ItemState.ACKNOWLEDGED, ItemState.COMMITTED)),
            )
        )
    }
    for derived_id in session.scalars(
        select(Derived.id)
        .where(
            Derived.study_id == study.id,
            Derived.superseded_in.is_(None),
            or_(Derived.destination_id.is_(None), Derived.destination_id == destination_id),
        )
        .order_by(Derived.id)
    ):
        known = had.get(derived_id)
        session.add(
            TransferItem(
                transfer_id=transfer.id,
                derived_id=derived_id,
                state=ItemState.ACKNOWLEDGED if known else ItemState.PENDING,
                status=known.status if known else None,
                acknowledged_at=known.acknowledged_at if known else None,
            )
        )
    events.append(
        session,
        "transfer",
        transfer.id,
        "planned",
        now=now,
        study_id=study.id,
        to_state=TransferState.PENDING,
        detail=f"to destination {destination_id}",
        actor=actor,
    )
    return transfer.id


def claim(
    session: Session, transfer_id: int, *, lease_s: float, attempts_max: int, now: datetime
) -> Claim | None:
    """Take the lease on a due transfer, or reclaim one whose worker went away.

    Returns None, and fails the transfer, when its tries are spent; and cancels it if the
    identity it would deliver was corrected since. Raises StaleTransition if it is not due.
    """
    row = moves.transfer(session, transfer_id)
    if row.state in (TransferState.PENDING, TransferState.SENDING) and corrections.supersedes(
        session, row
    ):
        moves.move_transfer(
            session, row, TransferState.CANCELLED, "superseded", now=now,
            values={"lease_until": None, "reason": CORRECTED},
        )  # fmt: skip
        return None
    if row.state is TransferState.SENDING and (row.lease_until is None or row.lease_until <= now):
        if row.tries >= attempts_max:
            _fail(session, row, f"Given up after {row.tries} attempts.", row.remedy, now)
            return None
        moves.move_transfer(
            session,
            row,
            TransferState.PENDING,
            "lease-expired",
            now=now,
            values={"attempt": row.attempt + 1, "lease_until": None, "next_attempt_at": now},
        )
    if row.state is not TransferState.PENDING or row.next_attempt_at > now:
        raise StaleTransition(f"The transfer {transfer_id} is not due.")
    until = now + timedelta(seconds=lease_s)
    moves.move_transfer(
        session,
        row,
        TransferState.SENDING,
        "claimed",
        now=now,
        values={"attempt": row.attempt + 1, "tries": row.tries + 1, "lease_until": until},
        detail=f"attempt {row.tries + 1}",
    )
    return Claim(transfer_id, row.attempt, until)


def holding(session: Session, transfer_id: int, attempt: int) -> Transfer:
    """Return the transfer if the claim still holds. Raises StaleTransition if it does not."""
    row = moves.transfer(session, transfer_id)
    if row.state is not TransferState.SENDING or row.attempt != attempt:
        raise StaleTransition(f"The claim {attempt} on transfer {transfer_id} is no longer valid.")
    return row


def renew(
    session: Session, transfer_id: int, attempt: int, *, lease_s: float, now: datetime
) -> None:
    """Extend a lease while sending goes on. Raises StaleTransition when it was lost."""
    row = holding(session, transfer_id, attempt)
    row.lease_until = now + timedelta(seconds=lease_s)


def acknowledge_items(
    session: Session,
    transfer_id: int,
    attempt: int,
    item_ids: Collection[int],
    *,
    status: int,
    now: datetime,
) -> None:
    """Record that the destination answered `status`, Success or a Warning, for instances.

    Progress: the tries of the transfer start again from none.
    """
    row = holding(session, transfer_id, attempt)
    row.tries = 0
    session.execute(
        update(TransferItem)
        .where(TransferItem.id.in_(item_ids), TransferItem.transfer_id == transfer_id)
        .values(state=ItemState.ACKNOWLEDGED, status=status, reason="", acknowledged_at=now)
    )


def note_late_acknowledgements(
    session: Session, transfer_id: int, item_ids: Collection[int], *, status: int, now: datetime
) -> None:
    """Record what a destination acknowledged to a worker that has lost its claim meanwhile.

    It is true all the same: who takes instances back must know where they are.
    """
    session.execute(
        update(TransferItem)
        .where(
            TransferItem.id.in_(item_ids),
            TransferItem.transfer_id == transfer_id,
            TransferItem.state.in_((ItemState.PENDING, ItemState.FAILED)),
        )
        .values(state=ItemState.ACKNOWLEDGED, status=status, reason="", acknowledged_at=now)
    )


def refuse_item(
    session: Session,
    transfer_id: int,
    attempt: int,
    item_id: int,
    *,
    status: int | None,
    reason: str,
) -> None:
    """Record why one instance was not taken."""
    holding(session, transfer_id, attempt)
    session.execute(
        update(TransferItem)
        .where(TransferItem.id == item_id, TransferItem.transfer_id == transfer_id)
        .values(state=ItemState.FAILED, status=status, reason=reason[:400])
    )


def note_checked(session: Session, derived_id: int, *, now: datetime) -> None:
    """Record that an instance passed the preflight: its bytes never change, so once is enough."""
    session.execute(update(Derived).where(Derived.id == derived_id).values(checked_at=now))


def finish_send(session: Session, transfer_id: int, attempt: int, *, now: datetime) -> None:
    """Record that every item is acknowledged."""
    row = holding(session, transfer_id, attempt)
    moves.move_transfer(
        session,
        row,
        TransferState.SENT,
        "sent",
        now=now,
        values={"lease_until": None, "tries": 0, "reason": "", "remedy": ""},
    )


def send_failed(
    session: Session,
    transfer_id: int,
    attempt: int,
    error: GatewayError,
    *,
    attempts_max: int,
    retry_after_s: float,
    now: datetime,
) -> None:
    """Record a failed attempt: pending again after a pause, or failed."""
    row = holding(session, transfer_id, attempt)
    if error.permanent:
        _fail(session, row, str(error), error.remedy, now)
    elif row.tries >= attempts_max:
        _fail(session, row, f"{error} Given up after {row.tries} attempts.", error.remedy, now)
    else:
        moves.move_transfer(
            session,
            row,
            TransferState.PENDING,
            "postponed",
            now=now,
            values={
                "lease_until": None,
                "next_attempt_at": now + timedelta(seconds=retry_after_s),
                "reason": str(error),
                "remedy": error.remedy,
            },
            detail=f"{error} Tried again in {retry_after_s:.0f} s.",
        )


def retry(session: Session, transfer_id: int, *, now: datetime, actor: str) -> None:
    """Make a failed, paused, cancelled or waiting transfer due at once.

    Raises TransitionRefused if it would deliver an identity that was corrected since.
    """
    row = moves.transfer(session, transfer_id)
    if corrections.supersedes(session, row):
        raise TransitionRefused(CORRECTED)
    if row.state is TransferState.PENDING:
        row.next_attempt_at = now
        events.append(
            session, "transfer", row.id, "hastened", now=now, study_id=row.study_id, actor=actor
        )
        return
    moves.move_transfer(
        session,
        row,
        TransferState.PENDING,
        "retried",
        now=now,
        actor=actor,
        values={"next_attempt_at": now, "tries": 0},
    )


def pause(session: Session, transfer_id: int, *, now: datetime, actor: str) -> None:
    row = moves.transfer(session, transfer_id)
    moves.move_transfer(
        session,
        row,
        TransferState.PAUSED,
        "paused",
        now=now,
        actor=actor,
        values={"reason": f"Paused by {actor}."},
    )


def cancel(session: Session, transfer_id: int, *, now: datetime, actor: str) -> None:
    row = moves.transfer(session, transfer_id)
    moves.move_transfer(
        session,
        row,
        TransferState.CANCELLED,
        "cancelled",
        now=now,
        actor=actor,
        values={"lease_until": None, "reason": f"Cancelled by {actor}."},
    )


def _routed(session: Session, study: Study) -> list[int]:
    source_id = session.scalar(select(Source.id).where(Source.ae_title == study.calling_ae_title))
    return list(
        session.scalars(
            select(Destination.id)
            .join(Route, Route.destination_id == Destination.id)
            .where(
                (Route.source_id.is_(None)) | (Route.source_id == source_id),
                Destination.enabled,
            )
            .distinct()
            .order_by(Destination.id)
        )
    )


def _owed(session: Session, study: Study) -> list[int]:
    """Return the destinations there are rejection notes for."""
    rows = session.scalars(
        select(Derived.destination_id)
        .where(Derived.study_id == study.id, Derived.destination_id.is_not(None))
        .distinct()
    )
    return [one for one in rows if one is not None]


def _fail(session: Session, row: Transfer, reason: str, remedy: str, now: datetime) -> None:
    moves.move_transfer(
        session,
        row,
        TransferState.FAILED,
        "failed",
        now=now,
        values={"lease_until": None, "reason": reason, "remedy": remedy},
        detail=reason,
    )
