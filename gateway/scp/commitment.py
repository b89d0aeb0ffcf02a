"""Storage Commitment results that destinations bring to our listener (PS3.4 J.3.3)."""

from datetime import datetime
from typing import Any

from gateway import log
from gateway.dimse import commitment
from gateway.errors import LedgerError, Undecodable
from gateway.ledger.engine import Ledger
from gateway.ledger.transitions import commitments
from gateway.status import PROCESSING_FAILURE, SUCCESS

_logger = log.get(__name__)


def handle_event_report(ledger: Ledger, event: Any, now: datetime) -> tuple[int, None]:
    """Record what an N-EVENT-REPORT request says; returns its status and no event reply.

    event: pynetdicom's, of EVT_N_EVENT_REPORT.

    Answers Success only when the result is recorded. A result nobody asked for is answered
    with Success too, and logged: we may have taken the request back after waiting in vain, and
    nothing would be gained if the peer sent it again and again. Processing failure while the
    ledger is away: a peer that repeats its report will find us well.
    """
    peer = str(event.assoc.requestor.ae_title).strip()
    if event.event_type not in (commitment.COMPLETE, commitment.FAILURES_EXIST):
        _logger.warning("commitment.event-type", peer=peer, event_type=event.event_type)
        return commitment.NO_SUCH_EVENT_TYPE, None
    try:
        information = event.request.EventInformation
        report = commitment.read_report(
            information.getvalue() if information else b"", str(event.context.transfer_syntax)
        )
        with ledger.transaction() as session:
            known = commitments.report(
                session,
                report.transaction_uid,
                committed=report.committed,
                failed=report.failed,
                now=now,
            )
    except Undecodable as error:
        _logger.warning("commitment.unreadable", peer=peer, error=str(error))
        return commitment.NO_SUCH_ARGUMENT, None
    except LedgerError as error:
        _logger.error("commitment.not-recorded", peer=peer, code=error.code, error=str(error))
        return PROCESSING_FAILURE, None
    _logger.info(
        "commitment.reported" if known else "commitment.unknown",
        peer=peer,
        transaction=report.transaction_uid,
        committed=len(report.committed),
        failed=len(report.failed),
    )
    return SUCCESS, None
