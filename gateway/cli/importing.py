"""`import` and `inbox`: studies that come as files."""

import json
import signal
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway import log
from gateway.cli import opening
from gateway.cli.alone import alone
from gateway.cli.tables import AsJson
from gateway.errors import ConfigurationError, GatewayError
from gateway.importing import order, run
from gateway.importing.clock import TimeFrom
from gateway.importing.keeping import AE_TITLE
from gateway.importing.options import Options
from gateway.importing.report import Report
from gateway.settings import Settings

_errors = Console(stderr=True)


def import_(
    path: Annotated[Path, typer.Argument(help="Folder, ZIP, video file or DICOM medium.")],
    patient_id: str = "",
    patient_name: Annotated[str, typer.Option(help="Family^Given.")] = "",
    patient_birth_date: str = "",
    patient_sex: str = "",
    accession_number: str = "",
    study_uid: Annotated[str, typer.Option(help="Study Instance UID, if one is given.")] = "",
    study_date: str = "",
    study_time: Annotated[str, typer.Option(help="What elapsed times count from.")] = "",
    study_description: str = "",
    fps: Annotated[float, typer.Option(min=0, help="Frames a second.")] = 0,
    times: Annotated[Path | None, typer.Option(help="CSV with a file and a time column.")] = None,
    time_from: Annotated[TimeFrom, typer.Option(help="Where times come from.")] = TimeFrom.AUTO,
    time_pattern: Annotated[
        str, typer.Option(help="Regular expression with groups year, month, day, hour, ...")
    ] = "",
    order_file: Annotated[
        Path | None, typer.Option("--order", help="JSON file with these values.")
    ] = None,
    worklist_at: Annotated[
        str, typer.Option("--worklist", metavar="HOST:PORT:AE_TITLE", help="Ask it for the order.")
    ] = "",
    source_ae_title: Annotated[str, typer.Option(help="Whose routes the study takes.")] = AE_TITLE,
    likely_accession_number: Annotated[str, typer.Option(hidden=True)] = "",
    as_json: AsJson = False,
) -> None:
    """Import a study that lies in files. Run it again, and nothing is stored twice.

    Exit code 0: everything is in. 1: something was refused or cannot be shown; the summary says
    what. 2: nothing could be done.
    """
    settings = opening.settings()
    log.configure(settings, "import")
    stated = {
        "patient_id": patient_id, "patient_name": patient_name,
        "patient_birth_date": patient_birth_date, "patient_sex": patient_sex,
        "accession_number": accession_number, "study_instance_uid": study_uid,
        "study_date": study_date, "study_time": study_time,
        "study_description": study_description, "fps": fps,
    }  # fmt: skip
    try:
        known = order.checked(stated)
        if order_file is not None:
            known = order.over(known, order.from_json(_bytes_of(order_file)))
        options = Options(
            order=known,
            listed=_lookup(settings, worklist_at),
            likely_accession_number=likely_accession_number,
            time_from=time_from,
            time_list=None if times is None else _bytes_of(times),
            time_pattern=time_pattern,
            ae_title=source_ae_title,
        )
        report = _run(settings, path, options, quiet=as_json)
    except GatewayError as error:
        if as_json:
            typer.echo(json.dumps(_as_json(error)))
            raise typer.Exit(2) from error
        raise
    if as_json:
        typer.echo(json.dumps(report.as_json(), ensure_ascii=False))
    else:
        typer.echo("\n".join(report.in_words()))
    if not report.is_whole:
        raise typer.Exit(1)


def inbox() -> None:
    """Watch the folder CAPSULE_INBOX and import what is dropped there, until Ctrl-C."""
    from gateway.importing.inbox import Inbox

    settings = opening.settings()
    log.configure(settings, "inbox")
    if not settings.inbox:
        raise ConfigurationError("CAPSULE_INBOX: no folder is named that could be watched.")
    opening.ledger(settings).dispose()
    Inbox(settings, now=lambda: datetime.now(UTC)).watch(_stop_on_signals())


def _run(settings: Settings, path: Path, options: Options, *, quiet: bool) -> Report:
    gateway = run.Gateway(settings, opening.ledger(settings))
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    stop = _stop_on_signals(only_once=True)
    try:
        with Progress(*columns, console=_errors, disable=quiet, transient=True) as bars:
            bar = bars.add_task("importing", total=None)
            watch = run.Watch(
                progress=lambda done, total: bars.update(bar, completed=done, total=total or None),
                waiting=lambda: bars.update(bar, description="waiting for another import"),
                stopping=stop.is_set,
            )
            return run.import_path(gateway, path, options, watch)
    finally:
        gateway.ledger.dispose()


def _stop_on_signals(*, only_once: bool = False) -> threading.Event:
    """Return an event that Ctrl-C and SIGTERM set. only_once: the next one kills."""
    stop = threading.Event()

    def handle(number: int, _frame: object) -> None:
        stop.set()
        if only_once:
            signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return stop


def _lookup(settings: Settings, address: str) -> Any:
    if not address and not settings.worklist:
        return None
    from gateway.importing import worklist  # pynetdicom, which only this needs

    peer = worklist.peer_of(address or settings.worklist, calling_ae_title=settings.ae_title)
    return lambda accession_number: worklist.look_up(peer, accession_number)


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path.name} cannot be read: {error.strerror}.") from error


def _as_json(error: GatewayError) -> dict[str, Any]:
    return {
        "error": error.code,
        "permanent": error.permanent,
        "reason": str(error),
        "remedy": error.remedy,
    }


import_app, inbox_app = alone(import_), alone(inbox)
