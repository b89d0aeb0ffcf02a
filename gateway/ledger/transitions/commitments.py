"""How a sent transfer becomes a committed one: Storage Commitment asked for and reported.

PS3.4 Annex J. A transfer may need several requests; each has a Transaction UID of its own.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from gateway.errors import GatewayError, StaleTransition
from gateway.ledger import events
from gateway.ledger.delivery_schema import Adapted
from gateway.ledger.schema import Commitment, Derived, Transfer, TransferItem
from gateway.ledger.transitions import moves
from gateway.model import ItemState, TransferState

REFUSED_ROUNDS_MAX = 3
"""A destination that answers Success and then does not keep an instance, three times over, will
not on the fourth: an operator is needed."""
PAUSE_BASE_S, PAUSE_MAX_S = 60.0, 3600.0
"""Until instances that no report mentioned are asked about again; doubles with each report."""
_UIDS_PER_QUERY = 1000
_SENT_UID = func.coalesce(Adapted.sop_instance_uid, Derived.sop_instance_uid)


def claim(session: Session, transfer_id: int, *, lease_s: float, now: datetime) -> int:
    """Reserve asking a destination for its commitment; returns the transfer's attempt.

    Nobody else asks within lease_s. Raises StaleTransition if somebody was faster.
    """
    row = moves.transfer(session, transfer_id)
    if row.state is not TransferState.SENT or row.next_attempt_at > now:
        raise StaleTransition(f"The transfer {transfer_id} needs no commitment now.")
    row.next_attempt_at = now + timedelta(seconds=lease_s)
    return row.attempt


def request(
    session: Session,
    transfer_id: int,
    transaction_uids: Sequence[str],
    *,
    asked_before: datetime,
    now: datetime,
) -> None:
    """Record requests before they are sent: a report may overtake the answer.

    Raises StaleTransition if the transfer is not sent any more, or if a request made after
    `asked_before` is still unanswered: a task that runs twice asks once.
    """
    row = moves.transfer(session, transfer_id)
    if row.state is not TransferState.SENT:
        raise StaleTransition(f"The transfer {transfer_id} is {row.state}.")
    if _open_count(session, transfer_id, asked_after=asked_before):
        raise StaleTransition(f"The transfer {transfer_id} waits for a report.")
    for uid in transaction_uids:
        session.add(Commitment(transaction_uid=uid, transfer_id=transfer_id, requested_at=now))
        events.append(
            session,
            "transfer",
            transfer_id,
            "commitment-requested",
            now=now,
            study_id=row.study_id,
            detail=uid,
        )


def withdraw(
    session: Session,
    transfer_id: int,
    transaction_uids: Collection[str],
    error: GatewayError,
    *,
    retry_after_s: float,
    now: datetime,
) -> None:
    """Take back requests that the destination did not accept; asked again after a pause."""
    row = moves.transfer(session, transfer_id)
    requests = session.scalars(
        select(Commitment).where(
            Commitment.transaction_uid.in_(transaction_uids), Commitment.reported_at.is_(None)
        )
    ).all()
    if not requests or row.state is not TransferState.SENT:
        return
    for one in requests:
        session.delete(one)
    row.tries += 1
    row.next_attempt_at = now + timedelta(seconds=retry_after_s)
    row.reason, row.remedy = f"Not committed: {error}"[:1000], error.remedy
    events.append(
        session,
        "transfer",
        transfer_id,
        "commitment-failed",
        now=now,
        study_id=row.study_id,
        detail=str(error),
    )


def confirm(session: Session, transfer_id: int, *, now: datetime) -> bool:
    """Make a sent transfer committed if every item is; tells whether it is now."""
    row = moves.transfer(session, transfer_id)
    if row.state is not TransferState.SENT or _uncommitted_count(session, transfer_id):
        return False
    moves.move_transfer(
        session,
        row,
        TransferState.COMMITTED,
        "committed",
        now=now,
        values={"tries": 0, "reason": "", "remedy": ""},
        detail="every instance",
    )
    return True


def report(
    session: Session,
    transaction_uid: str,
    *,
    committed: Collection[str],
    failed: Mapping[str, str],
    now: datetime,
) -> bool:
    """Record a Storage Commitment report; returns False if nobody asked for it.

    committed: SOP Instance UIDs; failed: SOP Instance UID to reason in words.

    1. A second report of the same transaction changes nothing.
    2. Items the report names become committed, or pending again where it failed them.
    3. A failure sends the transfer again, or, after REFUSED_ROUNDS_MAX, fails it.
    4. When every item is committed, so is the transfer, whichever request came last.
    5. If the reports are all in and left some out, those are asked about again after a pause.
    """
    # Step 1.
    asked = session.scalar(select(Commitment).where(Commitment.transaction_uid == transaction_uid))
    if asked is None:
        return False
    if asked.reported_at is not None:
        return True
    asked.reported_at = now
    asked.committed_count, asked.failed_count = len(committed), len(failed)
    # Step 2. While items are being sent again, an old failure says nothing about them.
    row = moves.transfer(session, asked.transfer_id)
    heeded = failed if row.state in (TransferState.SENT, TransferState.PENDING) else {}
    _mark(session, row.id, committed, heeded, now)
    # Steps 3 to 5.
    if row.state is not TransferState.SENT:
        return True
    if failed:
        _send_again(session, row, failed, now)
    elif not confirm(session, row.id, now=now) and not _open_count(session, row.id):
        reports = _count(session, row.id, Commitment.reported_at.is_not(None))
        row.next_attempt_at = now + timedelta(seconds=_pause_s(reports))
    return True


def _mark(
    session: Session,
    transfer_id: int,
    committed: Collection[str],
    failed: Mapping[str, str],
    now: datetime,
) -> None:
    named = sorted({*committed, *failed})
    for start in range(0, len(named), _UIDS_PER_QUERY):
        pairs = session.execute(
            select(TransferItem, _SENT_UID)
            .join(Derived, Derived.id == TransferItem.derived_id)
            .join(Adapted, Adapted.id == TransferItem.adapted_id, isouter=True)
            .where(
                TransferItem.transfer_id == transfer_id,
                _SENT_UID.in_(named[start : start + _UIDS_PER_QUERY]),
            )
        )
        for item, uid in pairs:
            if uid in failed:
                forget(item, failed[uid])
            elif item.state is ItemState.ACKNOWLEDGED:
                item.state, item.committed_at = ItemState.COMMITTED, now
    session.flush()


def forget(item: TransferItem, reason: str) -> None:
    """Make an item one that is still to send: what was true of it at the destination is not."""
    item.state, item.reason, item.status = ItemState.PENDING, reason[:400], None
    item.sent_at = item.acknowledged_at = item.committed_at = item.verified_at = None


def _send_again(session: Session, row: Transfer, failed: Mapping[str, str], now: datetime) -> None:
    """Move a sent transfer back, or give it up. Requests of one round have one time."""
    rounds = session.scalar(
        select(func.count(Commitment.requested_at.distinct())).where(
            Commitment.transfer_id == row.id, Commitment.failed_count > 0
        )
    )
    given_up = (rounds or 0) >= REFUSED_ROUNDS_MAX
    first = next(iter(failed.values()))
    reason = f"The destination does not keep {len(failed)} instances: {first}."
    moves.move_transfer(
        session,
        row,
        TransferState.FAILED if given_up else TransferState.PENDING,
        "commitment-refused",
        now=now,
        values={
            "next_attempt_at": now,
            "tries": 0,
            "reason": reason,
            "remedy": "Ask the destination's administrator why it does not keep them."
            if given_up
            else "They are sent again by themselves.",
        },
        detail=reason,
    )


def _pause_s(report_count: int) -> float:
    return float(min(PAUSE_MAX_S, PAUSE_BASE_S * 2 ** min(max(0, report_count - 1), 10)))


def _open_count(session: Session, transfer_id: int, *, asked_after: datetime | None = None) -> int:
    unreported = Commitment.reported_at.is_(None)
    if asked_after is None:
        return _count(session, transfer_id, unreported)
    return _count(session, transfer_id, unreported, Commitment.requested_at > asked_after)


def _count(session: Session, transfer_id: int, *conditions: ColumnElement[bool]) -> int:
    query = (
        select(func.count())
        .select_from(Commitment)
        .where(Commitment.transfer_id == transfer_id, *conditions)
    )
    return session.scalar(query) or 0


def _uncommitted_count(session: Session, transfer_id: int) -> int:
    query = (
        select(func.count())
        .select_from(TransferItem)
        .where(
            TransferItem.transfer_id == transfer_id,
            TransferItem.state.not_in((ItemState.COMMITTED, ItemState.LEFT_OUT)),
        )
    )
    return session.scalar(query) or 0
