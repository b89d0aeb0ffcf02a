"""The two compare-and-sets under every state change."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, update
from sqlalchemy.orm import Session

from gateway.errors import NotFound, StaleTransition, TransitionRefused
from gateway.ledger import events, search_keys
from gateway.ledger.schema import Study, Transfer
from gateway.model import STUDY_TRANSITIONS, TRANSFER_TRANSITIONS, StudyState, TransferState


def study(session: Session, study_id: int) -> Study:
    """Return the row. Raises NotFound."""
    row = session.get(Study, study_id, populate_existing=True)
    if row is None:
        raise NotFound(f"There is no study {study_id}.")
    return row


def transfer(session: Session, transfer_id: int) -> Transfer:
    """Return the row. Raises NotFound."""
    row = session.get(Transfer, transfer_id, populate_existing=True)
    if row is None:
        raise NotFound(f"There is no transfer {transfer_id}.")
    return row


def move_study(
    session: Session,
    row: Study,
    to_state: StudyState,
    kind: str,
    *,
    now: datetime,
    values: Mapping[str, Any] | None = None,
    detail: str = "",
    actor: str = "gateway",
) -> None:
    """Move a study from the state and attempt `row` shows to `to_state`, and write the event.

    Raises TransitionRefused if the table has no such arrow, StaleTransition if the row moved on.
    """
    from_state, attempt = row.state, row.attempt
    if to_state not in STUDY_TRANSITIONS[from_state]:
        raise TransitionRefused(f"A study that is {from_state} cannot become {to_state}.")
    changed = session.execute(
        update(Study)
        .where(Study.id == row.id, Study.state == from_state, Study.attempt == attempt)
        .values(state=to_state, state_changed_at=now, **_with_search_keys(row, values or {}))
    )
    _one(changed, "study", row.id)
    session.refresh(row)
    events.append(
        session,
        "study",
        row.id,
        kind,
        now=now,
        study_id=row.id,
        from_state=from_state,
        to_state=to_state,
        detail=detail,
        actor=actor,
    )


def move_transfer(
    session: Session,
    row: Transfer,
    to_state: TransferState,
    kind: str,
    *,
    now: datetime,
    values: Mapping[str, Any] | None = None,
    detail: str = "",
    actor: str = "gateway",
) -> None:
    """Move a transfer; the same promises as move_study."""
    from_state, attempt = row.state, row.attempt
    if to_state not in TRANSFER_TRANSITIONS[from_state]:
        raise TransitionRefused(f"A transfer that is {from_state} cannot become {to_state}.")
    changed = session.execute(
        update(Transfer)
        .where(Transfer.id == row.id, Transfer.state == from_state, Transfer.attempt == attempt)
        .values(**{"state": to_state, "state_changed_at": now, "associations": 0, **(values or {})})
    )
    _one(changed, "transfer", row.id)
    session.refresh(row)
    events.append(
        session,
        "transfer",
        row.id,
        kind,
        now=now,
        study_id=row.study_id,
        from_state=from_state,
        to_state=to_state,
        detail=detail,
        actor=actor,
    )


def _with_search_keys(row: Study, values: Mapping[str, Any]) -> dict[str, Any]:
    if not set(values) & set(search_keys.SEARCHED):
        return dict(values)
    searched = (values.get(column, getattr(row, column)) for column in search_keys.SEARCHED)
    return {**values, **search_keys.of_study(*searched)}


def _one(result: Any, what: str, row_id: int) -> None:
    if cast("CursorResult[Any]", result).rowcount != 1:
        raise StaleTransition(f"The {what} {row_id} has moved on.")
