"""What performed procedure steps say about whether a study is complete."""

from enum import Enum

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from gateway.ledger.schema import Pack, Series
from gateway.ledger.steps_schema import PerformedSeries, PerformedStep
from gateway.model import PackState, StepState


class StepEvidence(Enum):
    NOTHING = 0
    IN_PROGRESS = 1  # a modality still works on it
    ARRIVED = 2  # it is done, and every series has as many instances as it named


def evidence(session: Session, study_instance_uid: str) -> StepEvidence:
    """Return what the steps of a study say together."""
    steps = {
        row.id: row.state
        for row in session.execute(
            select(PerformedStep.id, PerformedStep.state)
            .join(PerformedSeries, PerformedSeries.step_id == PerformedStep.id)
            .where(PerformedSeries.study_instance_uid == study_instance_uid)
        )
    }
    if StepState.IN_PROGRESS in steps.values():
        return StepEvidence.IN_PROGRESS
    done = [one for one, state in steps.items() if state is StepState.COMPLETED]
    # Counted, not compared by UID: a step may name 100,000 instances, which nobody keeps. What
    # several steps name of one series adds up.
    named = {
        row[0]: int(row[1])
        for row in session.execute(
            select(PerformedSeries.series_instance_uid, func.sum(PerformedSeries.instance_count))
            .where(PerformedSeries.step_id.in_(done), PerformedSeries.series_instance_uid != "")
            .group_by(PerformedSeries.series_instance_uid)
        )
    }
    if not sum(named.values()):
        return StepEvidence.NOTHING
    kept = {
        row[0]: int(row[1])
        for row in session.execute(
            select(Series.series_instance_uid, func.sum(Pack.instance_count))
            .join(Pack, Pack.series_id == Series.id)
            .where(Series.series_instance_uid.in_(named), Pack.state == PackState.SEALED)
            .group_by(Series.series_instance_uid)
        )
    }
    if all(kept.get(uid, 0) >= count for uid, count in named.items()):
        return StepEvidence.ARRIVED
    return StepEvidence.NOTHING
