"""Asks a destination to take responsibility for what it was sent (PS3.4 Annex J)."""

import random
import time
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from gateway import log
from gateway.dimse import commitment
from gateway.dimse.association import Association, open_association
from gateway.dimse.commitment import PROPOSAL, REFERENCES_MAX, Reference, Report
from gateway.errors import SendError, StoreRefused
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import transfers as queries
from gateway.ledger.schema import Transfer
from gateway.ledger.transitions import commitments
from gateway.settings import Settings
from gateway.status import ACTION_STATUSES, SUCCESS, describe, in_words
from workers.deliver import retry
from workers.deliver.dimse_channel import commitment_peer, timeouts_of
from workers.deliver.progress import Clock

LISTEN_S = 3.0
"""How long a report may take on the requesting association. Later ones come to our listener."""
_LOOK_S = 0.2
"""Between looks whether our listener has got it already: most peers report there."""

_logger = log.get(__name__)


def request_commitment(
    settings: Settings,
    ledger: Ledger,
    transfer_id: int,
    *,
    now: Clock,
    listen_s: float = LISTEN_S,
) -> None:
    """Ask about every instance of a sent transfer that is not committed yet.

    1. Record the requests, at most REFERENCES_MAX instances each: a report may be faster than
       the answer to the request.
    2. Send them over one association, and listen there for listen_s.
    3. Take back those the destination did not accept; they are asked again after a pause, or
       after commitment_timeout_s if trying sooner cannot help.

    Raises StaleTransition if the transfer is not sent, or waits for a report already.
    """
    with ledger.reading() as session:
        line = queries.line(session, transfer_id)
        references = [Reference(*row) for row in queries.uncommitted(session, transfer_id)]
    if not references:
        with ledger.transaction() as session:
            commitments.confirm(session, transfer_id, now=now())
        return
    # Step 1.
    requests = {
        f"2.25.{uuid.uuid4().int}": references[start : start + REFERENCES_MAX]
        for start in range(0, len(references), REFERENCES_MAX)
    }
    asked_before = now() - timedelta(seconds=settings.commitment_timeout_s)
    with ledger.transaction() as session:
        commitments.request(
            session, transfer_id, list(requests), asked_before=asked_before, now=now()
        )
    # Step 2.
    peer = commitment_peer(settings, line.destination)
    unanswered, unreported = set(requests), set(requests)

    def take(report: Report) -> int:
        unreported.discard(report.transaction_uid)
        return _record(ledger, report, now())

    try:
        with open_association(peer, [PROPOSAL], timeouts=timeouts_of(settings)) as association:
            for transaction_uid, about in requests.items():
                _ask(association, transaction_uid, about, take)
                unanswered.discard(transaction_uid)
            deadline = time.monotonic() + listen_s
            while unreported and time.monotonic() < deadline:
                if not commitment.listen(association, unreported, take, timeout_s=_LOOK_S):
                    break
                unreported -= _reported_elsewhere(ledger, transfer_id)
    except SendError as error:
        # Step 3.
        _take_back(settings, ledger, line.transfer, unanswered, error, now())


def _take_back(
    settings: Settings,
    ledger: Ledger,
    transfer: Transfer,
    transaction_uids: set[str],
    error: SendError,
    now: datetime,
) -> None:
    _logger.warning("deliver.not-asked", transfer=transfer.id, code=error.code, why=str(error))
    pause = retry.delay_s(transfer.tries + 1, settings, random=random.random())  # noqa: S311
    with ledger.transaction() as session:
        commitments.withdraw(
            session,
            transfer.id,
            transaction_uids,
            error,
            retry_after_s=settings.commitment_timeout_s if error.permanent else pause,
            now=now,
        )


def _ask(
    association: Association,
    transaction_uid: str,
    references: Sequence[Reference],
    take: commitment.OnReport,
) -> None:
    """Send one request. Raises StoreRefused unless it is accepted."""
    status = commitment.request(association, transaction_uid, references, take)
    if status != SUCCESS:
        words = in_words(status, ACTION_STATUSES)
        raise StoreRefused(
            f"{association.peer} refused the Storage Commitment request: {words}.",
            status=status,
            permanent=not describe(status, ACTION_STATUSES).retry,
        )


def _reported_elsewhere(ledger: Ledger, transfer_id: int) -> set[str]:
    with ledger.reading() as session:
        rows = queries.commitments(session, transfer_id)
    return {row.transaction_uid for row in rows if row.reported_at is not None}


def _record(ledger: Ledger, report: Report, now: datetime) -> int:
    with ledger.transaction() as session:
        known = commitments.report(
            session,
            report.transaction_uid,
            committed=report.committed,
            failed=report.failed,
            now=now,
        )
    if not known:
        _logger.warning("deliver.report-unknown", transaction=report.transaction_uid)
    return SUCCESS
