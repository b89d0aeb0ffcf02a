"""The Celery tasks: three lines each, ids only."""

from datetime import UTC, datetime

from workers import steps, summarising, wrapping
from workers import sweep as sweeping
from workers.app import LEDGER, SETTINGS, app
from workers.deliver import commit
from workers.deliver.send import send as deliver


def _now() -> datetime:
    return datetime.now(UTC)


@app.task(name="workers.tasks.sweep")
def sweep() -> None:
    """Look what is due."""
    sweeping.sweep(SETTINGS, LEDGER, _enqueue, now=_now())


@app.task(name="workers.tasks.wrap")
def wrap(study_id: int, attempt: int) -> None:
    """Make multi-frame instances of a study's frames."""
    steps.run_study_step(wrapping.wrap, SETTINGS, LEDGER, study_id, attempt, now=_now)


@app.task(name="workers.tasks.summarise")
def summarise(study_id: int, attempt: int) -> None:
    """Choose key frames and make the summary objects."""
    steps.run_study_step(summarising.summarise, SETTINGS, LEDGER, study_id, attempt, now=_now)


@app.task(name="workers.tasks.send")
def send(transfer_id: int, attempt: int) -> None:
    """Send a transfer's instances."""
    steps.run_transfer_step(deliver, SETTINGS, LEDGER, transfer_id, attempt, now=_now)


@app.task(name="workers.tasks.request_commitment")
def request_commitment(transfer_id: int, attempt: int) -> None:
    """Ask the destination to take responsibility for what it was sent."""
    steps.run_question(commit.request_commitment, SETTINGS, LEDGER, transfer_id, now=_now)


def _enqueue(task: str, row_id: int, attempt: int) -> None:
    app.send_task(f"workers.tasks.{task}", args=(row_id, attempt))
