"""What changed since somebody last looked: for screens that follow the ledger."""

from dataclasses import dataclass

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from gateway.ledger.schema import Event, Pack, Transfer, TransferItem
from gateway.model import ItemState, PackState, TransferState


@dataclass(frozen=True)
class Change:
    """One event, as far as a screen needs to know which part of it is old."""

    event_id: int
    subject: str
    subject_id: str
    study_id: int | None


def latest_event_id(session: Session) -> int:
    return session.scalar(select(func.max(Event.id))) or 0


def since(session: Session, event_id: int, *, limit: int = 500) -> list[Change]:
    """Return the changes after an event, the oldest first."""
    rows = session.execute(
        select(Event.id, Event.subject, Event.subject_id, Event.study_id)
        .where(Event.id > event_id)
        .order_by(Event.id)
        .limit(limit)
    )
    return [Change(*row) for row in rows]


def receiving_progress(session: Session) -> dict[int, int]:
    """Return the instances in open packs by study id: they grow without an event."""
    rows = session.execute(
        select(Pack.study_id, func.sum(Pack.instance_count))
        .where(Pack.state == PackState.OPEN)
        .group_by(Pack.study_id)
    )
    return {row[0]: row[1] for row in rows}


def sending_progress(session: Session) -> dict[tuple[int, int], int]:
    """Return the acknowledged items of transfers under way by (transfer id, study id)."""
    done = case((TransferItem.state == ItemState.PENDING, 0), else_=1)
    rows = session.execute(
        select(Transfer.id, Transfer.study_id, func.sum(done))
        .join(TransferItem, TransferItem.transfer_id == Transfer.id)
        .where(Transfer.state == TransferState.SENDING)
        .group_by(Transfer.id, Transfer.study_id)
    )
    return {(row[0], row[1]): row[2] for row in rows}
