"""Associations others opened with us."""

from collections.abc import Container

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from gateway.ledger.schema import Association, Pack
from gateway.model import AssociationOutcome


def latest(
    session: Session, *, outcome: AssociationOutcome | None = None, limit: int = 50
) -> list[Association]:
    """Return associations, the latest first; refused ones have the outcome REJECTED."""
    query = select(Association).order_by(Association.opened_at.desc()).limit(limit)
    if outcome is not None:
        query = query.where(Association.outcome == outcome)
    return list(session.scalars(query))


_ADMISSION_LOCK = 0x61646D6974  # any constant; PostgreSQL only, SQLite writers already queue


def lock_admissions(session: Session) -> None:
    """Let no other transaction count associations and then open one, until this one ends."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADMISSION_LOCK})


def open_count(session: Session, calling_ae_title: str, living: Container[str]) -> int:
    """Return how many associations an AE has open with listeners that live."""
    listeners = session.scalars(
        select(Association.listener).where(
            Association.outcome == AssociationOutcome.OPEN,
            Association.calling_ae_title == calling_ae_title,
        )
    )
    return sum(listener in living for listener in listeners)


def open_by_listener(session: Session) -> dict[str, str]:
    """Return the listener of every open association by its id."""
    rows = session.execute(
        select(Association.id, Association.listener).where(
            Association.outcome == AssociationOutcome.OPEN
        )
    )
    return {row.id: row.listener for row in rows}


def kept_count(session: Session, association_id: str) -> int:
    """Return how many instances the packs of an association hold."""
    kept = select(func.sum(Pack.instance_count)).where(Pack.association_id == association_id)
    return int(session.scalar(kept) or 0)
