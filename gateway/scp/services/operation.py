"""One request being served: its answers, whether it was cancelled, whether anybody still listens.

pynetdicom's upper-layer thread is the only one that reads and writes the connection; what we say
goes through its queue, which we never let grow: a requestor that reads slowly slows us down.
"""

import time
from collections.abc import Mapping
from typing import Any

from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import P_DATA

from gateway.dimse import pdu
from gateway.errors import RequestorGone

QUEUED_MAX = 8
"""PDUs waiting to be written; at 64 KiB or less each."""
_LOOK_AGAIN_S = 0.0005
COMMENT_MAX = 64
_RESPONSES = {
    pdu.C_FIND_RQ: pdu.C_FIND_RSP,
    pdu.C_GET_RQ: pdu.C_GET_RSP,
    pdu.C_MOVE_RQ: pdu.C_MOVE_RSP,
}


class Operation:
    """A C-FIND, C-GET or C-MOVE request on an association of pynetdicom's."""

    def __init__(self, assoc: Any, message: Any, context_id: int, command_field: int) -> None:
        self._assoc, self._context_id, self._field = assoc, context_id, command_field
        self.message_id = int(message.MessageID)
        self.sop_class_uid = str(message.AffectedSOPClassUID)
        context = assoc._accepted_cx[context_id]
        self.implicit = bool(context.transfer_syntax[0].is_implicit_VR)
        self.calling_ae_title = str(assoc.requestor.ae_title).strip()
        self.room = max(pdu.fragment_room(int(assoc.requestor.maximum_length or 0)), 2)
        self.room = min(self.room, 64 << 10)

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

    def say(self, context_id: int, kind: int, data: bytes) -> None:
        """Send a whole command set or data set. Raises RequestorGone."""
        for start in range(0, len(data), self.room):
            part = data[start : start + self.room]
            last = pdu.LAST if start + self.room >= len(data) else 0
            self.say_fragment(context_id, kind | last, part)

    def say_fragment(self, context_id: int, control: int, data: bytes) -> None:
        """Send one PDU with one fragment, as soon as few enough are waiting."""
        queue = self._assoc.dul.to_provider_queue
        while queue.qsize() >= QUEUED_MAX:
            self.check()
            time.sleep(_LOOK_AGAIN_S)
        self.check()
        primitive = P_DATA()
        primitive.presentation_data_value_list.append((context_id, bytes((control,)) + data))
        self._assoc.dul.send_pdu(primitive)

    def receive(self) -> Any:
        """Wait for the next message of the peer; None if it takes too long or is gone."""
        _, message = self._assoc.dimse.get_msg(block=True)
        return message

    def abort(self) -> None:
        """End the association at once."""
        self._assoc.abort(block=False)

    @staticmethod
    def is_store_response(message: Any, message_id: int) -> bool:
        """Tell whether a message answers one of our C-STORE requests."""
        return (
            isinstance(message, C_STORE)
            and message.MessageIDBeingRespondedTo == message_id
            and message.Status is not None
        )

    def storage_contexts(self) -> dict[tuple[str, str], int]:
        """Return the contexts in which we may send C-STORE requests to the requestor, which
        negotiated the SCP role for them (PS3.7 D.3.3.4), by SOP class and transfer syntax."""
        return {
            (str(cx.abstract_syntax), str(cx.transfer_syntax[0])): int(cx.context_id)
            for cx in self._assoc.accepted_contexts
            if cx.as_scu
        }
