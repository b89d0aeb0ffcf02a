"""Transfers: what goes where, why it does not, and what an admin can do about it."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue

from gateway.ledger.queries import studies as study_queries
from gateway.ledger.queries import transfers as queries
from gateway.ledger.transitions import transfers as transitions
from gateway.model import TRANSFER_TRANSITIONS, ItemState, TransferState
from gateway.web import typed
from gateway.web.answers import done, page
from gateway.web.reach import gateway, now
from gateway.web.signin import actor

blueprint = Blueprint("transfers", __name__, url_prefix="/transfers")

PAGE_ROWS = 50
ITEMS_SHOWN = 500

ACTIONS: dict[str, tuple[Callable[..., None], str]] = {
    "retry": (transitions.retry, "It is tried again now."),
    "resume": (transitions.retry, "It goes on."),
    "pause": (transitions.pause, "It is paused."),
    "cancel": (transitions.cancel, "It is cancelled; what was delivered stays delivered."),
}


@blueprint.get("/")
def index() -> ResponseReturnValue:
    wanted = request.args.get("state", "")
    state = TransferState(wanted) if wanted in tuple(TransferState) else None
    number = typed.page_number()
    with gateway().ledger.reading() as session:
        by_state = queries.count_by_state(session)
        lines = queries.lines(
            session, state=state, limit=PAGE_ROWS, offset=(number - 1) * PAGE_ROWS
        )
    total = sum(by_state.values()) if state is None else by_state.get(state, 0)
    return page(
        "transfers.html",
        fragments={"transfers": "transfers/_live.html"},
        rows=[(line, actions_for(line.transfer.state)) for line in lines],
        by_state=by_state,
        states=list(TransferState),
        state=state,
        number=number,
        page_rows=PAGE_ROWS,
        total=total,
        transfer_count=sum(by_state.values()),
    )


@blueprint.get("/<row:transfer_id>")
def show(transfer_id: int) -> ResponseReturnValue:
    return page(
        "transfer.html", fragments={"transfer": "transfers/_one.html"}, **_content(transfer_id)
    )


@blueprint.post("/<row:transfer_id>/<any(retry, resume, pause, cancel):action>")
def act(transfer_id: int, action: str) -> ResponseReturnValue:
    transition, message = ACTIONS[action]
    with gateway().ledger.transaction() as session:
        transition(session, transfer_id, now=now(), actor=actor())
    return done(message, url_for("transfers.show", transfer_id=transfer_id))


def actions_for(state: TransferState) -> list[str]:
    """Return the actions that a transfer in this state allows; the state table says which."""
    arrows = TRANSFER_TRANSITIONS[state]
    found = []
    if state is TransferState.PAUSED:
        found.append("resume")
    elif state in (TransferState.FAILED, TransferState.CANCELLED, TransferState.PENDING):
        found.append("retry")
    if TransferState.PAUSED in arrows:
        found.append("pause")
    if TransferState.CANCELLED in arrows:
        found.append("cancel")
    return found


def _content(transfer_id: int) -> dict[str, Any]:
    with gateway().ledger.reading() as session:
        line = queries.line(session, transfer_id)
        items = queries.items(session, transfer_id)
        events = study_queries.events(session, line.study.id, limit=1000)
        commitments = queries.commitments(session, transfer_id)
    failed = [one for one in items if one.item.state is ItemState.FAILED]
    others = [one for one in items if one.item.state is not ItemState.FAILED]
    return {
        "line": line,
        "items": [*failed, *others][:ITEMS_SHOWN],
        "items_left_out": max(0, len(items) - ITEMS_SHOWN),
        "commitments": commitments,
        "actions": actions_for(line.transfer.state),
        "events": [
            one
            for one in events
            if one.subject == "transfer" and one.subject_id == str(transfer_id)
        ],
    }
