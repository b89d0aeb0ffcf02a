"""What a transfer sends: derived instances, or what was adapted from them for a destination."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Select, case, func, select
from sqlalchemy.orm import Session

from gateway.ledger.delivery_schema import Adapted
from gateway.ledger.schema import Derived, Study, Transfer, TransferItem
from gateway.model import DerivedRole, ItemState

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
BULK = (DerivedRole.FRAMES, DerivedRole.ORIGINAL)
"""What a destination that gets the summary only does not get."""
UNSENT = (ItemState.PENDING, ItemState.FAILED)


@dataclass(frozen=True)
class Outgoing:
    """One item as it leaves. storage_key: of the file or pack; digest: of the Part 10 file."""

    item_id: int
    derived_id: int
    adapted_id: int | None
    role: DerivedRole
    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    storage_key: str
    offset_bytes: int
    size_bytes: int
    frame_count: int
    digest: str
    is_checked: bool  # passed the preflight
    purpose: str = ""  # what it was adapted for; empty: it is as it was made


def unsent(session: Session, transfer_id: int, *, bulk: bool | None = None) -> list[int]:
    """Return the ids of the items still to send, in the order they are sent.

    The summary comes first: what a physician opens is there while the frames still travel.
    bulk: only frames and originals, or only the others; None: all.
    """
    order = case(
        {role: rank for rank, role in enumerate(DELIVERY_ORDER)},
        value=Derived.role,
        else_=len(DELIVERY_ORDER),
    )
    query = (
        select(TransferItem.id)
        .join(Derived, Derived.id == TransferItem.derived_id)
        .where(TransferItem.transfer_id == transfer_id, TransferItem.state.in_(UNSENT))
        .order_by(order, Derived.number, TransferItem.id)
    )
    if bulk is not None:
        query = query.where(Derived.role.in_(BULK) if bulk else Derived.role.not_in(BULK))
    return list(session.scalars(query))


def unsent_kinds(session: Session, transfer_id: int) -> list[tuple[str, str]]:
    """Return each (SOP Class UID, Transfer Syntax UID) among the items still to send."""
    sop_class = func.coalesce(Adapted.sop_class_uid, Derived.sop_class_uid)
    syntax = func.coalesce(Adapted.transfer_syntax_uid, Derived.transfer_syntax_uid)
    rows = session.execute(
        select(sop_class, syntax)
        .select_from(TransferItem)
        .join(Derived, TransferItem.derived_id == Derived.id)
        .join(Adapted, TransferItem.adapted_id == Adapted.id, isouter=True)
        .where(TransferItem.transfer_id == transfer_id, TransferItem.state.in_(UNSENT))
        .distinct()
        .order_by(sop_class, syntax)
    )
    return [(row[0], row[1]) for row in rows]


def of_items(session: Session, item_ids: Sequence[int]) -> dict[int, Outgoing]:
    """Return a page of items by id."""
    rows = _outgoing(session, _query().where(TransferItem.id.in_(item_ids)))
    return {one.item_id: one for one in rows}


def in_state(session: Session, transfer_id: int, states: Sequence[ItemState]) -> list[Outgoing]:
    """Return the items of a transfer that are in one of these states, in no order."""
    query = _query().where(TransferItem.transfer_id == transfer_id, TransferItem.state.in_(states))
    return list(_outgoing(session, query))


def _query() -> Select[TransferItem, Derived, Adapted, str, str]:
    return (
        select(TransferItem, Derived, Adapted, Study.study_instance_uid, Study.delivered_uid)
        .join(Derived, Derived.id == TransferItem.derived_id)
        .join(Adapted, Adapted.id == TransferItem.adapted_id, isouter=True)
        .join(Transfer, Transfer.id == TransferItem.transfer_id)
        .join(Study, Study.id == Transfer.study_id)
    )


def _outgoing(
    session: Session, query: Select[TransferItem, Derived, Adapted, str, str]
) -> Iterable[Outgoing]:
    for item, derived, adapted, study_uid, delivered_uid in session.execute(query):
        sent: Derived | Adapted = adapted or derived
        yield Outgoing(
            item_id=item.id,
            derived_id=derived.id,
            adapted_id=item.adapted_id,
            role=derived.role,
            study_instance_uid=adapted.study_instance_uid
            if adapted is not None
            else delivered_uid or study_uid,
            series_instance_uid=sent.series_instance_uid,
            sop_class_uid=sent.sop_class_uid,
            sop_instance_uid=sent.sop_instance_uid,
            transfer_syntax_uid=sent.transfer_syntax_uid,
            storage_key=sent.storage_key,
            offset_bytes=0 if adapted is not None else derived.offset_bytes,
            size_bytes=sent.size_bytes,
            frame_count=sent.frame_count,
            digest=sent.digest,
            is_checked=sent.checked_at is not None,
            purpose=adapted.purpose if adapted is not None else "",
        )
