"""What the sweep asks: which studies may be complete, what waits for a worker."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session, aliased

from gateway.ledger.delivery_schema import Destination
from gateway.ledger.queries import gates, performed_steps
from gateway.ledger.queries.performed_steps import StepEvidence
from gateway.ledger.schema import Commitment, Pack, Study, Transfer
from gateway.model import (
    AssociationOutcome,
    DestinationKind,
    PackState,
    StudyState,
    TransferState,
    Truth,
)

BATCH_MAX = 200
"""Rows handed out per question; the next sweep takes the rest."""


@dataclass(frozen=True)
class SettleFacts:
    """What is known about a study that is still receiving."""

    study_id: int
    open_pack_count: int  # open, or of an association that still goes on
    broken_pack_count: int  # packs whose association broke off and was not followed by a good one
    instance_count: int  # in sealed packs
    declared_count: int | None
    last_received_at: datetime
    steps: StepEvidence = StepEvidence.NOTHING  # what its modality says (MPPS)


def receiving(session: Session) -> list[SettleFacts]:
    """Return the facts of every receiving study, the longest quiet first."""
    studies = session.execute(
        select(Study.id, Study.study_instance_uid, Study.declared_count, Study.last_received_at)
        .where(Study.state == StudyState.RECEIVING)
        .order_by(Study.last_received_at)
        .limit(BATCH_MAX)
    ).all()
    return [
        SettleFacts(
            study_id=row.id,
            open_pack_count=_count(
                session,
                row.id,
                or_(Pack.state == PackState.OPEN, Pack.outcome == AssociationOutcome.OPEN),
            ),
            broken_pack_count=_broken(session, row.id),
            instance_count=session.scalar(
                select(func.coalesce(func.sum(Pack.instance_count), 0)).where(
                    Pack.study_id == row.id, Pack.state == PackState.SEALED
                )
            )
            or 0,
            declared_count=row.declared_count,
            last_received_at=row.last_received_at,
            steps=performed_steps.evidence(session, row.study_instance_uid),
        )
        for row in studies
    ]


def studies(session: Session, now: datetime) -> list[int]:
    """Return the ids of studies whose next step waits for a worker."""
    steps = (StudyState.WRAPPING, StudyState.SUMMARISING)
    return list(
        session.scalars(
            select(Study.id)
            .where(
                or_(
                    Study.state == StudyState.SETTLING,
                    Study.state.in_(steps)
                    & or_(Study.lease_until.is_(None), Study.lease_until <= now),
                )
            )
            .order_by(Study.state_changed_at)
            .limit(BATCH_MAX)
        )
    )


def transfers(session: Session, now: datetime) -> list[int]:
    """Return the ids of transfers that are due, or whose worker went away.

    Of each destination as many as it takes now; what comes first there is due the longest.
    """
    lost = session.scalars(
        select(Transfer.id)
        .where(
            Transfer.state == TransferState.SENDING,
            or_(Transfer.lease_until.is_(None), Transfer.lease_until <= now),
        )
        .limit(BATCH_MAX)
    )
    due = list(lost)
    pending = (Transfer.state == TransferState.PENDING) & (Transfer.next_attempt_at <= now)
    destinations = session.scalars(
        select(Destination)
        .where(Destination.id.in_(select(Transfer.destination_id).where(pending)))
        .order_by(Destination.priority.desc(), Destination.id)
    ).all()
    for one in destinations:
        room = min(gates.gate(session, one, now).free_count, BATCH_MAX)
        due += session.scalars(
            select(Transfer.id)
            .where(pending, Transfer.destination_id == one.id)
            .order_by(Transfer.next_attempt_at, Transfer.id)
            .limit(room)
        )
    return due


def verifications(session: Session, now: datetime) -> list[int]:
    """Return the ids of transfers whose destination has to be asked what it holds.

    Where commitment is asked for, that comes first, or has at least been tried.
    """
    tried = (
        select(Commitment.id).where(Commitment.transfer_id == Transfer.id).exists()
        | (Transfer.tries > 0)
        | ~Destination.commitment
        | (Destination.kind != DestinationKind.DIMSE)
    )
    return list(
        session.scalars(
            select(Transfer.id)
            .join(Destination, Destination.id == Transfer.destination_id)
            .where(
                (Transfer.state == TransferState.COMMITTED)
                | ((Transfer.state == TransferState.SENT) & tried),
                Destination.green_at == Truth.VERIFIED,
                Destination.enabled,
                Transfer.next_attempt_at <= now,
            )
            .order_by(Transfer.next_attempt_at)
            .limit(BATCH_MAX)
        )
    )


def commitments(session: Session, *, now: datetime, asked_before: datetime) -> list[int]:
    """Return the ids of sent transfers that want a commitment and have no open request.

    A request older than `asked_before` that was never reported counts as lost.
    """
    asked = (
        select(Commitment.id)
        .where(
            Commitment.transfer_id == Transfer.id,
            Commitment.reported_at.is_(None),
            Commitment.requested_at > asked_before,
        )
        .exists()
    )
    return list(
        session.scalars(
            select(Transfer.id)
            .join(Destination, Destination.id == Transfer.destination_id)
            .where(
                Transfer.state == TransferState.SENT,
                Destination.commitment,
                Destination.kind == DestinationKind.DIMSE,
                Destination.enabled,
                Transfer.next_attempt_at <= now,
                ~asked,
            )
            .limit(BATCH_MAX)
        )
    )


def _count(session: Session, study_id: int, *conditions: object) -> int:
    return (
        session.scalar(
            select(func.count()).select_from(Pack).where(Pack.study_id == study_id, *conditions)  # type: ignore[arg-type]
        )
        or 0
    )


def _broken(session: Session, study_id: int) -> int:
    later = aliased(Pack)
    healed = (
        select(later.id)
        .where(
            later.study_id == study_id,
            later.outcome == AssociationOutcome.RELEASED,
            later.opened_at >= Pack.sealed_at,
        )
        .exists()
    )
    return _count(
        session,
        study_id,
        Pack.outcome.in_((AssociationOutcome.ABORTED, AssociationOutcome.LOST)),
        ~healed,
    )
