"""What is written about de-identification: profiles, domains, pseudonyms, what was made."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.errors import TransitionRefused
from gateway.ledger import events
from gateway.ledger.deidentification_schema import (
    DeidentificationProfile,
    Pseudonym,
    PseudonymDomain,
)
from gateway.ledger.queries import deidentification as queries
from gateway.ledger.schema import Transfer


@dataclass(frozen=True)
class PseudonymRow:
    """Of gateway.ledger.deidentification_schema.Pseudonym."""

    domain: str
    pseudonym: str
    patient_id: str
    issuer: str
    patient_name: str
    study_instance_uid: str
    made_study_instance_uid: str
    days: int


def set_profile(
    session: Session, name: str, options: Mapping[str, Any], *, now: datetime, actor: str
) -> None:
    """Add a profile, or change it: what is sent from then on is made by the new one."""
    row = session.scalar(
        select(DeidentificationProfile).where(DeidentificationProfile.name == name)
    )
    kind = "added" if row is None else "changed"
    if row is None:
        row = DeidentificationProfile(name=name, created_at=now)
        session.add(row)
    row.options, row.changed_at = dict(options), now
    session.flush()
    events.append(
        session, "deidentification", row.id, kind, now=now, detail=f"profile {name}", actor=actor
    )


def remove_profile(session: Session, name: str, *, now: datetime, actor: str) -> None:
    """Raises NotFound; TransitionRefused while a destination has it."""
    row = queries.profile(session, name)
    users = queries.users_of(session, name)
    if users:
        raise TransitionRefused(f"The profile {name} is that of {', '.join(users)}.")
    session.delete(row)
    events.append(
        session, "deidentification", row.id, "removed", now=now, detail=f"profile {name}",
        actor=actor,
    )  # fmt: skip


def add_domain(session: Session, name: str, key_check: str, *, now: datetime) -> None:
    session.add(PseudonymDomain(name=name, key_check=key_check, created_at=now))


def note_pseudonym(session: Session, study_id: int, row: PseudonymRow, *, now: datetime) -> None:
    """Record who is behind a pseudonym, once."""
    known = session.scalar(
        select(Pseudonym.id).where(
            Pseudonym.domain == row.domain,
            Pseudonym.study_id == study_id,
            Pseudonym.pseudonym == row.pseudonym,
            Pseudonym.days == row.days,
        )
    )
    if known is None:
        session.add(Pseudonym(study_id=study_id, created_at=now, **vars(row)))


def note_made(
    session: Session, transfer_id: int, profile: str, count: int, *, now: datetime
) -> None:
    row = session.get_one(Transfer, transfer_id)
    events.append(
        session, "transfer", transfer_id, "deidentified", now=now, study_id=row.study_id,
        detail=f"{count} instances, profile {profile}; the proof sheet is kept with the transfer",
    )  # fmt: skip


def note_exported(session: Session, domain: str, count: int, *, now: datetime, actor: str) -> None:
    """Record that somebody took the table of pseudonyms with them."""
    events.append(
        session, "deidentification", domain or "all", "pseudonyms-exported", now=now,
        detail=f"{count} rows", actor=actor,
    )  # fmt: skip
