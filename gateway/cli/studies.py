"""`study`: what was received and what became of it."""

from typing import Annotated, Any

import typer

from gateway.cli import opening
from gateway.cli.tables import AsJson, show, show_one
from gateway.ledger.queries import studies as queries
from gateway.ledger.queries.studies import StudyLine
from gateway.ledger.transitions import registry
from gateway.ledger.transitions import studies as transitions
from gateway.model import SettleRule, StudyState

app = typer.Typer(help="Studies.", no_args_is_help=True)

StudyUid = Annotated[str, typer.Argument(metavar="STUDY_INSTANCE_UID")]


@app.command("list")
def list_studies(
    search: Annotated[str, typer.Option(help="Part of a name, or an id's beginning.")] = "",
    state: StudyState | None = None,
    limit: int = 50,
    as_json: AsJson = False,
) -> None:
    """List studies, the latest first."""
    with opening.current_ledger().reading() as session:
        rows = [
            _row(line) for line in queries.lines(session, search=search, state=state, limit=limit)
        ]
    show(rows, as_json=as_json, empty="No study yet.")


@app.command("show")
def show_study(study_instance_uid: StudyUid, as_json: AsJson = False) -> None:
    """Show one study with what was counted about it."""
    with opening.current_ledger().reading() as session:
        study = queries.by_uid(session, study_instance_uid)
        row = _row(queries.line(session, study.id))
        report = {key: value for key, value in study.report.items() if key != "gaps"}
    show_one({**row, "reason": study.reason, "remedy": study.remedy, **report}, as_json=as_json)


@app.command("close")
def close_study(study_instance_uid: StudyUid) -> None:
    """Declare a study complete, without waiting for evidence."""
    with opening.current_ledger().transaction() as session:
        study = queries.by_uid(session, study_instance_uid)
        transitions.settle(
            session, study.id, SettleRule.OPERATOR, now=opening.now(), actor=opening.ACTOR
        )
    typer.echo("Closed: it is wrapped and delivered from here on.")


@app.command("retry")
def retry_study(study_instance_uid: StudyUid) -> None:
    """Start the steps of a failed or finished study again."""
    with opening.current_ledger().transaction() as session:
        study = queries.by_uid(session, study_instance_uid)
        transitions.retry(session, study.id, now=opening.now(), actor=opening.ACTOR)
    typer.echo("Started again.")


@app.command("send")
def send_study(study_instance_uid: StudyUid, destination: str) -> None:
    """Send a ready study to a destination no route names."""
    with opening.current_ledger().transaction() as session:
        study = queries.by_uid(session, study_instance_uid)
        registry.send_now(session, study.id, destination, now=opening.now(), actor=opening.ACTOR)
    typer.echo(f"On its way to {destination}.")


def _row(line: StudyLine) -> dict[str, Any]:
    return {
        "study_instance_uid": line.study.study_instance_uid,
        "patient_id": line.study.patient_id,
        "state": line.study.state,
        "revision": line.study.revision,
        "received": line.received_count,
        "wrapped": line.frame_count,
        "key_frames": line.key_frame_count,
        "quarantined": line.quarantine_count,
        "transfers": ", ".join(one.state for one in line.transfers) or "none",
        "last_received_at": line.study.last_received_at,
    }
