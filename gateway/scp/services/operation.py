"""One request being served: its answers, whether it was cancelled, whether anybody listens."""

from collections.abc import Mapping
from typing import Any

from gateway.dimse import pdu
from gateway.errors import RequestorGone
from gateway.scp.services.outgoing import Outgoing

FRAGMENT_BYTES_MAX = 128 << 10
"""Longer ones gain nothing."""
COMMENT_MAX = 64
_RESPONSES = {
    pdu.C_FIND_RQ: pdu.C_FIND_RSP,
    pdu.C_GET_RQ: pdu.C_GET_RSP,
    pdu.C_MOVE_RQ: pdu.C_MOVE_RSP,
}


class Operation:
    """A C-FIND, C-GET or C-MOVE request on an association of pynetdicom's."""

    def __init__(
        self, assoc: Any, outgoing: Outgoing, message: Any, context_id: int, command_field: int
    ) -> None:
        self._outgoing = outgoing
        self._assoc, self._context_id, self._field = assoc, context_id, command_field
        self.message_id = int(message.MessageID)
        self.sop_class_uid = str(message.AffectedSOPClassUID)
        context = assoc._accepted_cx[context_id]
        self.implicit = bool(context.transfer_syntax[0].is_implicit_VR)
        self.calling_ae_title = str(assoc.requestor.ae_title).strip()
        room = pdu.fragment_room(int(assoc.requestor.maximum_length or 0))
        self.room = max(2, min(room, FRAGMENT_BYTES_MAX))

    @property
    def is_cancelled(self) -> bool:
        return self.message_id in self._assoc.dimse.cancel_req

    def forget_other_cancels(self) -> None:
        """Drop C-CANCELs of requests that are over; one of this request may be here already."""
        own = self._assoc.dimse.cancel_req.get(self.message_id)
        self._assoc.dimse.cancel_req = {} if own is None else {self.message_id: own}

    def check(self) -> None:
        """Raise RequestorGone if nobody is there any more to answer to."""
        assoc = self._assoc
        if not assoc.is_established or assoc._sent_abort or not assoc.dul.is_alive():
            raise RequestorGone("The requestor is gone.")
        if assoc.acse.is_aborted():
            raise RequestorGone("The requestor aborted the association.")

    def respond(
        self,
        status: int,
        *,
        identifier: bytes = b"",
        comment: str = "",
        counts: Mapping[int, int] | None = None,
    ) -> None:
        """Answer. counts: command elements of gateway.dimse.pdu. Raises RequestorGone."""
        command: dict[int, int | str] = {
            pdu.AFFECTED_SOP_CLASS_UID: self.sop_class_uid,
            pdu.COMMAND_FIELD: _RESPONSES[self._field],
            pdu.MESSAGE_ID_BEING_RESPONDED_TO: self.message_id,
            pdu.COMMAND_DATA_SET_TYPE: pdu.DATA_SET_PRESENT if identifier else pdu.NO_DATA_SET,
            pdu.STATUS: status,
            **(counts or {}),
        }
        if comment:
            command[pdu.ERROR_COMMENT] = comment.encode("ascii", "replace")[:COMMENT_MAX].decode()
        self.say(self._context_id, pdu.COMMAND, pdu.encode_command(command))
        if identifier:
            self.say(self._context_id, 0, identifier)
        self.flush()

    def say(self, context_id: int, kind: int, data: bytes) -> None:
        """Take a whole command set or data set to send. Raises RequestorGone."""
        for one in pdu.message_pdus(context_id, kind, data, self.room):
            self._outgoing.add(one, self.check)

    def say_fragment(self, context_id: int, control: int, data: bytes) -> None:
        """Take one fragment to send, not longer than `room`. Raises RequestorGone."""
        head = pdu.FRAGMENT_HEAD.pack(*pdu.fragment_head(context_id, control, len(data)))
        self._outgoing.add(head + data, self.check)

    def flush(self, *, is_answered: bool = False) -> None:
        """Send what was taken; is_answered: whether it is a request. Raises RequestorGone."""
        self._outgoing.flush(self.check, is_answered=is_answered)

    def stored(self, message_id: int) -> int:
        """Wait for the status of a C-STORE request of ours.

        Raises RequestorGone if none comes in time, or to another request: what is going on then
        is nothing that could be counted.
        """
        status = self._outgoing.store_status(message_id, self.check)
        if status is None:
            self.abort()
            raise RequestorGone("The requestor did not answer a C-STORE.")
        return status

    def abort(self) -> None:
        """End the association at once."""
        self._assoc.abort(block=False)

    def storage_contexts(self) -> dict[tuple[str, str], int]:
        """Return the contexts in which we may send C-STORE requests to the requestor, which
        negotiated the SCP role for them (PS3.7 D.3.3.4), by SOP class and transfer syntax."""
        return {
            (str(cx.abstract_syntax), str(cx.transfer_syntax[0])): int(cx.context_id)
            for cx in self._assoc.accepted_contexts
            if cx.as_scu
        }
