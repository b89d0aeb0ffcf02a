"""What an import knows and a network does not: how many instances a study has in all."""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from gateway.ledger import events
from gateway.ledger.schema import Pack, Study
from gateway.model import PackState


def declare(
    session: Session, study_instance_uid: str, *, missing_count: int, now: datetime, actor: str
) -> None:
    """Say that what is kept of a study now, and missing_count more, is all of it.

    It settles by that evidence, without waiting. A study nothing was kept of is none.
    """
    study = session.scalar(select(Study).where(Study.study_instance_uid == study_instance_uid))
    if study is None:
        return
    kept = session.scalar(
        select(func.coalesce(func.sum(Pack.instance_count), 0)).where(
            Pack.study_id == study.id, Pack.state == PackState.SEALED
        )
    )
    declared = int(kept or 0) + missing_count
    if study.declared_count == declared:
        return
    study.declared_count = declared
    events.append(
        session, "study", study.id, "declared", now=now, study_id=study.id,
        detail=f"{declared} instances in all, {missing_count} of them not readable", actor=actor,
    )  # fmt: skip
