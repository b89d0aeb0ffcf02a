"""The tables of where studies go: destinations, what they can, how they fare, and routes."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from gateway.ledger.base import Base
from gateway.model import (
    AuthKind,
    BreakerState,
    Carrier,
    Contents,
    DestinationKind,
    TaskKind,
    Truth,
)


class Destination(Base):
    """A remote AE, or a DICOMweb server, that we deliver to: its whole profile.

    Secrets are never in here: columns that end in `_file` are paths on the worker's machine.
    """

    __tablename__ = "destination"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    kind: Mapped[DestinationKind] = mapped_column(default=DestinationKind.DIMSE)
    enabled: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]
    # Where it is. Of a DICOMweb server only base_url counts.
    ae_title: Mapped[str] = mapped_column(String(16))
    host: Mapped[str] = mapped_column(String(255))
    port: Mapped[int]
    calling_ae_title: Mapped[str] = mapped_column(String(16), default="")  # empty: the settings'
    base_url: Mapped[str] = mapped_column(String(400), default="")  # up to, not with, /studies
    # TLS, for DIMSE (PS3.15 B.12) as for DICOMweb.
    use_tls: Mapped[bool] = mapped_column(default=False)
    tls_ca_file: Mapped[str] = mapped_column(String(400), default="")  # empty: the system's
    tls_certificate_file: Mapped[str] = mapped_column(String(400), default="")  # of ours
    tls_key_file: Mapped[str] = mapped_column(String(400), default="")
    tls_server_name: Mapped[str] = mapped_column(String(255), default="")  # empty: host
    # How we say who we are to a DICOMweb server.
    auth: Mapped[AuthKind] = mapped_column(default=AuthKind.NONE)
    auth_user: Mapped[str] = mapped_column(String(255), default="")  # user name, or client id
    auth_secret_file: Mapped[str] = mapped_column(String(400), default="")
    token_url: Mapped[str] = mapped_column(String(400), default="")
    token_scope: Mapped[str] = mapped_column(String(255), default="")
    # How far a delivery has to come, and whom to ask about it.
    green_at: Mapped[Truth] = mapped_column(default=Truth.COMMITTED)
    commitment: Mapped[bool] = mapped_column(default=True)  # ask for Storage Commitment
    commitment_ae_title: Mapped[str] = mapped_column(String(16), default="")  # empty: the same AE
    commitment_host: Mapped[str] = mapped_column(String(255), default="")
    commitment_port: Mapped[int | None]
    query_ae_title: Mapped[str] = mapped_column(String(16), default="")  # empty: the same AE
    query_host: Mapped[str] = mapped_column(String(255), default="")
    query_port: Mapped[int | None]
    # What it takes; empty: no limit of its own.
    frames_max: Mapped[int | None]  # per instance
    instance_bytes_max: Mapped[int | None] = mapped_column(BigInteger)
    pdu_bytes_max: Mapped[int | None]  # longest PDU we write, whatever it offers to take
    charset: Mapped[str] = mapped_column(String(32), default="")  # empty: as made, UTF-8
    carrier: Mapped[Carrier] = mapped_column(default=Carrier.AUTOMATIC)  # rung of the ladder
    # How it is sent.
    associations_max: Mapped[int] = mapped_column(default=2)  # at once, over all transfers
    bandwidth_bytes_s: Mapped[int | None] = mapped_column(BigInteger)
    time_windows: Mapped[str] = mapped_column(String(400), default="")  # gateway.windows; always
    time_zone: Mapped[str] = mapped_column(String(64), default="UTC")  # IANA name
    priority: Mapped[int] = mapped_column(default=0)  # higher goes first
    contents: Mapped[Contents] = mapped_column(default=Contents.EVERYTHING)
    # De-identification; empty: identified, as made.
    deidentification_profile: Mapped[str] = mapped_column(String(255), default="")
    pseudonym_domain: Mapped[str] = mapped_column(String(64), default="")
    # The last C-ECHO and the last probe, and what came of them.
    echo_at: Mapped[datetime | None]
    echo_ok: Mapped[bool | None]
    echo_detail: Mapped[str] = mapped_column(String(400), default="")
    probed_at: Mapped[datetime | None]
    probe_detail: Mapped[str] = mapped_column(String(400), default="")
    peer_pdu_bytes_max: Mapped[int | None]  # its Maximum Length Received; 0: no limit
    checked_at: Mapped[datetime | None]  # by the sentinel


class Capability(Base):
    """What a destination said about one presentation context, proposed alone."""

    __tablename__ = "capability"
    id: Mapped[int] = mapped_column(primary_key=True)
    destination_id: Mapped[int] = mapped_column(ForeignKey("destination.id", ondelete="CASCADE"))
    sop_class_uid: Mapped[str] = mapped_column(String(64))
    transfer_syntax_uid: Mapped[str] = mapped_column(String(64))
    accepted: Mapped[bool]
    reason: Mapped[str] = mapped_column(String(255), default="")  # why not, in words
    __table_args__ = (UniqueConstraint("destination_id", "sop_class_uid", "transfer_syntax_uid"),)


class Breaker(Base):
    """Keeps us from a destination that fails again and again; no row: closed, no failures."""

    __tablename__ = "breaker"
    destination_id: Mapped[int] = mapped_column(
        ForeignKey("destination.id", ondelete="CASCADE"), primary_key=True
    )
    state: Mapped[BreakerState] = mapped_column(default=BreakerState.CLOSED)
    failure_count: Mapped[int] = mapped_column(default=0)  # in a row
    opened_count: Mapped[int] = mapped_column(default=0)  # since it last closed
    probe_at: Mapped[datetime | None]  # while open: when one transfer may try
    reason: Mapped[str] = mapped_column(String(1000), default="")
    state_changed_at: Mapped[datetime]


class Route(Base):
    """Studies of a Source (or of all, where source_id is empty) go to a Destination, if the
    conditions hold: keyword to pattern with * and ?, all of them, none: always."""

    __tablename__ = "route"
    id: Mapped[int] = mapped_column(primary_key=True)
    source_id: Mapped[int | None] = mapped_column(ForeignKey("source.id", ondelete="CASCADE"))
    destination_id: Mapped[int] = mapped_column(ForeignKey("destination.id", ondelete="CASCADE"))
    conditions: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime]


class Task(Base):
    """Something about a delivery that a person should decide."""

    __tablename__ = "task"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[TaskKind]
    destination_id: Mapped[int] = mapped_column(ForeignKey("destination.id", ondelete="CASCADE"))
    transfer_id: Mapped[int] = mapped_column(ForeignKey("transfer.id"), index=True)
    detail: Mapped[str] = mapped_column(String(1000))
    found_at: Mapped[datetime]
    seen_at: Mapped[datetime]  # the last time it was still so
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[str] = mapped_column(String(64), default="")
    resolution: Mapped[str] = mapped_column(String(400), default="")
    __table_args__ = (Index("task_open", "closed_at"),)


class Adapted(Base):
    """A derived instance as some destinations get it: another carrier, or de-identified.

    purpose says what was done, such that equal purposes give equal bytes: it is made once.
    """

    __tablename__ = "adapted"
    id: Mapped[int] = mapped_column(primary_key=True)
    derived_id: Mapped[int] = mapped_column(ForeignKey("derived.id"))
    purpose: Mapped[str] = mapped_column(String(128))
    study_instance_uid: Mapped[str] = mapped_column(String(64))
    series_instance_uid: Mapped[str] = mapped_column(String(64))
    sop_class_uid: Mapped[str] = mapped_column(String(64))
    sop_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    transfer_syntax_uid: Mapped[str] = mapped_column(String(64))
    storage_key: Mapped[str] = mapped_column(String(255))  # below Settings.home, a file of its own
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    frame_count: Mapped[int]
    digest: Mapped[str] = mapped_column(String(64))  # SHA-256 of the file
    created_at: Mapped[datetime]
    checked_at: Mapped[datetime | None]  # by the preflight; empty: not yet
    __table_args__ = (UniqueConstraint("derived_id", "purpose"),)


class AskedOfUs(Base):
    """A Storage Commitment request that somebody who sends to us made (PS3.4 Annex J, as SCP)."""

    __tablename__ = "asked_of_us"
    id: Mapped[int] = mapped_column(primary_key=True)
    calling_ae_title: Mapped[str] = mapped_column(String(16))
    transaction_uid: Mapped[str] = mapped_column(String(64))
    peer_host: Mapped[str] = mapped_column(String(255), default="")
    instances: Mapped[dict[str, Any]]  # SOP Instance UID to SOP Class UID
    failed: Mapped[dict[str, Any]] = mapped_column(default=dict)  # UID to Failure Reason
    requested_at: Mapped[datetime]
    checked_at: Mapped[datetime | None]  # packs and checksums; failed is true from then on
    reported_at: Mapped[datetime | None]  # the requestor has taken the report
    tries: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime]
    reason: Mapped[str] = mapped_column(String(1000), default="")
    __table_args__ = (UniqueConstraint("calling_ae_title", "transaction_uid"),)
