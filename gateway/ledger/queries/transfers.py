"""Transfers: the list an operator watches, and what a worker needs to send one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from gateway.errors import NotFound
from gateway.ledger.delivery_schema import Adapted, Destination
from gateway.ledger.queries import gates
from gateway.ledger.queries.gates import Gate
from gateway.ledger.schema import Commitment, Derived, Study, Transfer, TransferItem
from gateway.model import ItemState, TransferState, Truth, is_done

_SIZE = func.coalesce(Adapted.size_bytes, Derived.size_bytes)
_WHEN = {
    Truth.SENT: TransferItem.sent_at,
    Truth.ACKNOWLEDGED: TransferItem.acknowledged_at,
    Truth.COMMITTED: TransferItem.committed_at,
    Truth.VERIFIED: TransferItem.verified_at,
}


@dataclass(frozen=True)
class TransferLine:
    """A transfer with its study, its destination and its items counted by state."""

    transfer: Transfer
    study: Study
    destination: Destination
    item_counts: dict[ItemState, int]
    size_bytes: int
    truths: dict[Truth, int]  # how many items got how far at least, for each truth
    waits_until: datetime | None = None  # when it goes on, as far as that is known
    waits_for: str = ""  # what it waits for, if not for its own next attempt

    @property
    def is_done(self) -> bool:
        """Whether it has come as far as its destination's policy asks."""
        return is_done(self.transfer.state, self.destination.green_at)

    @property
    def wanted_count(self) -> int:
        """Return how many items the destination gets."""
        return self.item_count - self.item_counts.get(ItemState.LEFT_OUT, 0)

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
    adapted: Adapted | None = None


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
        select(TransferItem, Derived, Adapted)
        .join(Derived, Derived.id == TransferItem.derived_id)
        .join(Adapted, Adapted.id == TransferItem.adapted_id, isouter=True)
        .where(TransferItem.transfer_id == transfer_id)
        .order_by(TransferItem.id)
    )
    return [ItemLine(*row) for row in rows]


def uncommitted(session: Session, transfer_id: int) -> list[tuple[str, str]]:
    """Return (SOP Class UID, SOP Instance UID) of what is acknowledged and not yet committed."""
    rows = session.execute(
        select(
            func.coalesce(Adapted.sop_class_uid, Derived.sop_class_uid),
            func.coalesce(Adapted.sop_instance_uid, Derived.sop_instance_uid),
        )
        .select_from(TransferItem)
        .join(Derived, TransferItem.derived_id == Derived.id)
        .join(Adapted, TransferItem.adapted_id == Adapted.id, isouter=True)
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
            func.sum(case((TransferItem.state == ItemState.LEFT_OUT, 0), else_=_SIZE)),
            *(func.count(column) for column in _WHEN.values()),
        )
        .join(Derived, Derived.id == TransferItem.derived_id)
        .join(Adapted, Adapted.id == TransferItem.adapted_id, isouter=True)
        .where(TransferItem.transfer_id.in_([transfer.id for transfer, _, _ in rows]))
        .group_by(TransferItem.transfer_id, TransferItem.state)
    )
    counts: dict[int, dict[ItemState, int]] = {}
    size_bytes: dict[int, int] = {}
    truths: dict[int, dict[Truth, int]] = {}
    for transfer_id, state, number, size, *reached in counted:
        counts.setdefault(transfer_id, {})[state] = number
        size_bytes[transfer_id] = size_bytes.get(transfer_id, 0) + int(size or 0)
        so_far = truths.setdefault(transfer_id, dict.fromkeys(_WHEN, 0))
        for truth, count in zip(_WHEN, reached, strict=True):
            so_far[truth] += count
    waits = gates.gates(session, [destination for _, _, destination in rows], datetime.now(UTC))
    return [
        TransferLine(
            transfer=transfer,
            study=study,
            destination=destination,
            item_counts=counts.get(transfer.id, {}),
            size_bytes=size_bytes.get(transfer.id, 0),
            truths=truths.get(transfer.id, dict.fromkeys(_WHEN, 0)),
            **_waiting(transfer, waits[destination.id]),
        )
        for transfer, study, destination in rows
    ]


def _waiting(transfer: Transfer, gate: Gate) -> dict[str, Any]:
    """Return what a pending transfer waits for, and until when as far as that is known."""
    if transfer.state is not TransferState.PENDING:
        return {}
    if gate.why and not gate.until:
        return {"waits_for": gate.why}
    until = max(transfer.next_attempt_at, gate.until or transfer.next_attempt_at)
    return {"waits_until": until, "waits_for": gate.why}
