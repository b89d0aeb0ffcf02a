"""Letting one association serve queries, retrieves and performed procedure steps.

pynetdicom's association thread takes one request after the other to `_serve_request`. For
C-FIND, C-GET and C-MOVE ours takes the place of that method: pynetdicom's own would send with an
SCU of its own, hold instances in memory and keep no bound on what waits to be written.
"""

from typing import Any

from pynetdicom import evt
from pynetdicom.dimse_primitives import C_FIND, C_GET, C_MOVE

from gateway import log
from gateway.dimse import pdu
from gateway.errors import RequestorGone
from gateway.holdings.held import Holdings
from gateway.scp.services import find, get, move, mpps, negotiated
from gateway.scp.services.negotiated import Negotiated
from gateway.scp.services.operation import Operation
from gateway.scp.services.outgoing import Outgoing

_FIELDS = {C_FIND: pdu.C_FIND_RQ, C_GET: pdu.C_GET_RQ, C_MOVE: pdu.C_MOVE_RQ}
_MODELS = {
    pdu.C_FIND_RQ: negotiated.FIND,
    pdu.C_GET_RQ: negotiated.GET,
    pdu.C_MOVE_RQ: negotiated.MOVE,
}
_logger = log.get(__name__)


class Serving:
    """Takes over serving requests on one association, which is not started yet."""

    def __init__(self, assoc: Any, held: Holdings) -> None:
        self._assoc, self._held = assoc, held
        self._theirs = assoc._serve_request
        self._outgoing = Outgoing(assoc)
        self.is_busy = False
        """While a request is worked on: then it is not the peer whose turn it is to speak."""
        assoc._serve_request = self._serve
        assoc.bind(evt.EVT_SOP_EXTENDED, lambda event: negotiated.answer(event.app_info))
        assoc.bind(evt.EVT_N_CREATE, mpps.create, [held])
        assoc.bind(evt.EVT_N_SET, mpps.modify, [held])

    def _serve(self, message: Any, context_id: int) -> None:
        field = _FIELDS.get(type(message))
        context = self._assoc._accepted_cx.get(context_id)
        if field is None or context is None or not message.is_valid_request:
            self._theirs(message, context_id)
        elif str(context.abstract_syntax) not in _MODELS[field]:
            _logger.warning("service.wrong-context", field=field)
            self._assoc.abort()
        else:
            self.is_busy = True
            try:
                self._answer(message, context_id, field)
            finally:
                self.is_busy = False

    def _answer(self, message: Any, context_id: int, field: int) -> None:
        """Serve a request; an association on which that fails unforeseen is aborted."""
        assoc, done = self._assoc, False
        operation = Operation(assoc, self._outgoing, message, context_id, field)
        operation.forget_other_cancels()
        asked = {str(uid): item for uid, item in assoc.requestor.sop_class_extended.items()}
        options = Negotiated.of(operation.sop_class_uid, asked)
        encoded = message.Identifier.getvalue() if message.Identifier else b""
        try:
            if field == pdu.C_FIND_RQ:
                find.serve(operation, encoded, self._held, options)
            elif field == pdu.C_GET_RQ:
                get.serve(operation, encoded, self._held, options)
            else:
                destination = str(message.MoveDestination).strip()
                move.serve(operation, encoded, destination, self._held, options)
            done = True
        except RequestorGone as error:
            calling = operation.calling_ae_title
            _logger.info("service.requestor-gone", calling=calling, error=str(error))
            done = True
        finally:
            assoc.dimse.cancel_req = {}
            if not done:
                assoc.abort()
