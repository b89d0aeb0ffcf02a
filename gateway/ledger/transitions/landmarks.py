"""Where organs begin: estimated by the summary, corrected by people."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from gateway.errors import TransitionRefused
from gateway.ledger import events
from gateway.ledger.schema import Landmark
from gateway.ledger.transitions import moves
from gateway.model import Organ, StudyState


@dataclass(frozen=True)
class FoundLandmark:
    """recording_frame_number: 1-based. elapsed_ms: since the first frame of the study.
    confidence: 0 to 1."""

    organ: Organ
    recording_frame_number: int
    elapsed_ms: int
    confidence: float


def record(session: Session, study_id: int, found: Sequence[FoundLandmark]) -> None:
    """Replace what was estimated; what a person said stays."""
    session.execute(delete(Landmark).where(Landmark.study_id == study_id, Landmark.edited_by == ""))
    session.flush()
    said = set(session.scalars(select(Landmark.organ).where(Landmark.study_id == study_id)))
    for one in found:
        if one.organ not in said:
            session.add(Landmark(study_id=study_id, **vars(one)))


def correct(
    session: Session,
    study_id: int,
    organ: Organ,
    *,
    recording_frame_number: int,
    elapsed_ms: int,
    now: datetime,
    actor: str,
) -> None:
    """Let a person say where an organ begins, and write the event.

    The summary objects follow when the study is summarised again (studies.retry). Raises
    NotFound, and TransitionRefused for a frame that would put the organs out of order.
    """
    row = moves.study(session, study_id)
    if row.state is not StudyState.READY:
        raise TransitionRefused(f"The study is {row.state}; landmarks are corrected when it is"
                                " ready.")  # fmt: skip
    rows = {
        one.organ: one
        for one in session.scalars(select(Landmark).where(Landmark.study_id == study_id))
    }
    before = rows.get(organ)
    numbers = {one: mark.recording_frame_number for one, mark in rows.items()}
    numbers[organ] = recording_frame_number
    in_order = [numbers[one] for one in Organ if one in numbers]
    if recording_frame_number < 1 or any(one > other for one, other in pairwise(in_order)):
        raise TransitionRefused(f"Frame {recording_frame_number} cannot be the first of the"
                                f" {organ}: organs would be out of order.")  # fmt: skip
    if before is None:
        before = Landmark(study_id=study_id, organ=organ)
        session.add(before)
        was = "not told"
    else:
        was = f"frame {before.recording_frame_number}"
    before.recording_frame_number, before.elapsed_ms = recording_frame_number, elapsed_ms
    before.confidence, before.edited_by, before.edited_at = 1.0, actor, now
    session.flush()
    events.append(
        session,
        "study",
        study_id,
        "landmark-corrected",
        now=now,
        study_id=study_id,
        detail=f"{organ}: {was}, now frame {recording_frame_number}",
        actor=actor,
    )
