"""The tables of Modality Performed Procedure Steps."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from gateway.ledger.base import Base
from gateway.model import StepState


class PerformedStep(Base):
    """A Modality Performed Procedure Step as its modality reports it (PS3.4 Annex F)."""

    __tablename__ = "performed_step"
    id: Mapped[int] = mapped_column(primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(String(64), unique=True)
    calling_ae_title: Mapped[str] = mapped_column(String(16))
    state: Mapped[StepState]
    attributes: Mapped[dict[str, Any]]  # DICOM JSON (PS3.18 Annex F), without what it references
    created_at: Mapped[datetime]
    state_changed_at: Mapped[datetime]


class PerformedSeries(Base):
    """How many instances of a Series a performed step names; a row without Series: the Study
    it is about."""

    __tablename__ = "performed_series"
    id: Mapped[int] = mapped_column(primary_key=True)
    step_id: Mapped[int] = mapped_column(ForeignKey("performed_step.id"), index=True)
    study_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    series_instance_uid: Mapped[str] = mapped_column(String(64), default="")
    instance_count: Mapped[int] = mapped_column(default=0)
    __table_args__ = (UniqueConstraint("step_id", "study_instance_uid", "series_instance_uid"),)
