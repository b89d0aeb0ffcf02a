"""`study`: what was received and what became of it."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from gateway.cli import opening
from gateway.cli.tables import AsJson, show, show_one
from gateway.ledger.queries import corrections as correction_queries
from gateway.ledger.queries import studies as queries
from gateway.ledger.queries.studies import StudyLine
from gateway.ledger.schema import Correction, Study
from gateway.ledger.transitions import registry
from gateway.ledger.transitions import studies as transitions
from gateway.model import SettleRule, StudyState, TextOrigin

app = typer.Typer(help="Studies.", no_args_is_help=True)

Reason = Annotated[str, typer.Option(help="Why, in a few words; kept with the correction.")]
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
        identity = {
            **_text_of(study),
            **_corrections(correction_queries.history(session, study.id)),
        }
    about = {**row, "reason": study.reason, "remedy": study.remedy, **identity, **report}
    show_one(about, as_json=as_json)


@app.command("correct")
def correct_study(
    study_instance_uid: StudyUid,
    reason: Reason,
    patient_name: Annotated[
        str | None, typer.Option(help="Family^Given=Ideographic=Phonetic.")
    ] = None,
    patient_id: Annotated[str | None, typer.Option()] = None,
    birth_date: Annotated[str | None, typer.Option(help="YYYYMMDD.")] = None,
    sex: Annotated[str | None, typer.Option(help="M, F or O.")] = None,
    accession_number: Annotated[str | None, typer.Option()] = None,
) -> None:
    """Correct whose study it is.

    It is made and sent again under the corrected identity; destinations that have it under the
    old one get a rejection note.
    """
    wanted = {
        "PatientName": patient_name,
        "PatientID": patient_id,
        "PatientBirthDate": birth_date,
        "PatientSex": sex,
        "AccessionNumber": accession_number,
    }
    from gateway import correcting  # pydicom, which only the corrections need

    settings = opening.settings()
    ledger = opening.ledger(settings)
    with ledger.reading() as session:
        study_id = queries.by_uid(session, study_instance_uid).id
    given = {keyword: value for keyword, value in wanted.items() if value is not None}
    warrant = correcting.Warrant(opening.ACTOR, reason, opening.now())
    changed = correcting.correct_study(ledger, settings.tenant, study_id, given, warrant)
    typer.echo(f"Corrected: {', '.join(changed)}. It is made and sent again from here on.")


@app.command("merge")
def merge_patient(from_patient_id: str, into_patient_id: str, reason: Reason) -> None:
    """Give every study of one Patient ID to another.

    Name, birth date and sex become those of the other patient's latest study here.
    """
    from gateway import correcting

    settings = opening.settings()
    warrant = correcting.Warrant(opening.ACTOR, reason, opening.now())
    count = correcting.merge_patient(
        opening.ledger(settings), settings.tenant, from_patient_id, into_patient_id, warrant
    )
    typer.echo(f"{count} studies given over. They are made and sent again from here on.")


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


def _text_of(study: Study) -> dict[str, Any]:
    """Return how the text of a study was read, and what of it is doubtful."""
    said = {**asdict(TextOrigin()), **study.text_origin}
    return {
        "declared_charset": said["declared"] or "none",
        "read_as": f"{said['read_as']}, {said['because']}",
        **{f"doubt_{keyword}": doubt for keyword, doubt in said["doubts"].items()},
    }


def _corrections(history: Sequence[Correction]) -> dict[str, Any]:
    return {
        f"correction_{number}": f"{one.at:%Y-%m-%d %H:%M} {one.actor}:"
        f" {', '.join(sorted(one.changes))} ({one.reason})"
        for number, one in enumerate(history, start=1)
    }


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
