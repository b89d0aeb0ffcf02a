"""The circuit breaker of a destination: closed, open after failures in a row, half-open.

While it is open nothing is tried; when `probe_at` has come, one transfer tries for all. It
counts what says something about the destination, not about one instance.
"""

from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from gateway.errors import (
    AssociationRejected,
    GatewayError,
    OutcomeUnknown,
    PeerUnreachable,
    StoreRefused,
)
from gateway.ledger import events
from gateway.ledger.delivery_schema import Breaker
from gateway.ledger.schema import Transfer
from gateway.model import BreakerState, TransferState

FAILURES_MAX = 3
"""Failures in a row until it opens."""
HALF_OPEN_S = 600.0
"""How long the transfer that tries has; after that another may, should it be gone."""


def counts(error: GatewayError) -> bool:
    """Tell whether an error says that the destination itself is not well."""
    kinds = (PeerUnreachable, AssociationRejected, OutcomeUnknown, StoreRefused)
    return isinstance(error, kinds) and not error.permanent


def failure_count(session: Session, destination_id: int) -> int:
    """Return how often in a row the destination has failed."""
    row = session.get(Breaker, destination_id, populate_existing=True)
    return 0 if row is None else row.failure_count


def failed(
    session: Session, destination_id: int, error: GatewayError, *, pause_s: float, now: datetime
) -> None:
    """Note a failure; at FAILURES_MAX, or while half-open, nothing is tried for pause_s."""
    row = _row(session, destination_id, now)
    row.failure_count += 1
    row.reason = str(error)[:1000]
    if row.state is BreakerState.CLOSED and row.failure_count < FAILURES_MAX:
        return
    if row.state is not BreakerState.OPEN:
        row.opened_count += 1
        _move(session, row, BreakerState.OPEN, f"{error} Tried again in {pause_s:.0f} s.", now)
    row.probe_at = now + timedelta(seconds=pause_s)


def succeeded(session: Session, destination_id: int, *, now: datetime) -> None:
    """Close it: what waited for the destination is due at once."""
    row = session.get(Breaker, destination_id, populate_existing=True)
    if row is None or row.failure_count == 0:
        return
    was = row.state
    row.failure_count, row.opened_count, row.probe_at, row.reason = 0, 0, None, ""
    if was is BreakerState.CLOSED:
        return
    _move(session, row, BreakerState.CLOSED, "It answers again.", now)
    session.execute(
        update(Transfer)
        .where(
            Transfer.destination_id == destination_id,
            Transfer.state == TransferState.PENDING,
            Transfer.next_attempt_at > now,
        )
        .values(next_attempt_at=now)
    )


def try_one(session: Session, destination_id: int, *, now: datetime) -> None:
    """Let the claimed transfer decide, if the breaker is not closed."""
    row = session.get(Breaker, destination_id, populate_existing=True)
    if row is None or row.state is BreakerState.CLOSED:
        return
    row.probe_at = now + timedelta(seconds=HALF_OPEN_S)
    if row.state is BreakerState.OPEN:
        _move(session, row, BreakerState.HALF_OPEN, "One transfer tries.", now)


def reset(session: Session, destination_id: int, *, now: datetime, actor: str) -> None:
    """Close it because a person says so."""
    row = session.get(Breaker, destination_id, populate_existing=True)
    if row is not None and row.state is not BreakerState.CLOSED:
        events.append(
            session, "destination", destination_id, "breaker-reset", now=now, actor=actor,
            from_state=row.state, to_state=BreakerState.CLOSED,
        )  # fmt: skip
        succeeded(session, destination_id, now=now)


def _row(session: Session, destination_id: int, now: datetime) -> Breaker:
    row = session.scalar(
        select(Breaker)
        .where(Breaker.destination_id == destination_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if row is None:
        row = Breaker(
            destination_id=destination_id,
            state=BreakerState.CLOSED,
            failure_count=0,
            opened_count=0,
            state_changed_at=now,
        )
        session.add(row)
        session.flush()
    return row


def _move(session: Session, row: Breaker, to: BreakerState, detail: str, now: datetime) -> None:
    was = row.state
    row.state, row.state_changed_at = to, now
    session.flush()
    events.append(
        session, "destination", row.destination_id, f"breaker-{to}", now=now,
        from_state=was, to_state=to, detail=detail,
    )  # fmt: skip
