"""The life of a transfer: planned and sent item by item; and what operators do to it.

How it becomes committed is in commitments.py.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from gateway.errors import (
    AssociationRejected,
    GatewayError,
    PeerUnreachable,
    Postponed,
    StaleTransition,
    TransitionRefused,
)
from gateway.ledger import events
from gateway.ledger.delivery_schema import Adapted, Destination
from gateway.ledger.queries import corrections, gates, outgoing
from gateway.ledger.schema import Derived, Transfer, TransferItem
from gateway.ledger.transitions import breakers, moves
from gateway.model import Claim, Contents, ItemState, TransferState

CORRECTED = "The identity of the study was corrected: send the corrected revision instead."
UNREACHABLE_MAX = timedelta(days=14)
"""A destination that is away that long is somebody's to look after."""
_SUMMARY_IS_THERE = "The summary is delivered; the rest follows in the time window."


def claim(
    session: Session, transfer_id: int, *, lease_s: float, attempts_max: int, now: datetime
) -> Claim | None:
    """Take the lease on a due transfer, or reclaim one whose worker went away.

    Returns None, and fails the transfer, when its tries are spent; cancels it if the identity
    it would deliver was corrected since; and lets it wait if only its rest is due off-peak.
    Raises StaleTransition if it is not due, or its destination takes none now.
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
    reclaimed = row.state is TransferState.SENDING
    if reclaimed and not _reclaim(session, row, attempts_max=attempts_max, now=now):
        return None
    if row.state is not TransferState.PENDING or row.next_attempt_at > now:
        raise StaleTransition(f"The transfer {transfer_id} is not due.")
    destination = _locked(session, row.destination_id)
    if not reclaimed and gates.gate(session, destination, now).free_count == 0:
        raise StaleTransition(f"The transfer {transfer_id} has to wait for its destination.")
    if _only_bulk_out_of_window(session, row, destination, now):
        return None
    until = now + timedelta(seconds=lease_s)
    moves.move_transfer(
        session,
        row,
        TransferState.SENDING,
        "claimed",
        now=now,
        values={
            "attempt": row.attempt + 1,
            "tries": row.tries + 1,
            "lease_until": until,
            "associations": _width(session, row, destination),
        },
        detail=f"attempt {row.tries + 1}",
    )
    breakers.try_one(session, destination.id, now=now)
    return Claim(transfer_id, row.attempt, until)


def _reclaim(session: Session, row: Transfer, *, attempts_max: int, now: datetime) -> bool:
    """Take a transfer back from a worker that went away; tells whether it may go on."""
    if row.lease_until is not None and row.lease_until > now:
        raise StaleTransition(f"The transfer {row.id} is not due.")
    if row.tries >= attempts_max:
        _fail(session, row, f"Given up after {row.tries} attempts.", row.remedy, now)
        return False
    moves.move_transfer(
        session,
        row,
        TransferState.PENDING,
        "lease-expired",
        now=now,
        values={"attempt": row.attempt + 1, "lease_until": None, "next_attempt_at": now},
    )
    return bool(
        session.scalar(select(Destination.enabled).where(Destination.id == row.destination_id))
    )


def _locked(session: Session, destination_id: int) -> Destination:
    """Return the destination; two sweeps must not both take its last association."""
    return session.scalars(
        select(Destination)
        .where(Destination.id == destination_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


def _width(session: Session, row: Transfer, destination: Destination) -> int:
    """Return how many associations it may open: all but one, kept free for the next study."""
    used = gates.associations_in_use(session, destination.id, but_transfer_id=row.id)
    return max(1, destination.associations_max - used - 1)


def _only_bulk_out_of_window(
    session: Session, row: Transfer, destination: Destination, now: datetime
) -> bool:
    if destination.contents is not Contents.SUMMARY_FIRST:
        return False
    opens = gates.window_from(destination, now)
    if opens <= now or outgoing.unsent(session, row.id, bulk=False):
        return False
    row.next_attempt_at, row.reason, row.remedy = opens, _SUMMARY_IS_THERE, ""
    return True


def holding(session: Session, transfer_id: int, attempt: int) -> Transfer:
    """Return the transfer if the claim still holds. Raises StaleTransition if it does not."""
    row = moves.transfer(session, transfer_id)
    if row.state is not TransferState.SENDING or row.attempt != attempt:
        raise StaleTransition(f"The claim {attempt} on transfer {transfer_id} is no longer valid.")
    return row


def wanted(session: Session, transfer_id: int, attempt: int, *, now: datetime) -> None:
    """Raise StaleTransition if the claim is lost, Postponed if its destination is paused."""
    row = holding(session, transfer_id, attempt)
    enabled = session.scalar(
        select(Destination.enabled).where(Destination.id == row.destination_id)
    )
    if not enabled:
        raise Postponed("The destination was paused.", until=now)


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
        .values(**_acknowledged(status, now))
    )
    breakers.succeeded(session, row.destination_id, now=now)


def _acknowledged(status: int, now: datetime) -> dict[str, Any]:
    return {
        "state": ItemState.ACKNOWLEDGED,
        "status": status,
        "reason": "",
        "sent_at": now,
        "acknowledged_at": now,
    }


def note_sent(
    session: Session, transfer_id: int, attempt: int, item_id: int, *, now: datetime
) -> None:
    """Record that all of an instance left, and that no answer came."""
    holding(session, transfer_id, attempt)
    session.execute(
        update(TransferItem)
        .where(TransferItem.id == item_id, TransferItem.transfer_id == transfer_id)
        .values(sent_at=now, reason="Sent, and not answered: it is sent again as it is.")
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
        .values(**_acknowledged(status, now))
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


def note_checked(
    session: Session, derived_id: int, adapted_id: int | None = None, *, now: datetime
) -> None:
    """Record that an instance passed the preflight: its bytes never change, so once is enough."""
    if adapted_id is not None:
        session.execute(update(Adapted).where(Adapted.id == adapted_id).values(checked_at=now))
        return
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
    """Record a failed attempt: pending again after a pause, or failed.

    A destination that cannot be reached is not the transfer's fault: it waits with the
    destination's breaker, for UNREACHABLE_MAX from when it was planned.
    """
    row = holding(session, transfer_id, attempt)
    if isinstance(error, Postponed):
        _postpone(session, row, error, error.until, now, tries=0)
        return
    if breakers.counts(error) and row.tries > 0:  # tries is 0 after progress
        breakers.failed(session, row.destination_id, error, pause_s=retry_after_s, now=now)
    its_own = not isinstance(error, PeerUnreachable | AssociationRejected)
    if error.permanent:
        _fail(session, row, str(error), error.remedy, now)
    elif its_own and row.tries >= attempts_max:
        _fail(session, row, f"{error} Given up after {row.tries} attempts.", error.remedy, now)
    elif not its_own and now - row.created_at >= UNREACHABLE_MAX:
        waited = f"{error} Given up after {UNREACHABLE_MAX.days} days."
        _fail(session, row, waited, error.remedy, now)
    else:
        tries = row.tries if its_own else max(0, row.tries - 1)
        _postpone(session, row, error, now + timedelta(seconds=retry_after_s), now, tries=tries)


def _postpone(
    session: Session, row: Transfer, error: GatewayError, until: datetime, now: datetime, *,
    tries: int,
) -> None:  # fmt: skip
    moves.move_transfer(
        session,
        row,
        TransferState.PENDING,
        "postponed",
        now=now,
        values={
            "lease_until": None,
            "next_attempt_at": until,
            "tries": tries,
            "reason": str(error),
            "remedy": error.remedy,
        },
        detail=f"{error} Goes on in {max(0.0, (until - now).total_seconds()):.0f} s.",
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
        values={"lease_until": None, "reason": f"Paused by {actor}."},
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
