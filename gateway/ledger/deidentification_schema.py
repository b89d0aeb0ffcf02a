"""The tables of de-identification: profiles, pseudonym domains, and who is behind a pseudonym."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from gateway.ledger.base import Base


class DeidentificationProfile(Base):
    """What destinations may know. options: gateway.deidentify.profile.Profile.as_json."""

    __tablename__ = "deidentification_profile"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    options: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]


class PseudonymDomain(Base):
    """Within it the same patient has the same pseudonym. The key itself is never in here."""

    __tablename__ = "pseudonym_domain"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    key_check: Mapped[str] = mapped_column(String(16))  # gateway.deidentify.pseudonyms.Domain
    created_at: Mapped[datetime]


class Pseudonym(Base):
    """Who is behind a pseudonym, a row per study: the way back, for those who may go it."""

    __tablename__ = "pseudonym"
    id: Mapped[int] = mapped_column(primary_key=True)
    domain: Mapped[str] = mapped_column(ForeignKey("pseudonym_domain.name"))
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"), index=True)
    pseudonym: Mapped[str] = mapped_column(String(16), index=True)
    patient_id: Mapped[str] = mapped_column(String(64))
    issuer: Mapped[str] = mapped_column(String(64), default="")
    patient_name: Mapped[str] = mapped_column(String(324), default="")
    study_instance_uid: Mapped[str] = mapped_column(String(64))
    made_study_instance_uid: Mapped[str] = mapped_column(String(64))  # what stands for it
    days: Mapped[int]  # its dates were moved by, 0: not moved
    created_at: Mapped[datetime]
    __table_args__ = (UniqueConstraint("domain", "study_id", "pseudonym", "days"),)
