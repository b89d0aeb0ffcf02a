"""What stands between a destination and a transfer that is due: switch, breaker, window, slots."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from gateway import windows
from gateway.ledger.delivery_schema import Breaker, Destination
from gateway.ledger.schema import Transfer
from gateway.model import BreakerState, Contents, TransferState


@dataclass(frozen=True)
class Gate:
    """free_count: transfers that may begin now. until: when it may open, if that is known;
    why: a sentence, empty if it is open."""

    free_count: int
    until: datetime | None = None
    why: str = ""


def gate(session: Session, destination: Destination, now: datetime) -> Gate:
    """Return whether transfers to a destination may begin."""
    if not destination.enabled:
        return Gate(0, None, "The destination is paused.")
    breaker = session.get(Breaker, destination.id, populate_existing=True)
    if breaker is not None and breaker.state is not BreakerState.CLOSED:
        if breaker.probe_at is not None and breaker.probe_at > now:
            return Gate(0, breaker.probe_at, f"The destination fails: {breaker.reason}")
        return Gate(min(1, _free(session, destination)))  # one that tries for all
    if destination.contents is not Contents.SUMMARY_FIRST:
        opens = window_from(destination, now)
        if opens > now:
            return Gate(0, opens, "Waits for the destination's time window.")
    free = _free(session, destination)
    return Gate(free, None, "" if free else "Waits until another transfer there is done.")


def gates(session: Session, destinations: Sequence[Destination], now: datetime) -> dict[int, Gate]:
    """Return the gate of each destination, by its id."""
    return {one.id: gate(session, one, now) for one in destinations}


def window_from(destination: Destination, now: datetime) -> datetime:
    """Return when its time window opens; `now` if it is open."""
    parsed = windows.parse(destination.time_windows)
    return windows.open_from(parsed, windows.zone(destination.time_zone), now)


def window_until(destination: Destination, now: datetime) -> datetime | None:
    """Return when the window that is open now closes; None: no end in sight."""
    parsed = windows.parse(destination.time_windows)
    return windows.open_until(parsed, windows.zone(destination.time_zone), now)


def _free(session: Session, destination: Destination) -> int:
    return max(0, destination.associations_max - associations_in_use(session, destination.id))


def associations_in_use(
    session: Session, destination_id: int, *, but_transfer_id: int | None = None
) -> int:
    """Return how many associations transfers that are under way may hold there."""
    query = select(func.coalesce(func.sum(Transfer.associations), 0)).where(
        Transfer.destination_id == destination_id,
        Transfer.state == TransferState.SENDING,
    )
    if but_transfer_id is not None:
        query = query.where(Transfer.id != but_transfer_id)
    return int(session.scalar(query) or 0)
