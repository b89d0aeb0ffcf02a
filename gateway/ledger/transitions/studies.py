"""The life of a study after its instances arrived: settle, claim, wrap, summarise, ready."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from gateway.errors import GatewayError, StaleTransition, TransitionRefused
from gateway.ledger.schema import Derived, KeyFrame, Pack, Study
from gateway.ledger.transitions import moves, planning
from gateway.ledger.transitions.landmarks import FoundLandmark
from gateway.ledger.transitions.landmarks import record as record_landmarks
from gateway.model import (
    SUMMARY_ROLES,
    AssociationOutcome,
    Claim,
    DerivedRole,
    KeyFrameReason,
    PackState,
    SettleRule,
    StudyState,
)

STEP_STATES = (StudyState.WRAPPING, StudyState.SUMMARISING)
"""States in which a worker holds, or should hold, the lease."""


@dataclass(frozen=True)
class DerivedInstance:
    """A made and verified file, ready to be recorded. digest: SHA-256, hexadecimal."""

    role: DerivedRole
    number: int
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    storage_key: str
    size_bytes: int
    frame_count: int
    digest: str
    offset_bytes: int = 0
    first_frame_at: str = ""


@dataclass(frozen=True)
class ChosenFrame:
    """A key frame, told by SOP Instance UIDs; the rows' ids are looked up when recorded."""

    rank: int
    sop_instance_uid: str
    part_sop_instance_uid: str
    frame_number: int
    recording_frame_number: int
    elapsed_ms: int
    reason: KeyFrameReason
    score: float
    neighbour_count: int


def settle(
    session: Session, study_id: int, rule: SettleRule, *, now: datetime, actor: str = "gateway"
) -> None:
    """Declare a study complete, by the rule that said so.

    Raises TransitionRefused while an association still brings instances of it.
    """
    row = moves.study(session, study_id)
    still_open = session.scalar(
        select(func.count())
        .select_from(Pack)
        .where(
            Pack.study_id == study_id,
            or_(Pack.state == PackState.OPEN, Pack.outcome == AssociationOutcome.OPEN),
        )
    )
    if still_open:
        raise TransitionRefused("Instances of this study are arriving right now.")
    moves.move_study(
        session,
        row,
        StudyState.SETTLING,
        "settled",
        now=now,
        actor=actor,
        values={"settle_rule": rule, "tries": 0, "reason": "", "remedy": ""},
        detail=rule.in_words,
    )


def claim(
    session: Session, study_id: int, *, lease_s: float, attempts_max: int, now: datetime
) -> Claim | None:
    """Take the lease on the next step of a study.

    Returns None, and fails the study, when its tries are spent: whatever kills the worker
    must not do so for ever. Raises StaleTransition if nothing is due any more.
    """
    row = moves.study(session, study_id)
    target = {StudyState.SETTLING: StudyState.WRAPPING}.get(row.state, row.state)
    leased = row.lease_until is not None and row.lease_until > now
    if target not in STEP_STATES or (row.state in STEP_STATES and leased):
        raise StaleTransition(f"The study {study_id} is not due.")
    if row.tries >= attempts_max:
        words = f"Given up after {row.tries} attempts. {row.reason}".strip()
        _fail(session, row, words, row.remedy or GatewayError.remedy, now)
        return None
    until = now + timedelta(seconds=lease_s)
    moves.move_study(
        session,
        row,
        target,
        "claimed",
        now=now,
        values={"attempt": row.attempt + 1, "tries": row.tries + 1, "lease_until": until},
        detail=f"attempt {row.tries + 1}",
    )
    return Claim(study_id, row.attempt, until)


def holding(session: Session, study_id: int, attempt: int, state: StudyState) -> Study:
    """Return the study if the claim still holds. Raises StaleTransition if it does not."""
    row = moves.study(session, study_id)
    if row.state is not state or row.attempt != attempt:
        raise StaleTransition(f"The claim {attempt} on study {study_id} is no longer valid.")
    return row


def renew(session: Session, study_id: int, attempt: int, *, lease_s: float, now: datetime) -> None:
    """Extend a lease while work goes on. Raises StaleTransition when it was lost."""
    row = moves.study(session, study_id)
    if row.attempt != attempt or row.state not in STEP_STATES:
        raise StaleTransition(f"The lease on study {study_id} was lost.")
    session.execute(
        update(Study)
        .where(Study.id == study_id, Study.attempt == attempt)
        .values(lease_until=now + timedelta(seconds=lease_s))
    )


def finish_wrap(
    session: Session,
    study_id: int,
    attempt: int,
    instances: Sequence[DerivedInstance],
    *,
    report: Mapping[str, Any],
    now: datetime,
) -> None:
    """Record the wrapped parts of the current revision and hand the study on."""
    row = holding(session, study_id, attempt, StudyState.WRAPPING)
    _replace(session, row, instances, (DerivedRole.FRAMES, DerivedRole.ORIGINAL), now)
    parts = [one for one in instances if one.role is DerivedRole.FRAMES]
    moves.move_study(
        session,
        row,
        StudyState.SUMMARISING,
        "wrapped",
        now=now,
        values={"lease_until": None, "tries": 0, "report": dict(report), "reason": ""},
        detail=f"{sum(one.frame_count for one in parts)} frames in {len(parts)} instances",
    )


