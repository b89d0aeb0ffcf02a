"""Transfers: the list an operator watches, and what a worker needs to send one."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from gateway.errors import NotFound
from gateway.ledger.schema import (
    Commitment,
    Derived,
    Destination,
    Study,
    Transfer,
    TransferItem,
)
from gateway.model import DerivedRole, ItemState, TransferState

DELIVERY_ORDER = (
    DerivedRole.REJECTION_NOTE,  # the wrong patient's instances go before the right one's come
    DerivedRole.KEY_OBJECTS,
    DerivedRole.REPORT,
    DerivedRole.CONTACT_SHEET,
    DerivedRole.KEY_FRAME,
    DerivedRole.PREVIEW,
    DerivedRole.FRAMES,
    DerivedRole.ORIGINAL,
)
_UNSENT = (ItemState.PENDING, ItemState.FAILED)


@dataclass(frozen=True)
class TransferLine:
    """A transfer with its study, its destination and its items counted by state."""

    transfer: Transfer
    study: Study
    destination: Destination
    item_counts: dict[ItemState, int]
    size_bytes: int

    @property
    def item_count(self) -> int:
        return sum(self.item_counts.values())

    @property
    def done_count(self) -> int:
        done = (ItemState.ACKNOWLEDGED, ItemState.COMMITTED)
        return sum(self.item_counts.get(state, 0) for state in done)


@dataclass(frozen=True)
class ItemLine:
    item: TransferItem
    derived: Derived


def lines(
    session: Session,
    *,
    state: TransferState | None = None,
    study_id: int | None = None,
    limit: int = 50,
    offset: int = 0,
) -> list[TransferLine]:
    """Return transfers, the latest change first."""
    query = (
        select(Transfer, Study, Destination)
        .join(Study, Study.id == Transfer.study_id)
        .join(Destination, Destination.id == Transfer.destination_id)
        .order_by(Transfer.state_changed_at.desc(), Transfer.id.desc())
    )
    if state is not None:
        query = query.where(Transfer.state == state)
    if study_id is not None:
        query = query.where(Transfer.study_id == study_id)
    rows = session.execute(query.limit(limit).offset(offset)).all()
    return _lines(session, [(row[0], row[1], row[2]) for row in rows])


def line(session: Session, transfer_id: int) -> TransferLine:
    """Return one transfer. Raises NotFound."""
    row = session.execute(
        select(Transfer, Study, Destination)
        .join(Study, Study.id == Transfer.study_id)
        .join(Destination, Destination.id == Transfer.destination_id)
        .where(Transfer.id == transfer_id)
    ).one_or_none()
    if row is None:
        raise NotFound(f"There is no transfer {transfer_id}.")
    return _lines(session, [(row[0], row[1], row[2])])[0]


def items(session: Session, transfer_id: int) -> list[ItemLine]:
    """Return the items of a transfer in the order they are sent."""
    rows = session.execute(
        select(TransferItem, Derived)
        .join(Derived, Derived.id == TransferItem.derived_id)
        .where(TransferItem.transfer_id == transfer_id)
        .order_by(TransferItem.id)
    )
    return [ItemLine(item, derived) for item, derived in rows]


def unsent(session: Session, transfer_id: int) -> list[int]:
    """Return the ids of the items still to send, in the order they are sent.

    The summary comes first: what a physician opens is there while the frames still travel.
    """
    order = case(
        {role: rank for rank, role in enumerate(DELIVERY_ORDER)},
        value=Derived.role,
        else_=len(DELIVERY_ORDER),
    )
    return list(
        session.scalars(
            select(TransferItem.id)
            .join(Derived, Derived.id == TransferItem.derived_id)
            .where(TransferItem.transfer_id == transfer_id, TransferItem.state.in_(_UNSENT))
            .order_by(order, Derived.number, TransferItem.id)
        )
    )


def unsent_kinds(session: Session, transfer_id: int) -> list[tuple[str, str]]:
    """Return each (SOP Class UID, Transfer Syntax UID) among the items still to send."""
    rows = session.execute(
        select(Derived.sop_class_uid, Derived.transfer_syntax_uid)
        .join(TransferItem, TransferItem.derived_id == Derived.id)
        .where(TransferItem.transfer_id == transfer_id, TransferItem.state.in_(_UNSENT))
        .distinct()
        .order_by(Derived.sop_class_uid, Derived.transfer_syntax_uid)
    )
    return [(row[0], row[1]) for row in rows]


def derived_of_items(session: Session, item_ids: Sequence[int]) -> dict[int, Derived]:
    """Return the instances of a page of items, by item id."""
    rows = session.execute(
        select(TransferItem.id, Derived)
        .join(Derived, Derived.id == TransferItem.derived_id)
        .where(TransferItem.id.in_(item_ids))
    )
    return {row[0]: row[1] for row in rows}


def uncommitted(session: Session, transfer_id: int) -> list[tuple[str, str]]:
    """Return (SOP Class UID, SOP Instance UID) of what is acknowledged and not yet committed."""
    rows = session.execute(
        select(Derived.sop_class_uid, Derived.sop_instance_uid)
        .join(TransferItem, TransferItem.derived_id == Derived.id)
        .where(
            TransferItem.transfer_id == transfer_id,
            TransferItem.state == ItemState.ACKNOWLEDGED,
        )
        .order_by(TransferItem.id)
    )
    return [(row[0], row[1]) for row in rows]


def commitments(session: Session, transfer_id: int) -> list[Commitment]:
    """Return the Storage Commitment requests of a transfer, the latest first."""
    return list(
        session.scalars(
            select(Commitment)
            .where(Commitment.transfer_id == transfer_id)
            .order_by(Commitment.id.desc())
        )
    )


def item_counts(session: Session, transfer_ids: Sequence[int]) -> dict[int, dict[ItemState, int]]:
    """Return the items of each transfer counted by state."""
    rows = session.execute(
        select(TransferItem.transfer_id, TransferItem.state, func.count())
        .where(TransferItem.transfer_id.in_(transfer_ids))
        .group_by(TransferItem.transfer_id, TransferItem.state)
    )
    counts: dict[int, dict[ItemState, int]] = {one: {} for one in transfer_ids}
    for transfer_id, state, number in rows:
        counts[transfer_id][state] = number
    return counts


def count_by_state(session: Session) -> dict[TransferState, int]:
    rows = session.execute(select(Transfer.state, func.count()).group_by(Transfer.state))
    return {row[0]: row[1] for row in rows}


def _lines(
    session: Session, rows: Sequence[tuple[Transfer, Study, Destination]]
) -> list[TransferLine]:
    """Count the items of each transfer, with one question however many transfers."""
    counted = session.execute(
        select(
            TransferItem.transfer_id,
            TransferItem.state,
            func.count(),
            func.sum(Derived.size_bytes),
        )
        .join(Derived, Derived.id == TransferItem.derived_id)
        .where(TransferItem.transfer_id.in_([transfer.id for transfer, _, _ in rows]))
        .group_by(TransferItem.transfer_id, TransferItem.state)
    )
    counts: dict[int, dict[ItemState, int]] = {}
    size_bytes: dict[int, int] = {}
    for transfer_id, state, number, size in counted:
        counts.setdefault(transfer_id, {})[state] = number
        size_bytes[transfer_id] = size_bytes.get(transfer_id, 0) + int(size or 0)
    return [
        TransferLine(
            transfer=transfer,
            study=study,
            destination=destination,
            item_counts=counts.get(transfer.id, {}),
            size_bytes=size_bytes.get(transfer.id, 0),
        )
        for transfer, study, destination in rows
    ]
