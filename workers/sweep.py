"""What is due? The sweep asks the ledger, claims with a lease, and enqueues ids.

It is the only producer of messages. Run twice at once, or not for an hour, it does no harm:
every claim is a compare-and-set.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from gateway import log
from gateway.errors import StaleTransition, TransitionRefused
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import due
from gateway.ledger.queries import studies as study_queries
from gateway.ledger.transitions import commitments, studies, transfers
from gateway.model import StudyState
from gateway.settings import Settings
from workers.settle import evidence

Enqueue = Callable[[str, int, int], None]
"""Called with the task's name, the row's id and the attempt (the fencing token)."""

_logger = log.get(__name__)


def sweep(settings: Settings, ledger: Ledger, enqueue: Enqueue, *, now: datetime) -> int:
    """Claim and enqueue everything that is due; returns how many messages were sent.

    1. Studies that are complete by some evidence are settled.
    2. Studies whose next step waits are claimed for it.
    3. Transfers that are due are claimed.
    4. Sent transfers whose destination should commit are asked about.
    """
    _settle(settings, ledger, now)
    return (
        _studies(settings, ledger, enqueue, now)
        + _transfers(settings, ledger, enqueue, now)
        + _commitments(settings, ledger, enqueue, now)
    )


def _settle(settings: Settings, ledger: Ledger, now: datetime) -> None:
    with ledger.reading() as session:
        candidates = due.receiving(session)
    for facts in candidates:
        rule = evidence(
            facts,
            settle_s=settings.settle_s,
            settle_aborted_s=settings.settle_aborted_s,
            now=now,
        )
        if rule is None:
            continue
        try:
            with ledger.transaction() as session:
                studies.settle(session, facts.study_id, rule, now=now)
        except (StaleTransition, TransitionRefused):
            continue  # an instance arrived in between


def _studies(settings: Settings, ledger: Ledger, enqueue: Enqueue, now: datetime) -> int:
    with ledger.reading() as session:
        ids = due.studies(session, now)
    sent = 0
    for study_id in ids:
        try:
            with ledger.transaction() as session:
                claim = studies.claim(
                    session,
                    study_id,
                    lease_s=settings.lease_s,
                    attempts_max=settings.attempts_max,
                    now=now,
                )
                state = study_queries.get(session, study_id).state
        except StaleTransition:
            continue  # another sweep was faster
        if claim is not None:
            task = "wrap" if state is StudyState.WRAPPING else "summarise"
            enqueue(task, study_id, claim.attempt)
            sent += 1
    return sent


def _transfers(settings: Settings, ledger: Ledger, enqueue: Enqueue, now: datetime) -> int:
    with ledger.reading() as session:
        ids = due.transfers(session, now)
    sent = 0
    for transfer_id in ids:
        try:
            with ledger.transaction() as session:
                claim = transfers.claim(
                    session,
                    transfer_id,
                    lease_s=settings.lease_s,
                    attempts_max=settings.attempts_max,
                    now=now,
                )
        except StaleTransition:
            continue
        if claim is not None:
            enqueue("send", transfer_id, claim.attempt)
            sent += 1
    return sent


def _commitments(settings: Settings, ledger: Ledger, enqueue: Enqueue, now: datetime) -> int:
    asked_before = now - timedelta(seconds=settings.commitment_timeout_s)
    with ledger.reading() as session:
        ids = due.commitments(session, now=now, asked_before=asked_before)
    sent = 0
    for transfer_id in ids:
        try:
            with ledger.transaction() as session:
                attempt = commitments.claim(session, transfer_id, lease_s=settings.lease_s, now=now)
        except StaleTransition:
            continue
        enqueue("request_commitment", transfer_id, attempt)
        sent += 1
    return sent
