"""What was last said about the room on the disk."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.ledger.schema import Event
from gateway.model import DiskLevel

SUBJECT = "disk"


def latest(session: Session) -> Event | None:
    """Return the event of the last change of the level, or None if it never changed."""
    return session.scalar(
        select(Event).where(Event.subject == SUBJECT).order_by(Event.id.desc()).limit(1)
    )


def level(session: Session) -> DiskLevel:
    event = latest(session)
    return DiskLevel(event.to_state) if event else DiskLevel.PLENTY
