"""The outermost frame of every task: what a failure of a step does to its row.

A stale claim returns quietly, a permanent error fails the row, anything else is tried again
after a pause, and the ledger's count of tries puts an end to what never succeeds.
"""

import random
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from gateway import log
from gateway.errors import GatewayError, LedgerUnavailable, StaleTransition
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import studies as study_queries
from gateway.ledger.queries import transfers as transfer_queries
from gateway.ledger.transitions import studies, transfers
from gateway.settings import Settings
from workers.deliver import retry

Clock = Callable[[], datetime]

_logger = log.get(__name__)


class Step(Protocol):
    def __call__(
        self, settings: Settings, ledger: Ledger, row_id: int, attempt: int, /, *, now: Clock
    ) -> None: ...


class Question(Protocol):
    def __call__(
        self, settings: Settings, ledger: Ledger, row_id: int, /, *, now: Clock
    ) -> None: ...


class Unexpected(GatewayError):
    """A mistake of ours. Tried again, because the next version or a calmer machine may do it."""

    code = "unexpected"
    permanent = False
    remedy = "Please report it with the gateway's log; it is tried again by itself."


def run_study_step(
    step: Step, settings: Settings, ledger: Ledger, study_id: int, attempt: int, *, now: Clock
) -> None:
    """Run wrap or summarise under a claim and record how it failed, if it did."""
    error = _failure(step, settings, ledger, study_id, attempt, now=now)
    if error is None:
        return
    try:
        with ledger.reading() as session:
            tries = study_queries.get(session, study_id).tries
        delay = retry.delay_s(tries, settings, random=random.random())  # noqa: S311
        with ledger.transaction() as session:
            studies.step_failed(session, study_id, attempt, error, retry_after_s=delay, now=now())
    except (StaleTransition, LedgerUnavailable):
        return  # the lease runs out and the sweep claims it again


def run_transfer_step(
    step: Step, settings: Settings, ledger: Ledger, transfer_id: int, attempt: int, *, now: Clock
) -> None:
    """Run send under a claim and record how it failed, if it did."""
    error = _failure(step, settings, ledger, transfer_id, attempt, now=now)
    if error is None:
        return
    try:
        with ledger.reading() as session:
            tries = transfer_queries.line(session, transfer_id).transfer.tries
        delay = retry.delay_s(tries, settings, random=random.random())  # noqa: S311
        with ledger.transaction() as session:
            transfers.send_failed(
                session, transfer_id, attempt, error,
                attempts_max=settings.attempts_max, retry_after_s=delay, now=now(),
            )  # fmt: skip
    except (StaleTransition, LedgerUnavailable):
        return


def run_question(
    ask: Question, settings: Settings, ledger: Ledger, transfer_id: int, *, now: Clock
) -> None:
    """Ask a destination something. It records its own failures; the sweep asks again."""

    def step(
        settings: Settings, ledger: Ledger, row_id: int, _attempt: int, /, *, now: Clock
    ) -> None:
        ask(settings, ledger, row_id, now=now)

    step.__name__ = str(getattr(ask, "__name__", ask))
    _failure(step, settings, ledger, transfer_id, 0, now=now)


def _failure(
    step: Step, settings: Settings, ledger: Ledger, row_id: int, attempt: int, *, now: Clock
) -> GatewayError | None:
    """Run a step; returns what went wrong, if it is to be recorded."""
    try:
        step(settings, ledger, row_id, attempt, now=now)
    except StaleTransition as error:
        _logger.info("step.stale", step=_name(step), row=row_id, attempt=attempt, why=str(error))
    except GatewayError as error:
        _logger.error(
            "step.failed", step=_name(step), row=row_id, code=error.code, error=str(error)
        )
        return error
    except Exception as error:  # the outermost frame of a task
        _logger.exception("step.unexpected", step=_name(step), row=row_id)
        return Unexpected(f"{type(error).__name__} in {_name(step)}, see the log.")
    return None


def _name(step: object) -> str:
    return str(getattr(step, "__name__", step))
