"""Associations others opened with us."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.ledger.schema import Association
from gateway.model import AssociationOutcome


def latest(
    session: Session, *, outcome: AssociationOutcome | None = None, limit: int = 50
) -> list[Association]:
    """Return associations, the latest first; refused ones have the outcome REJECTED."""
    query = select(Association).order_by(Association.opened_at.desc()).limit(limit)
    if outcome is not None:
        query = query.where(Association.outcome == outcome)
    return list(session.scalars(query))
