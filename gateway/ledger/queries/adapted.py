"""What was made for a destination's transfer, beside what it was made from."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from gateway.ledger.delivery_schema import Adapted, Capability
from gateway.ledger.queries.outgoing import UNSENT
from gateway.ledger.schema import Derived, TransferItem
from gateway.model import DerivedRole, ItemState


@dataclass(frozen=True)
class Pair:
    """base: what is adapted, itself adapted perhaps. made: what stands for it already.
    is_used: the item is about `made`."""

    item_id: int
    role: DerivedRole
    number: int
    base: Derived | Adapted
    made: Adapted | None
    is_sent: bool
    is_used: bool


def pairs(session: Session, transfer_id: int, *, base: str, purpose: str) -> list[Pair]:
    """Return every item of a transfer but those left out, by their number.

    base: purpose of what is adapted, empty: as it was made. purpose: what is made of it.
    """
    made, before = aliased(Adapted), aliased(Adapted)
    query = (
        select(TransferItem, Derived, made, before)
        .join(Derived, Derived.id == TransferItem.derived_id)
        .join(made, (made.derived_id == Derived.id) & (made.purpose == purpose), isouter=True)
        .join(before, (before.derived_id == Derived.id) & (before.purpose == base), isouter=True)
        .where(TransferItem.transfer_id == transfer_id, TransferItem.state != ItemState.LEFT_OUT)
        .order_by(Derived.number, TransferItem.id)
    )
    found = []
    for item, derived, one, earlier in session.execute(query).tuples():
        source: Derived | Adapted | None = earlier if base else derived
        if source is not None:  # None: it could not be de-identified, and is not sent
            found.append(
                Pair(
                    item_id=item.id,
                    role=derived.role,
                    number=derived.number,
                    base=source,
                    made=one,
                    is_sent=item.state not in UNSENT,
                    is_used=one is not None and item.adapted_id == one.id,
                )
            )
    return found


def capabilities(session: Session, destination_id: int) -> dict[tuple[str, str], str]:
    """Return what the probe found: (SOP Class, Transfer Syntax UID) to why not, empty: taken."""
    rows = session.scalars(select(Capability).where(Capability.destination_id == destination_id))
    return {
        (row.sop_class_uid, row.transfer_syntax_uid): ""
        if row.accepted
        else row.reason or "refused"
        for row in rows
    }
