"""Which destinations get a study, and what of it: transfers and their items, planned."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from gateway.ledger import events
from gateway.ledger.delivery_schema import Destination
from gateway.ledger.queries import outgoing, routing
from gateway.ledger.schema import Derived, Study, Transfer, TransferItem
from gateway.ledger.transitions import moves
from gateway.model import Contents, ItemState, TransferState

_SUMMARY_ONLY = "This destination gets the summary only."


def plan(session: Session, study: Study, *, now: datetime) -> None:
    """Plan a transfer of the current revision to every Destination its Routes name.

    Transfers of older revisions that have not begun are cancelled: the new one covers them.
    A Destination that has to take instances back gets the note, and what replaces them, too.
    """
    for destination_id in sorted({*routing.matching(session, study), *_owed(session, study)}):
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
    session.add_all(_items(session, study, transfer))
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


def _items(session: Session, study: Study, transfer: Transfer) -> Iterable[TransferItem]:
    contents = session.scalar(
        select(Destination.contents).where(Destination.id == transfer.destination_id)
    )
    there = transfer.destination_id
    had = _acknowledged(session, study, there)
    rows = session.execute(
        select(Derived.id, Derived.role)
        .where(
            Derived.study_id == study.id,
            Derived.superseded_in.is_(None),
            or_(
                Derived.destination_id.is_(None), Derived.destination_id == transfer.destination_id
            ),
        )
        .order_by(Derived.id)
    )
    for derived_id, role in rows:
        item = TransferItem(transfer_id=transfer.id, derived_id=derived_id)
        known = had.get(derived_id)
        if known is not None:
            item.state, item.status = ItemState.ACKNOWLEDGED, known.status
            item.adapted_id = known.adapted_id
            item.sent_at, item.acknowledged_at = known.sent_at, known.acknowledged_at
        elif contents is Contents.SUMMARY and role in outgoing.BULK:
            item.state, item.reason = ItemState.LEFT_OUT, _SUMMARY_ONLY
        else:
            item.state = ItemState.PENDING
        yield item


def _acknowledged(session: Session, study: Study, destination_id: int) -> dict[int, TransferItem]:
    """Return what the destination has of the study already, by derived instance."""
    return {
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


def _owed(session: Session, study: Study) -> list[int]:
    """Return the destinations there are rejection notes for."""
    rows = session.scalars(
        select(Derived.destination_id)
        .where(Derived.study_id == study.id, Derived.destination_id.is_not(None))
        .distinct()
    )
    return [one for one in rows if one is not None]
