"""C-FIND as an SCP (PS3.4 C.4.1)."""

from gateway import log
from gateway.errors import GatewayError, QueryInvalid, RequestorGone
from gateway.holdings.held import Holdings
from gateway.holdings.keys import Level
from gateway.holdings.query import Query
from gateway.scp.services import identifier as identifiers
from gateway.scp.services.answer import encode_match
from gateway.scp.services.identifier import PATIENT_ROOT
from gateway.scp.services.negotiated import Negotiated
from gateway.scp.services.operation import Operation
from gateway.status import SUCCESS

PENDING, PENDING_WITHOUT_SOME_KEYS, CANCELLED = 0xFF00, 0xFF01, 0xFE00
LIMIT_REACHED = 0xB001
UNABLE_TO_PROCESS = 0xC000

_logger = log.get(__name__)


def serve(operation: Operation, encoded: bytes, held: Holdings, negotiated: Negotiated) -> None:
    """Answer a C-FIND request. Raises RequestorGone."""
    count = 0
    try:
        identifier = identifiers.read(
            encoded,
            operation.sop_class_uid,
            implicit=operation.implicit,
            relational=negotiated.relational,
            retrieving=False,
        )
        top = Level.PATIENT if operation.sop_class_uid in PATIENT_ROOT else Level.STUDY
        pending = PENDING_WITHOUT_SOME_KEYS if identifier.unsupported else PENDING
        query = Query(held.settings, held.ledger, held.headers, identifier, negotiated.combined)
        for value in query.matches():
            operation.check()
            if operation.is_cancelled:
                operation.respond(CANCELLED)
                break
            if count >= held.settings.query_matches_max:
                operation.respond(LIMIT_REACHED, comment=f"More than {count} matches.")
                break
            match = encode_match(
                identifier,
                value,
                ae_title=held.settings.ae_title,
                top=top,
                implicit=operation.implicit,
            )
            operation.respond(pending, identifier=match)
            count += 1
        else:
            operation.respond(SUCCESS)
    except RequestorGone:
        raise
    except GatewayError as error:
        status = getattr(error, "status", UNABLE_TO_PROCESS)
        _logger.warning(
            "query.failed", calling=operation.calling_ae_title, code=error.code, error=str(error)
        )
        operation.respond(status, comment=_comment(error))
        return
    _logger.info("query.answered", calling=operation.calling_ae_title, matches=count)


def _comment(error: GatewayError) -> str:
    return str(error) if isinstance(error, QueryInvalid) else error.code
