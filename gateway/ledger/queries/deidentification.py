"""De-identification: profiles, what a transfer still has to make, who is behind a pseudonym."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.errors import NotFound
from gateway.ledger.deidentification_schema import (
    DeidentificationProfile,
    Pseudonym,
    PseudonymDomain,
)
from gateway.ledger.delivery_schema import Adapted, Destination
from gateway.ledger.schema import Derived, TransferItem
from gateway.model import ItemState

_UNSENT = (ItemState.PENDING, ItemState.FAILED)


@dataclass(frozen=True)
class ExportItem:
    """item_id: of the transfer. source: what was made or received; made: what stands for it.
    is_sent: the destination acknowledged it. is_replaced: the item is about `made` already."""

    item_id: int
    source: Derived
    made: Adapted | None
    is_sent: bool
    is_replaced: bool


def profiles(session: Session) -> list[DeidentificationProfile]:
    return list(
        session.scalars(select(DeidentificationProfile).order_by(DeidentificationProfile.name))
    )


def profile(session: Session, name: str) -> DeidentificationProfile:
    """Return a profile. Raises NotFound."""
    row = session.scalar(
        select(DeidentificationProfile).where(DeidentificationProfile.name == name)
    )
    if row is None:
        raise NotFound(f"There is no de-identification profile {name!r}.")
    return row


def users_of(session: Session, name: str) -> list[str]:
    """Return the names of the destinations that have a profile."""
    return list(
        session.scalars(
            select(Destination.name).where(Destination.deidentification_profile == name)
        )
    )


def domain(session: Session, name: str) -> PseudonymDomain | None:
    return session.get(PseudonymDomain, name)


def export_items(session: Session, transfer_id: int, purpose: str) -> list[ExportItem]:
    """Return every item of a transfer, but those left out, with what stands for it.

    purpose: of gateway.ledger.delivery_schema.Adapted.
    """
    rows = session.execute(
        select(TransferItem, Derived, Adapted)
        .join(Derived, Derived.id == TransferItem.derived_id)
        .join(
            Adapted,
            (Adapted.derived_id == Derived.id) & (Adapted.purpose == purpose),
            isouter=True,
        )
        .where(TransferItem.transfer_id == transfer_id, TransferItem.state != ItemState.LEFT_OUT)
        .order_by(TransferItem.id)
    ).tuples()
    return [
        ExportItem(
            item.id,
            source,
            made,
            item.state not in _UNSENT,
            made is not None and item.adapted_id == made.id,
        )
        for item, source, made in rows
    ]


def known_uids(session: Session, study_id: int) -> frozenset[str]:
    """Return the SOP and Series Instance UIDs that stand for others in a study's exports."""
    rows = session.execute(
        select(Adapted.sop_instance_uid, Adapted.series_instance_uid)
        .join(Derived, Derived.id == Adapted.derived_id)
        .where(Derived.study_id == study_id)
    )
    return frozenset(uid for row in rows for uid in row)


def pseudonyms(session: Session, domain: str | None = None) -> list[Pseudonym]:
    """Return the table, of one domain or of all."""
    query = select(Pseudonym).order_by(Pseudonym.domain, Pseudonym.pseudonym, Pseudonym.id)
    if domain is not None:
        query = query.where(Pseudonym.domain == domain)
    return list(session.scalars(query))
