"""Room on the disk: a row for every change of its level, however many processes see it."""

from datetime import datetime

from sqlalchemy.orm import Session

from gateway.ledger import events
from gateway.ledger.queries import disk
from gateway.model import DiskLevel

_KIND = {DiskLevel.PLENTY: "has room", DiskLevel.LOW: "low", DiskLevel.FULL: "full"}


def change_level(session: Session, level: DiskLevel, *, free_bytes: int, now: datetime) -> None:
    """Record the level if it is not the one recorded last."""
    before = disk.level(session)
    if level is before:
        return
    events.append(
        session,
        disk.SUBJECT,
        disk.SUBJECT,
        _KIND[level],
        now=now,
        from_state=before,
        to_state=level,
        detail=f"{free_bytes} bytes free",
    )
