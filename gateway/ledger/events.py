"""The event chain: every state change leaves a row that later tampering would break."""

import hashlib
from datetime import datetime

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from gateway.ledger.schema import Event

GENESIS = "0" * 64
_CHAIN_LOCK = 0x6361707375  # any constant; PostgreSQL only, SQLite writers already queue


def append(  # noqa: PLR0913 - an event is this wide; all but three are optional and named
    session: Session,
    subject: str,
    subject_id: object,
    kind: str,
    *,
    now: datetime,
    study_id: int | None = None,
    from_state: str = "",
    to_state: str = "",
    detail: str = "",
    actor: str = "gateway",
) -> None:
    """Add one event in the caller's transaction. detail holds no patient data."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CHAIN_LOCK})
    previous = session.scalar(select(Event.hash).order_by(Event.id.desc()).limit(1)) or GENESIS
    event = Event(
        at=now,
        subject=subject,
        subject_id=str(subject_id),
        study_id=study_id,
        kind=kind,
        from_state=from_state,
        to_state=to_state,
        detail=detail[:1000],
        actor=actor,
        previous_hash=previous,
        hash="",
    )
    event.hash = digest(event)
    session.add(event)
    session.flush()


def digest(event: Event) -> str:
    """Return the hash an untouched event must have, lower-case hexadecimal SHA-256."""
    fields = (
        event.previous_hash,
        event.at.isoformat(),
        event.subject,
        event.subject_id,
        str(event.study_id),
        event.kind,
        event.from_state,
        event.to_state,
        event.detail,
        event.actor,
    )
    # Length-prefixed, so that no two different rows hash the same text.
    joined = "".join(f"{len(field)}:{field}" for field in fields)
    return hashlib.sha256(joined.encode()).hexdigest()


def first_broken(session: Session) -> int | None:
    """Return the id of the first event that does not fit the chain, or None."""
    previous = GENESIS
    for event in session.scalars(
        select(Event).order_by(Event.id).execution_options(yield_per=1000)
    ):
        if event.previous_hash != previous or event.hash != digest(event):
            return event.id
        previous = event.hash
    return None
