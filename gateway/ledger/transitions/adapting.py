"""What a transfer sends in place of what was made: adapted for its destination, or left out."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.ledger import events
from gateway.ledger.delivery_schema import Adapted
from gateway.ledger.schema import TransferItem
from gateway.ledger.transitions import transfers
from gateway.ledger.transitions.studies import DerivedInstance
from gateway.model import ItemState


def adapt(
    session: Session,
    claim: tuple[int, int],
    item_id: int,
    made: tuple[DerivedInstance, str],
    *,
    study_instance_uid: str,
    now: datetime,
) -> None:
    """Let an item be about what was made for its destination, under a claim (transfer, attempt).

    made: the instance, whose file is durable, and the purpose it was made for. Made again, it
    takes the place of the one before. Raises StaleTransition.
    """
    instance, purpose = made
    transfer = transfers.holding(session, *claim)
    item = session.get_one(TransferItem, item_id)
    assert item.transfer_id == transfer.id
    row = session.scalar(
        select(Adapted).where(Adapted.derived_id == item.derived_id, Adapted.purpose == purpose)
    )
    if row is None:
        row = Adapted(derived_id=item.derived_id, purpose=purpose)
        session.add(row)
    row.study_instance_uid = study_instance_uid
    row.series_instance_uid = instance.series_instance_uid
    row.sop_class_uid = instance.sop_class_uid
    row.sop_instance_uid = instance.sop_instance_uid
    row.transfer_syntax_uid = instance.transfer_syntax_uid
    row.storage_key, row.size_bytes = instance.storage_key, instance.size_bytes
    row.frame_count, row.digest = instance.frame_count, instance.digest
    row.created_at, row.checked_at = now, None
    session.flush()
    item.adapted_id = row.id


def use(session: Session, claim: tuple[int, int], item_id: int, adapted_id: int) -> None:
    """Let an item be about what was made before, for another transfer. Raises StaleTransition."""
    transfer = transfers.holding(session, *claim)
    item = session.get_one(TransferItem, item_id)
    assert item.transfer_id == transfer.id
    item.adapted_id = adapted_id


def leave_out(
    session: Session, claim: tuple[int, int], item_id: int, why: str, *, now: datetime
) -> None:
    """Take an item off a transfer that its destination may not, or cannot, have.

    Raises StaleTransition.
    """
    transfer = transfers.holding(session, *claim)
    item = session.get_one(TransferItem, item_id)
    assert item.transfer_id == transfer.id
    item.state, item.reason = ItemState.LEFT_OUT, why
    events.append(
        session, "transfer", transfer.id, "left-out", now=now, study_id=transfer.study_id,
        detail=why,
    )  # fmt: skip
