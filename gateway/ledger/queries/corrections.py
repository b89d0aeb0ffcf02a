"""Corrections of a study's identity, and what destinations hold that no longer holds."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from gateway.ledger.delivery_schema import Adapted
from gateway.ledger.schema import Correction, Derived, Rejection, Study, Transfer, TransferItem
from gateway.model import SUMMARY_ROLES, DerivedRole, ItemState

_HELD = (ItemState.ACKNOWLEDGED, ItemState.COMMITTED)


@dataclass(frozen=True)
class Held:
    """An instance as a destination has it: as made, or as adapted for it."""

    derived_id: int
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class Outstanding:
    """Instances a destination has under an identity that no longer holds.

    correction: the one that ended that identity; what it was is in it.
    """

    destination_id: int
    correction: Correction
    instances: Sequence[Held]


def history(session: Session, study_id: int) -> list[Correction]:
    """Return the corrections of a study, the first first."""
    return list(
        session.scalars(
            select(Correction).where(Correction.study_id == study_id).order_by(Correction.id)
        )
    )


def notes(session: Session, study_id: int) -> list[Derived]:
    """Return the rejection notes of a study, the first first."""
    return list(
        session.scalars(
            select(Derived)
            .where(Derived.study_id == study_id, Derived.role == DerivedRole.REJECTION_NOTE)
            .order_by(Derived.id)
        )
    )


def of_patient(session: Session, patient_id: str) -> list[Study]:
    """Return the studies of a patient, the latest first."""
    return list(
        session.scalars(
            select(Study).where(Study.patient_id == patient_id).order_by(Study.id.desc())
        )
    )


def count_of_patient(session: Session, patient_id: str) -> int:
    """Return how many studies a patient has."""
    query = select(func.count()).select_from(Study).where(Study.patient_id == patient_id)
    return session.scalar(query) or 0


def supersedes(session: Session, transfer: Transfer) -> bool:
    """Tell whether a transfer would deliver an identity that was corrected since."""
    latest = session.scalar(
        select(func.max(Correction.revision)).where(Correction.study_id == transfer.study_id)
    )
    return latest is not None and transfer.revision < latest


def outstanding(session: Session, study_id: int) -> list[Outstanding]:
    """Return what has to be taken back: acknowledged there, corrected since, not yet rejected."""
    corrections = history(session, study_id)
    if not corrections:
        return []
    found: dict[tuple[int, int], dict[str, Held]] = {}
    for destination_id, derived, held in _held(session, study_id):
        ended = [at for at, one in enumerate(corrections) if one.revision > derived.revision]
        if ended:
            found.setdefault((destination_id, ended[0]), {})[held.sop_instance_uid] = held
    return [
        Outstanding(destination_id, corrections[ended], list(instances.values()))
        for (destination_id, ended), instances in found.items()
    ]


def superseded(session: Session, study_id: int, made: Collection[str]) -> dict[int, list[Held]]:
    """Return what destinations hold that later frames made obsolete, by destination.

    made: SOP Instance UIDs of the summary that is about to be recorded. What a correction
    ended is not among it.
    """
    corrections = history(session, study_id)
    since = corrections[-1].revision if corrections else 0
    found: dict[int, dict[str, Held]] = {}
    for destination_id, derived, held in _held(session, study_id):
        obsolete = derived.superseded_in is not None or (
            derived.role in SUMMARY_ROLES and derived.sop_instance_uid not in made
        )
        if obsolete and derived.revision >= since:
            found.setdefault(destination_id, {})[held.sop_instance_uid] = held
    return {destination_id: list(each.values()) for destination_id, each in found.items()}


def _held(session: Session, study_id: int) -> Iterator[tuple[int, Derived, Held]]:
    """Yield what destinations acknowledged and were not told to reject since, notes apart."""
    rejected = set(
        session.execute(
            select(Derived.destination_id, Rejection.derived_id)
            .join(Derived, Derived.id == Rejection.note_id)
            .where(Derived.study_id == study_id)
        ).tuples()
    )
    rows = session.execute(
        select(Transfer.destination_id, Derived, Adapted)
        .join(TransferItem, TransferItem.derived_id == Derived.id)
        .join(Transfer, Transfer.id == TransferItem.transfer_id)
        .join(Adapted, Adapted.id == TransferItem.adapted_id, isouter=True)
        .where(
            Derived.study_id == study_id,
            Derived.role != DerivedRole.REJECTION_NOTE,
            TransferItem.state.in_(_HELD),
        )
        .order_by(Transfer.destination_id, Derived.id)
    ).tuples()
    for destination_id, derived, adapted in rows:
        if (destination_id, derived.id) not in rejected:
            there: Derived | Adapted = adapted or derived
            yield (
                destination_id,
                derived,
                Held(
                    derived.id,
                    there.series_instance_uid,
                    there.sop_class_uid,
                    there.sop_instance_uid,
                ),
            )
