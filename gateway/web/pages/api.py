"""The JSON interface, first version: what the pages show, for programs with a session."""

from typing import Any

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from gateway.ledger.queries import studies as study_queries
from gateway.ledger.queries import transfers as transfer_queries
from gateway.ledger.queries.studies import StudyLine
from gateway.ledger.queries.transfers import TransferLine
from gateway.model import TransferState
from gateway.web.pages.studies import state_of
from gateway.web.reach import gateway
from gateway.web.typed import ROW_ID_MAX

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")

LIMIT_MAX = 200


@blueprint.get("/studies")
def studies() -> ResponseReturnValue:
    """List studies. An address holds no patient data: they are asked for by state only."""
    state = state_of(request.args.get("state", ""))
    limit, offset = _window()
    with gateway().ledger.reading() as session:
        lines = study_queries.lines(session, state=state, limit=limit, offset=offset)
        total = study_queries.count(session, state=state)
    return jsonify(total=total, studies=[_study(line) for line in lines])


@blueprint.get("/studies/<row:study_id>")
def study(study_id: int) -> ResponseReturnValue:
    with gateway().ledger.reading() as session:
        line = study_queries.line(session, study_id)
        derived = study_queries.derived(session, study_id)
        transfers = transfer_queries.lines(session, study_id=study_id, limit=LIMIT_MAX)
    return jsonify(
        **_study(line),
        report=line.study.report,
        derived=[
            {
                "role": one.role,
                "number": one.number,
                "sop_class_uid": one.sop_class_uid,
                "sop_instance_uid": one.sop_instance_uid,
                "frame_count": one.frame_count,
                "size_bytes": one.size_bytes,
                "sha256": one.digest,
            }
            for one in derived
        ],
        transfers=[_transfer(one) for one in transfers],
    )


@blueprint.get("/transfers")
def transfers() -> ResponseReturnValue:
    wanted = request.args.get("state", "")
    state = TransferState(wanted) if wanted in tuple(TransferState) else None
    limit, offset = _window()
    with gateway().ledger.reading() as session:
        lines = transfer_queries.lines(session, state=state, limit=limit, offset=offset)
        by_state = transfer_queries.count_by_state(session)
    total = sum(by_state.values()) if state is None else by_state.get(state, 0)
    return jsonify(total=total, transfers=[_transfer(line) for line in lines])


def _window() -> tuple[int, int]:
    limit = request.args.get("limit", 50, type=int)
    offset = request.args.get("offset", 0, type=int)
    return min(max(limit, 1), LIMIT_MAX), min(max(0, offset), ROW_ID_MAX)


def _study(line: StudyLine) -> dict[str, Any]:
    study = line.study
    return {
        "id": study.id,
        "study_instance_uid": study.study_instance_uid,
        "state": study.state,
        "revision": study.revision,
        "reason": study.reason,
        "remedy": study.remedy,
        "settle_rule": study.settle_rule,
        "source_ae_title": study.calling_ae_title,
        "patient_id": study.patient_id,
        "patient_name": study.patient_name,
        "accession_number": study.accession_number,
        "study_date": study.study_date,
        "received_count": line.received_count,
        "received_bytes": line.received_bytes,
        "declared_count": study.declared_count,
        "derived_count": line.derived_count,
        "frame_count": line.frame_count,
        "key_frame_count": line.key_frame_count,
        "quarantine_count": line.quarantine_count,
        "received_at": study.received_at.isoformat(),
        "last_received_at": study.last_received_at.isoformat(),
        "state_changed_at": study.state_changed_at.isoformat(),
    }


def _transfer(line: TransferLine) -> dict[str, Any]:
    transfer = line.transfer
    return {
        "id": transfer.id,
        "study_id": line.study.id,
        "study_instance_uid": line.study.study_instance_uid,
        "revision": transfer.revision,
        "destination": line.destination.name,
        "state": transfer.state,
        "reason": transfer.reason,
        "remedy": transfer.remedy,
        "item_count": line.item_count,
        "done_count": line.done_count,
        "size_bytes": line.size_bytes,
        "attempt": transfer.attempt,
        "tries": transfer.tries,
        "next_attempt_at": transfer.next_attempt_at.isoformat(),
        "state_changed_at": transfer.state_changed_at.isoformat(),
    }
