"""`demo`: the whole path for real, on this machine, and the proof of it."""

import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from gateway import log
from gateway.cli import opening, proof
from gateway.cli.tables import console
from gateway.errors import GatewayError
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import studies as queries
from gateway.ledger.queries import transfers
from gateway.ledger.queries.studies import StudyLine
from gateway.ledger.queries.transfers import TransferLine
from gateway.ledger.schema import Study
from gateway.ledger.transitions import registry
from gateway.model import StudyState, TransferState
from gateway.settings import Settings
from gateway.simulator.capsule import synthetic_frames
from gateway.simulator.pacs import SimulatedPacs
from gateway.simulator.study import SyntheticStudy
from gateway.simulator.workstation import send_study
from gateway.up import roles, runfile
from gateway.up.supervisor import Supervisor
from gateway.web import accounts

PACS_AE_TITLE, WORKSTATION_AE_TITLE = "DEMOPACS", "CAPSULEWS"
STALL_S = 120
"""Without any visible progress for this long, the demo gives up."""
POLL_S = 0.2
SEED = 7


class DemoStalled(GatewayError):
    code = "demo.stalled"
    remedy = "Look into gateway.log in the demo's data directory (--home keeps it)."


@dataclass
class Timings:
    """Seconds by step, in the order they were taken."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def taking(self, step: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[step] = time.monotonic() - started


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def demo(
    frames: Annotated[int, typer.Option(min=1, help="Frames of the synthetic study.")] = 3000,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running to look at.")] = False,
    home: Annotated[Path | None, typer.Option(help="Data directory; default: a new one.")] = None,
) -> None:
    """Send a synthetic study through the whole gateway and prove that it arrived."""
    directory = home or Path(tempfile.mkdtemp(prefix="capsule-demo-"))
    try:
        succeeded = _run(_settings(directory), frames, keep=keep)
    finally:
        if home is None:
            shutil.rmtree(directory, ignore_errors=True)
    if not succeeded:
        raise typer.Exit(1)


def _settings(home: Path) -> Settings:
    return Settings(
        home=home, dicom_host="127.0.0.1", dicom_port=0, web_port=0, sweep_interval_s=0.5
    )


def _run(settings: Settings, frame_count: int, *, keep: bool) -> bool:
    ledger = opening.ledger(settings, create=True)
    known = accounts.list_users(ledger)
    password = "" if known else accounts.add_user(ledger, "admin", role="admin")
    log_file = settings.home / "gateway.log"
    log.configure(settings, "demo", file=log_file)
    timings = Timings()
    gateway = Supervisor(roles.children(settings), run_dir=settings.run_dir, output=log_file)
    with ExitStack() as running:
        with timings.taking("start"), console.status("Starting broker, listener, workers"):
            running.enter_context(gateway)
        scp = runfile.wait_for(settings.run_dir, roles.SCP, timeout_s=10)
        web = runfile.wait_for(settings.run_dir, roles.WEB, timeout_s=10)
        pacs = running.enter_context(
            SimulatedPacs(
                settings.home / "pacs",
                ae_title=PACS_AE_TITLE,
                report_to=(scp.host, scp.port, settings.ae_title),
            )
        )
        _register(ledger, pacs.port)
        claims = _path(settings, ledger, frame_count, timings, scp_port=scp.port)
        show_proof(claims, timings.seconds, frame_count)
        if keep:
            _wait_for_interrupt(f"http://{web.host}:{web.port}/", password, settings.home)
    return all(claim.true for claim in claims)


def _register(ledger: Ledger, pacs_port: int) -> None:
    with ledger.transaction() as session:
        registry.add_source(
            session, WORKSTATION_AE_TITLE, now=opening.now(), actor="demo",
            description="Simulated capsule workstation",
        )  # fmt: skip
        registry.add_destination(
            session, "Demo hospital PACS", ae_title=PACS_AE_TITLE, host="127.0.0.1",
            port=pacs_port, route_all=True, now=opening.now(), actor="demo",
        )  # fmt: skip


def _path(
    settings: Settings, ledger: Ledger, frame_count: int, timings: Timings, *, scp_port: int
) -> list[proof.Claim]:
    """Send, then watch the ledger until the study is committed; returns the proof."""
    study = SyntheticStudy.from_seed(SEED, declared_count=frame_count)
    with Progress(
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        with timings.taking("receive"):
            bar = progress.add_task("receive", total=frame_count)
            report = send_study(
                study, synthetic_frames(frame_count, seed=SEED),
                host="127.0.0.1", port=scp_port, calling_ae_title=WORKSTATION_AE_TITLE,
                called_ae_title=settings.ae_title,
                progress=lambda count: progress.update(bar, completed=count),
            )  # fmt: skip
        watch = Watch(ledger, study.study_instance_uid)
        with timings.taking("wrap"):
            bar = progress.add_task("wrap", total=frame_count)
            watch.until(
                lambda view: view.study.state in (StudyState.SUMMARISING, StudyState.READY),
                lambda view: progress.update(bar, completed=view.line.frame_count),
            )
        with timings.taking("summarise"):
            bar = progress.add_task("summarise", total=1)
            watch.until(lambda view: view.study.state is StudyState.READY)
            progress.update(bar, completed=1)
        with timings.taking("send"):
            bar = progress.add_task("send", total=None)
            watch.until(
                lambda view: view.delivered((TransferState.SENT, TransferState.COMMITTED)),
                lambda view: progress.update(bar, completed=view.sent, total=view.items),
            )
        with timings.taking("confirm"):
            bar = progress.add_task("confirm", total=1)
            watch.until(lambda view: view.delivered((TransferState.COMMITTED,)))
            progress.update(bar, completed=1)
    return proof.collect(
        ledger, watch.study_id, report, frame_count=frame_count,
        pacs_folder=settings.home / "pacs",
    )  # fmt: skip


@dataclass(frozen=True)
class View:
    """One look at the study and its transfers."""

    line: StudyLine
    transfers: Sequence[TransferLine]

    @property
    def study(self) -> Study:
        return self.line.study

    @property
    def sent(self) -> int:
        return sum(one.done_count for one in self.transfers)

    @property
    def items(self) -> int:
        return sum(one.item_count for one in self.transfers)

    def delivered(self, states: Sequence[TransferState]) -> bool:
        return bool(self.transfers) and all(one.transfer.state in states for one in self.transfers)

    @property
    def failure(self) -> str:
        if self.study.state is StudyState.FAILED:
            return self.study.reason
        failed = [one for one in self.transfers if one.transfer.state is TransferState.FAILED]
        return failed[0].transfer.reason if failed else ""

    @property
    def stamp(self) -> tuple[object, ...]:
        """Changes whenever anything moved."""
        states = [one.transfer.state for one in self.transfers]
        return (self.study.state, self.line.frame_count, self.sent, *states)


class Watch:
    """Looks at the ledger until something is true, as long as anything moves."""

    def __init__(self, ledger: Ledger, study_instance_uid: str) -> None:
        self._ledger = ledger
        with ledger.reading() as session:
            self.study_id = queries.by_uid(session, study_instance_uid).id

    def until(
        self, true: Callable[[View], bool], seen: Callable[[View], None] = lambda _view: None
    ) -> None:
        """Return when `true` says so. Raises DemoStalled if the path fails or stands still."""
        stamp: tuple[object, ...] = ()
        moved_at = time.monotonic()
        while True:
            view = self._look()
            seen(view)
            if true(view):
                return
            if view.failure:
                raise DemoStalled(view.failure)
            if view.stamp != stamp:
                stamp, moved_at = view.stamp, time.monotonic()
            elif time.monotonic() - moved_at > STALL_S:
                raise DemoStalled(f"The study is {view.study.state} and nothing moves any more.")
            time.sleep(POLL_S)

    def _look(self) -> View:
        with self._ledger.reading() as session:
            return View(
                queries.line(session, self.study_id),
                transfers.lines(session, study_id=self.study_id),
            )


def show_proof(
    claims: Sequence[proof.Claim], seconds: Mapping[str, float], frame_count: int
) -> None:
    """Print the proof table and how long each step took."""
    table = Table(title="Proof", title_justify="left", box=None, pad_edge=False)
    for header in ("", "claim", "found"):
        table.add_column(header, header_style="bold")
    for claim in claims:
        mark = "[green]true[/green]" if claim.true else "[red bold]FALSE[/red bold]"
        table.add_row(mark, claim.words, claim.found)
    console.print(table)
    steps = ", ".join(f"{step} {taken:.1f} s" for step, taken in seconds.items())
    total = sum(seconds.values())
    console.print(f"{frame_count:,} frames in {total:.1f} s: {steps}")


def _wait_for_interrupt(address: str, password: str, home: Path) -> None:
    console.print(f"Console  {address}\nSign in  admin, one-time password {password}")
    console.print(f"Data     {home}\nCtrl-C stops it.")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
