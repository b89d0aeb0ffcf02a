"""One study: its path, its completeness, its pictures, and what an admin may do to it."""

from typing import Any

from flask import Blueprint, url_for
from flask.typing import ResponseReturnValue

from gateway.ledger.queries import corrections, registry
from gateway.ledger.queries import studies as queries
from gateway.ledger.queries import transfers as transfer_queries
from gateway.ledger.schema import Derived
from gateway.ledger.transitions import registry as registry_transitions
from gateway.ledger.transitions import studies as transitions
from gateway.ledger.transitions import transfers as transfer_transitions
from gateway.model import DerivedRole, SettleRule, StudyState, TransferState
from gateway.web import typed
from gateway.web.answers import done, page
from gateway.web.completeness import judge
from gateway.web.reach import gateway, now
from gateway.web.signin import actor
from gateway.web.steps import Facts, path

blueprint = Blueprint("study", __name__, url_prefix="/studies")

EVENTS_SHOWN = 200
CLOSABLE = (StudyState.RECEIVING,)
RETRIABLE = (StudyState.FAILED, StudyState.READY)
STOPPED = (TransferState.FAILED, TransferState.CANCELLED, TransferState.PAUSED)
DELIVERED = (TransferState.SENT, TransferState.COMMITTED, TransferState.VERIFIED)

_FRAGMENTS = {
    name: f"study/_{name}.html"
    for name in ("head", "progress", "summary", "deliveries", "contents", "events")
}


@blueprint.get("/<row:study_id>")
def show(study_id: int) -> ResponseReturnValue:
    return page("study.html", fragments=_FRAGMENTS, **_content(study_id))


@blueprint.post("/<row:study_id>/close")
def close(study_id: int) -> ResponseReturnValue:
    with gateway().ledger.transaction() as session:
        transitions.settle(session, study_id, SettleRule.OPERATOR, now=now(), actor=actor())
    return done("The study is closed; it is wrapped next.", _address(study_id))


@blueprint.post("/<row:study_id>/retry")
def retry(study_id: int) -> ResponseReturnValue:
    with gateway().ledger.transaction() as session:
        transitions.retry(session, study_id, now=now(), actor=actor())
    return done("The study is made again from its frames.", _address(study_id))


@blueprint.post("/<row:study_id>/send")
def send(study_id: int) -> ResponseReturnValue:
    name = typed.text("destination", 64)
    with gateway().ledger.transaction() as session:
        transfer_id = registry_transitions.send_now(
            session, study_id, name, now=now(), actor=actor()
        )
        state = transfer_queries.line(session, transfer_id).transfer.state
        if state in STOPPED:
            transfer_transitions.retry(session, transfer_id, now=now(), actor=actor())
    if state in DELIVERED:
        return done(f"{name} has this study already.", _address(study_id))
    return done(f"The study goes to {name}.", _address(study_id))


def _address(study_id: int) -> str:
    return url_for("study.show", study_id=study_id)


def _content(study_id: int) -> dict[str, Any]:
    reach = gateway()
    with reach.ledger.reading() as session:
        line = queries.line(session, study_id)
        study = line.study
        derived = queries.derived(session, study_id)
        events = queries.events(session, study_id, limit=EVENTS_SHOWN)
        transfers = transfer_queries.lines(session, study_id=study_id, limit=200)
        current = [one for one in transfers if one.transfer.revision == study.revision]
        key_frames = queries.key_frames(session, study)
        content = {
            "line": line,
            "study": study,
            "transfers": transfers,
            "events": events,
            "derived": [one for one in derived if one.role is not DerivedRole.KEY_FRAME],
            "key_frames": [(one, _version(derived, one.derived_id)) for one in key_frames],
            "contact_sheet": _first(derived, DerivedRole.CONTACT_SHEET),
            "packs": queries.packs(session, study_id),
            "quarantine": queries.quarantine(session, study_instance_uid=study.study_instance_uid),
            "destinations": registry.destinations(session),
            "corrections": corrections.history(session, study_id),
        }
        facts = Facts(line, derived, current, events, reach.settings.settle_s)
    return {
        **content,
        "steps": path(facts),
        "completeness": judge(study.report),
        "closable": study.state in CLOSABLE,
        "retriable": study.state in RETRIABLE,
    }


def _version(derived: list[Derived], derived_id: int) -> str:
    """Return what changes when the picture does; it makes the picture's address cacheable."""
    return next((one.digest[:12] for one in derived if one.id == derived_id), "")


def _first(derived: list[Derived], role: DerivedRole) -> Derived | None:
    return next((one for one in derived if one.role is role), None)