def finish_summary(
    session: Session,
    study_id: int,
    attempt: int,
    instances: Sequence[DerivedInstance],
    chosen: Sequence[ChosenFrame],
    *,
    landmarks: Sequence[FoundLandmark] = (),
    promises: Mapping[str, Any] | None = None,
    now: datetime,
) -> None:
    """Record the summary, make the study ready and plan its transfers, in one transaction.

    promises: what the summary says of itself, Study.summary.
    """
    row = holding(session, study_id, attempt, StudyState.SUMMARISING)
    _replace(session, row, instances, SUMMARY_ROLES, now)
    record_landmarks(session, study_id, landmarks)
    rows = session.execute(
        select(Derived.sop_instance_uid, Derived.id).where(Derived.study_id == study_id)
    )
    ids = {row.sop_instance_uid: row.id for row in rows}
    for frame in chosen:
        session.add(
            KeyFrame(
                study_id=study_id,
                revision=row.revision,
                rank=frame.rank,
                derived_id=ids[frame.sop_instance_uid],
                part_derived_id=ids[frame.part_sop_instance_uid],
                frame_number=frame.frame_number,
                recording_frame_number=frame.recording_frame_number,
                elapsed_ms=frame.elapsed_ms,
                reason=frame.reason,
                score=frame.score,
                neighbour_count=frame.neighbour_count,
            )
        )
    moves.move_study(
        session,
        row,
        StudyState.READY,
        "summarised",
        now=now,
        values={
            "lease_until": None,
            "tries": 0,
            "reason": "",
            "remedy": "",
            "summary": dict(promises or {}),
        },
        detail=_summarised(len(chosen), promises or {}),
    )
    planning.plan(session, row, now=now)


def _summarised(key_frame_count: int, promises: Mapping[str, Any]) -> str:
    words = f"{key_frame_count} key frames"
    if "bound_frames" in promises:
        words += f", at least one in any {promises['bound_frames']} frames with a usable one"
    return words


def step_failed(
    session: Session,
    study_id: int,
    attempt: int,
    error: GatewayError,
    *,
    retry_after_s: float,
    now: datetime,
) -> None:
    """Record that a step failed: tried again after a pause, or failed for good."""
    row = moves.study(session, study_id)
    if row.attempt != attempt or row.state not in STEP_STATES:
        raise StaleTransition(f"The claim {attempt} on study {study_id} is no longer valid.")
    if error.permanent:
        _fail(session, row, str(error), error.remedy, now)
        return
    moves.move_study(
        session,
        row,
        row.state,
        "step-failed",
        now=now,
        values={
            "lease_until": now + timedelta(seconds=retry_after_s),
            "reason": str(error),
            "remedy": error.remedy,
        },
        detail=str(error),
    )


def retry(session: Session, study_id: int, *, now: datetime, actor: str) -> None:
    """Let an operator start a failed or finished study's steps again."""
    row = moves.study(session, study_id)
    if row.state not in (StudyState.FAILED, StudyState.READY):
        raise TransitionRefused(f"The study is {row.state}; there is nothing to start again.")
    moves.move_study(
        session,
        row,
        StudyState.SETTLING,
        "retried",
        now=now,
        actor=actor,
        values={
            "revision": row.revision + (row.state is StudyState.READY),
            "tries": 0,
            "settle_rule": SettleRule.OPERATOR,
            "reason": "",
            "remedy": "",
        },
    )


def _fail(session: Session, row: Study, reason: str, remedy: str, now: datetime) -> None:
    moves.move_study(
        session,
        row,
        StudyState.FAILED,
        "failed",
        now=now,
        values={"lease_until": None, "reason": reason, "remedy": remedy},
        detail=reason,
    )


def _replace(
    session: Session,
    study: Study,
    instances: Sequence[DerivedInstance],
    roles: Collection[DerivedRole],
    now: datetime,
) -> None:
    """Make `instances` the current ones of these roles.

    What was made before with the same SOP Instance UID stays as it is (the same UID means
    the same bytes); what is no longer made is superseded in this revision.
    """
    current = {
        one.sop_instance_uid: one
        for one in session.scalars(
            select(Derived).where(Derived.study_id == study.id, Derived.role.in_(roles))
        )
    }
    wanted = {one.sop_instance_uid for one in instances}
    for uid, known in current.items():
        if uid not in wanted and known.superseded_in is None:
            known.superseded_in = study.revision
        elif uid in wanted:
            known.superseded_in = None
    for one in instances:
        if one.sop_instance_uid not in current:
            session.add(
                Derived(study_id=study.id, revision=study.revision, created_at=now, **vars(one))
            )
    session.flush()
