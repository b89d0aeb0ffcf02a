"""`simulate`: a capsule workstation and a hospital PACS, for trying out and for partners."""

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from gateway.simulator.capsule import synthetic_frames
from gateway.simulator.pacs import SimulatedPacs
from gateway.simulator.study import SyntheticStudy
from gateway.simulator.workstation import send_study

app = typer.Typer(help="Synthetic peers.", no_args_is_help=True)


@app.command("study")
def simulate_study(
    host: str = "127.0.0.1",
    port: int = 11112,
    called: Annotated[str, typer.Option(help="AE title of the receiver.")] = "CAPSULEGW",
    calling: Annotated[str, typer.Option(help="AE title to send as.")] = "CAPSULEWS",
    frames: Annotated[int, typer.Option(min=1)] = 3000,
    seed: int = 1,
) -> None:
    """Send a synthetic study as loose instances, as a capsule workstation does."""
    study = SyntheticStudy.from_seed(seed, declared_count=frames)
    with Progress() as progress:
        bar = progress.add_task("sent", total=frames)
        report = send_study(
            study, synthetic_frames(frames, seed=seed),
            host=host, port=port, calling_ae_title=calling, called_ae_title=called,
            progress=lambda count: progress.update(bar, completed=count),
        )  # fmt: skip
    typer.echo(
        f"{report.acknowledged_count} of {frames} acknowledged in {report.seconds:.1f} s,"
        f" study {report.study_instance_uid}"
    )
    if report.acknowledged_count != frames:
        raise typer.Exit(1)


@app.command("pacs")
def simulate_pacs(
    folder: Path,
    ae_title: str = "PACS",
    host: str = "127.0.0.1",
    port: int = 11113,
    report_to: Annotated[
        str, typer.Option(help="HOST:PORT:AE_TITLE that gets Storage Commitment reports.")
    ] = "",
) -> None:
    """Receive, keep and commit to instances, as a hospital PACS does, until Ctrl-C."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    address = None
    if report_to:
        parts = report_to.split(":")
        if len(parts) != 3 or not parts[1].isdigit():
            raise typer.BadParameter("--report-to is HOST:PORT:AE_TITLE")
        address = (parts[0], int(parts[1]), parts[2])
    with SimulatedPacs(folder, ae_title=ae_title, host=host, port=port, report_to=address) as pacs:
        typer.echo(f"{ae_title} listens on {host}:{pacs.port}, keeps in {folder}")
        stop.wait()
