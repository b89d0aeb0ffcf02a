"""Performed procedure steps as modalities report them (PS3.4 F.7.2)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from gateway.errors import NotFound, TransitionRefused
from gateway.ledger import events
from gateway.ledger.schema import Study
from gateway.ledger.steps_schema import PerformedSeries, PerformedStep
from gateway.model import StepState

SeriesCounts = Mapping[tuple[str, str], int]
"""How many instances a step names, by (Study Instance UID, Series Instance UID)."""


def create(
    session: Session,
    sop_instance_uid: str,
    attributes: Mapping[str, Any],
    *,
    calling_ae_title: str,
    series: SeriesCounts,
    now: datetime,
) -> bool:
    """Record a step that begins; False if it is known already."""
    if session.scalar(
        select(PerformedStep.id).where(PerformedStep.sop_instance_uid == sop_instance_uid)
    ):
        return False
    step = PerformedStep(
        sop_instance_uid=sop_instance_uid,
        calling_ae_title=calling_ae_title,
        state=StepState.IN_PROGRESS,
        attributes=dict(attributes),
        created_at=now,
        state_changed_at=now,
    )
    session.add(step)
    session.flush()
    _name(session, step, series)
    _tell(session, step, "created", "", now)
    return True


def modify(
    session: Session,
    sop_instance_uid: str,
    attributes: Mapping[str, Any],
    *,
    state: StepState,
    series: SeriesCounts,
    now: datetime,
) -> None:
    """Change a step that is under way. series: what it names now; empty changes nothing of it.

    Raises NotFound; TransitionRefused if it was ended before.
    """
    step = session.scalar(
        select(PerformedStep).where(PerformedStep.sop_instance_uid == sop_instance_uid)
    )
    if step is None:
        raise NotFound(f"There is no performed procedure step {sop_instance_uid}.")
    before = step.state
    if before is not StepState.IN_PROGRESS:
        raise TransitionRefused(f"The performed procedure step is {before} and stays as it is.")
    step.attributes = {**step.attributes, **attributes}
    step.state = state
    if series:
        studies = {study for study, _ in series}
        session.execute(
            delete(PerformedSeries).where(
                PerformedSeries.step_id == step.id,
                PerformedSeries.study_instance_uid.in_(studies),
                PerformedSeries.series_instance_uid != "",
            )
        )
        _name(session, step, series)
    if state is not before:
        step.state_changed_at = now
        _tell(session, step, "ended", before, now)


def studies_of(session: Session, sop_instance_uid: str) -> list[str]:
    """Return the Study Instance UIDs a step is about. Raises NotFound."""
    step_id = session.scalar(
        select(PerformedStep.id).where(PerformedStep.sop_instance_uid == sop_instance_uid)
    )
    if step_id is None:
        raise NotFound(f"There is no performed procedure step {sop_instance_uid}.")
    return list(
        session.scalars(
            select(PerformedSeries.study_instance_uid)
            .where(PerformedSeries.step_id == step_id)
            .distinct()
        )
    )


def _name(session: Session, step: PerformedStep, series: SeriesCounts) -> None:
    known = {
        (row.study_instance_uid, row.series_instance_uid)
        for row in session.scalars(
            select(PerformedSeries).where(PerformedSeries.step_id == step.id)
        )
    }
    session.add_all(
        PerformedSeries(
            step_id=step.id,
            study_instance_uid=study_uid,
            series_instance_uid=series_uid,
            instance_count=count,
        )
        for (study_uid, series_uid), count in series.items()
        if (study_uid, series_uid) not in known
    )
    session.flush()


def _tell(session: Session, step: PerformedStep, kind: str, before: str, now: datetime) -> None:
    """Write the event, for each study it is about that is known already."""
    uids = studies_of(session, step.sop_instance_uid)
    ids: list[int | None] = []
    ids += session.scalars(select(Study.id).where(Study.study_instance_uid.in_(uids)))
    for study_id in ids or [None]:
        events.append(
            session, "performed step", step.id, kind, now=now, study_id=study_id,
            from_state=before, to_state=step.state, detail=f"by {step.calling_ae_title}",
        )  # fmt: skip
