"""The tables. Invariants live here where the database can keep them.

There is a row per pack and per derived instance, never one per received frame: 100,000
studies stay a small database.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint, event, text
from sqlalchemy.orm import Mapped, mapped_column

from gateway.ledger import delivery_schema, search_keys  # noqa: F401 - ours refer to its tables
from gateway.ledger.base import Base
from gateway.model import (
    AssociationOutcome,
    DerivedRole,
    Disposition,
    ItemState,
    KeyFrameReason,
    Organ,
    PackState,
    SettleRule,
    StudyState,
    TransferState,
)


class Source(Base):
    """A remote AE that may send to us."""

    __tablename__ = "source"
    id: Mapped[int] = mapped_column(primary_key=True)
    ae_title: Mapped[str] = mapped_column(String(16), unique=True)
    host: Mapped[str] = mapped_column(String(255), default="")  # empty: any address
    description: Mapped[str] = mapped_column(String(255), default="")
    enabled: Mapped[bool] = mapped_column(default=True)
    associations_max: Mapped[int | None]  # at once; empty: what the settings say
    charset: Mapped[str] = mapped_column(String(32), default="")  # of its text, whatever it says
    created_at: Mapped[datetime]


class Association(Base):
    """An association somebody opened with us, refused ones included."""

    __tablename__ = "association"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)  # random hexadecimal
    calling_ae_title: Mapped[str] = mapped_column(String(16))
    called_ae_title: Mapped[str] = mapped_column(String(16))
    peer: Mapped[str] = mapped_column(String(64))
    listener: Mapped[str] = mapped_column(String(40), default="")  # the process that holds it
    outcome: Mapped[AssociationOutcome]
    reason: Mapped[str] = mapped_column(String(400), default="")
    received_count: Mapped[int] = mapped_column(default=0)
    duplicate_count: Mapped[int] = mapped_column(default=0)
    refused_count: Mapped[int] = mapped_column(default=0)
    opened_at: Mapped[datetime] = mapped_column(index=True)
    closed_at: Mapped[datetime | None]
    __table_args__ = (Index("association_outcome", "outcome", "calling_ae_title"),)


class Study(Base):
    __tablename__ = "study"
    id: Mapped[int] = mapped_column(primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(String(64), unique=True)
    state: Mapped[StudyState] = mapped_column(index=True)
    revision: Mapped[int] = mapped_column(
        default=1
    )  # + 1 whenever something is added after a close
    attempt: Mapped[int] = mapped_column(default=0)  # fencing token of the lease
    lease_until: Mapped[datetime | None]
    tries: Mapped[int] = mapped_column(default=0)  # claims of the current step, in a row
    settle_rule: Mapped[SettleRule | None]
    reason: Mapped[str] = mapped_column(String(1000), default="")
    remedy: Mapped[str] = mapped_column(String(400), default="")
    calling_ae_title: Mapped[str] = mapped_column(String(16), default="")
    patient_id: Mapped[str] = mapped_column(String(64), default="", index=True)
    patient_name: Mapped[str] = mapped_column(String(324), default="")
    patient_birth_date: Mapped[str] = mapped_column(String(8), default="")
    patient_sex: Mapped[str] = mapped_column(String(16), default="")
    accession_number: Mapped[str] = mapped_column(String(16), default="", index=True)
    study_date: Mapped[str] = mapped_column(String(8), default="")
    study_time: Mapped[str] = mapped_column(String(16), default="")
    study_description: Mapped[str] = mapped_column(String(64), default="")
    declared_count: Mapped[int | None]  # Images in Acquisition (0020,1002)
    attributes: Mapped[dict[str, Any]] = mapped_column(default=dict)
    text_origin: Mapped[dict[str, Any]] = mapped_column(default=dict)  # gateway.model.TextOrigin
    # Its Study Instance UID at destinations, once it was given to another patient.
    delivered_uid: Mapped[str] = mapped_column(String(64), default="")
    report: Mapped[dict[str, Any]] = mapped_column(default=dict)  # what the wrap counted
    summary: Mapped[dict[str, Any]] = mapped_column(default=dict)  # what the summary promises
    received_at: Mapped[datetime]  # first instance
    last_received_at: Mapped[datetime]  # latest new instance
    state_changed_at: Mapped[datetime]
    # For queries, from the columns above (gateway.ledger.search_keys); never shown.
    name_alphabetic: Mapped[str] = mapped_column(String(128), default="")
    name_ideographic: Mapped[str] = mapped_column(String(128), default="")
    name_phonetic: Mapped[str] = mapped_column(String(128), default="")
    study_identifier: Mapped[str] = mapped_column(String(16), default="")  # Study ID (0020,0010)
    __table_args__ = (
        # Of those that have one, and searched by their beginning: PostgreSQL would not use an
        # index in the order of a language.
        *(
            Index(
                f"study_{name}",
                name,
                postgresql_ops={name: "varchar_pattern_ops"},
                sqlite_where=text(f"{name} != ''"),
                postgresql_where=text(f"{name} != ''"),
            )
            for name in ("name_alphabetic", "name_ideographic", "name_phonetic", "delivered_uid")
        ),
        Index("study_date_time", "study_date", "study_time"),
        Index("study_identifier", "study_identifier"),
    )


@event.listens_for(Study, "before_insert")
@event.listens_for(Study, "before_update")
def _follow(_mapper: object, _connection: object, study: Study) -> None:
    for column, value in search_keys.of_study(
        study.patient_name or "", study.attributes or {}
    ).items():
        setattr(study, column, value)


class Series(Base):
    """A received Series."""

    __tablename__ = "series"
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"), index=True)
    series_instance_uid: Mapped[str] = mapped_column(String(64))
    modality: Mapped[str] = mapped_column(String(16), default="")
    series_number: Mapped[str] = mapped_column(String(12), default="")
    series_description: Mapped[str] = mapped_column(String(64), default="")
    __table_args__ = (
        UniqueConstraint("study_id", "series_instance_uid"),
        Index("series_uid", "series_instance_uid"),
    )


class Pack(Base):
    """One append-only tar of received instances; counts are a copy of what the pack itself says."""

    __tablename__ = "pack"
    id: Mapped[int] = mapped_column(primary_key=True)
    storage_key: Mapped[str] = mapped_column(String(255), unique=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"), index=True)
    series_id: Mapped[int] = mapped_column(ForeignKey("series.id"))
    association_id: Mapped[str] = mapped_column(String(32))
    state: Mapped[PackState]
    outcome: Mapped[AssociationOutcome] = mapped_column(default=AssociationOutcome.OPEN)
    instance_count: Mapped[int] = mapped_column(default=0)
    size_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    opened_at: Mapped[datetime]
    sealed_at: Mapped[datetime | None]


class Quarantine(Base):
    """An instance a human should look at."""

    __tablename__ = "quarantine"
    id: Mapped[int] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64), unique=True)  # the same fault, once
    at: Mapped[datetime] = mapped_column(index=True)
    code: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(String(1000))
    disposition: Mapped[Disposition]
    status: Mapped[int]
    calling_ae_title: Mapped[str] = mapped_column(String(16), default="")
    association_id: Mapped[str] = mapped_column(String(32), default="")
    study_instance_uid: Mapped[str] = mapped_column(String(64), default="", index=True)
    sop_instance_uid: Mapped[str] = mapped_column(String(64), default="")
    storage_key: Mapped[str] = mapped_column(String(255), default="")
    size_bytes: Mapped[int] = mapped_column(BigInteger, default=0)


class Derived(Base):
    """An instance we deliver; it belongs to revisions [revision, superseded_in)."""

    __tablename__ = "derived"
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"), index=True)
    revision: Mapped[int]
    superseded_in: Mapped[int | None]
    role: Mapped[DerivedRole]
    number: Mapped[int]  # Instance Number in its Series
    series_instance_uid: Mapped[str] = mapped_column(String(64))
    sop_class_uid: Mapped[str] = mapped_column(String(64))
    sop_instance_uid: Mapped[str] = mapped_column(String(64))
    transfer_syntax_uid: Mapped[str] = mapped_column(String(64))
    storage_key: Mapped[str] = mapped_column(String(255))
    offset_bytes: Mapped[int] = mapped_column(BigInteger, default=0)  # inside a pack: > 0
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    frame_count: Mapped[int]
    digest: Mapped[str] = mapped_column(String(64))  # SHA-256 of the file
    first_frame_at: Mapped[str] = mapped_column(String(26), default="")  # local time, ISO 8601
    created_at: Mapped[datetime]
    destination_id: Mapped[int | None] = mapped_column(ForeignKey("destination.id"))  # only there
    checked_at: Mapped[datetime | None]  # by the preflight; empty: not yet
    __table_args__ = (
        UniqueConstraint("study_id", "sop_instance_uid"),
        Index("derived_series_uid", "series_instance_uid"),
        Index("derived_uid", "sop_instance_uid"),
    )


class Correction(Base):
    """What an operator changed about the identity of a study; holds for `revision` and later."""

    __tablename__ = "correction"
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"), index=True)
    revision: Mapped[int]
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(String(400))
    changes: Mapped[dict[str, Any]]  # keyword -> [before, after]
    attributes_before: Mapped[dict[str, Any]]
    study_instance_uid_before: Mapped[str] = mapped_column(String(64))


class Rejection(Base):
    """An instance that a rejection note (a derived instance, too) takes back at a destination."""

    __tablename__ = "rejection"
    id: Mapped[int] = mapped_column(primary_key=True)
    note_id: Mapped[int] = mapped_column(ForeignKey("derived.id"), index=True)
    derived_id: Mapped[int] = mapped_column(ForeignKey("derived.id"))
    __table_args__ = (UniqueConstraint("note_id", "derived_id"),)


class KeyFrame(Base):
    __tablename__ = "keyframe"
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    revision: Mapped[int]
    rank: Mapped[int]  # 1-based, in time order
    derived_id: Mapped[int] = mapped_column(ForeignKey("derived.id"))  # the key frame instance
    part_derived_id: Mapped[int] = mapped_column(ForeignKey("derived.id"))  # the part it is from
    frame_number: Mapped[int]  # 1-based, in that part
    recording_frame_number: Mapped[int]  # 1-based, in the whole recording
    elapsed_ms: Mapped[int] = mapped_column(BigInteger)  # since the first frame
    reason: Mapped[KeyFrameReason]
    score: Mapped[float]
    neighbour_count: Mapped[int]  # how many frames it stands for
    __table_args__ = (UniqueConstraint("study_id", "revision", "rank"),)


class Landmark(Base):
    """Where an organ begins in the current revision; what a person said stays."""

    __tablename__ = "landmark"
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    organ: Mapped[Organ]
    recording_frame_number: Mapped[int]  # 1-based, first frame of the organ
    elapsed_ms: Mapped[int] = mapped_column(BigInteger)  # since the first frame
    confidence: Mapped[float]  # 0 to 1; 1 where a person said so
    edited_by: Mapped[str] = mapped_column(String(64), default="")  # empty: estimated
    edited_at: Mapped[datetime | None]
    __table_args__ = (UniqueConstraint("study_id", "organ"),)


class Transfer(Base):
    """The delivery of one Study revision to one Destination."""

    __tablename__ = "transfer"
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"), index=True)
    revision: Mapped[int]
    destination_id: Mapped[int] = mapped_column(ForeignKey("destination.id"), index=True)
    state: Mapped[TransferState] = mapped_column(index=True)
    attempt: Mapped[int] = mapped_column(default=0)  # fencing token; counts every claim
    tries: Mapped[int] = mapped_column(default=0)  # claims since it last made progress
    next_attempt_at: Mapped[datetime]
    lease_until: Mapped[datetime | None]
    associations: Mapped[int] = mapped_column(default=0)  # of the destination's, while sending
    reason: Mapped[str] = mapped_column(String(1000), default="")
    remedy: Mapped[str] = mapped_column(String(400), default="")
    created_at: Mapped[datetime]
    state_changed_at: Mapped[datetime]
    __table_args__ = (UniqueConstraint("study_id", "revision", "destination_id"),)


class TransferItem(Base):
    """One instance of a Transfer."""

    __tablename__ = "transfer_item"
    id: Mapped[int] = mapped_column(primary_key=True)
    transfer_id: Mapped[int] = mapped_column(ForeignKey("transfer.id"), index=True)
    derived_id: Mapped[int] = mapped_column(ForeignKey("derived.id"))
    # What is sent in its place, if the destination needs it otherwise.
    adapted_id: Mapped[int | None] = mapped_column(ForeignKey("adapted.id"))
    state: Mapped[ItemState]
    status: Mapped[int | None]  # the C-STORE status the peer answered
    reason: Mapped[str] = mapped_column(String(400), default="")
    # The four truths about it at the destination, each when it became one; empty: not yet.
    sent_at: Mapped[datetime | None]  # the last byte was written; an answer may be missing
    acknowledged_at: Mapped[datetime | None]  # C-STORE-RSP, or the STOW-RS answer
    committed_at: Mapped[datetime | None]  # N-EVENT-REPORT
    verified_at: Mapped[datetime | None]  # asked back: it is there, with all its frames
    __table_args__ = (UniqueConstraint("transfer_id", "derived_id"),)


class Commitment(Base):
    """A Storage Commitment request (PS3.4 Annex J) and what was reported."""

    __tablename__ = "commitment"
    id: Mapped[int] = mapped_column(primary_key=True)
    transaction_uid: Mapped[str] = mapped_column(String(64), unique=True)
    transfer_id: Mapped[int] = mapped_column(ForeignKey("transfer.id"), index=True)
    requested_at: Mapped[datetime]
    reported_at: Mapped[datetime | None]
    committed_count: Mapped[int] = mapped_column(default=0)
    failed_count: Mapped[int] = mapped_column(default=0)


class Event(Base):
    """Append-only: what happened. hash = SHA-256 over previous_hash and this row's fields."""

    __tablename__ = "event"
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    subject: Mapped[str] = mapped_column(String(32))  # study, transfer, association, source, ...
    subject_id: Mapped[str] = mapped_column(String(64))
    study_id: Mapped[int | None] = mapped_column(index=True)
    kind: Mapped[str] = mapped_column(String(64))
    from_state: Mapped[str] = mapped_column(String(32), default="")
    to_state: Mapped[str] = mapped_column(String(32), default="")
    detail: Mapped[str] = mapped_column(String(1000), default="")
    actor: Mapped[str] = mapped_column(String(64), default="gateway")
    previous_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    __table_args__ = (Index("event_subject", "subject", "subject_id"),)
