"""C-STORE as a requestor (PS3.4 B, PS3.7 9.3.1): from a stream, in constant memory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.dimse import pdu
from gateway.dimse.association import Association
from gateway.dimse.negotiation import Proposal
from gateway.errors import IntegrityError, OutcomeUnknown

BUFFER_BYTES = 256 << 10
"""One write to the socket; a whole small instance fits, so that it costs one system call."""
_COMMAND_ROOM = 4096


class Readable(Protocol):
    """A data set without its file meta information, e.g. an io.BytesIO."""

    def readinto(self, buffer: memoryview, /) -> int | None: ...


@dataclass(frozen=True)
class SopInstance:
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str

    @property
    def proposal(self) -> Proposal:
        """The presentation context it needs: its transfer syntax and no other."""
        return Proposal(self.sop_class_uid, (self.transfer_syntax_uid,))


@dataclass(frozen=True)
class MoveOriginator:
    """Who asked for what is sent, by which request (PS3.7 9.1.1.1.6)."""

    ae_title: str
    message_id: int


class StoreScu:
    """Sends instances over one association; its buffer is reused."""

    def __init__(self, association: Association) -> None:
        self._association = association
        self.has_left = False  # all of the last instance was written
        whole = pdu.FRAGMENT_HEAD.size + association.fragment_room
        self._buffer = bytearray(_COMMAND_ROOM + max(BUFFER_BYTES, whole))
        self._view = memoryview(self._buffer)

    def store(
        self,
        instance: SopInstance,
        data_set: Readable,
        size_bytes: int,
        *,
        verify: Callable[[], None] = lambda: None,
        proposal: Proposal | None = None,
        originator: MoveOriginator | None = None,
    ) -> int:
        """Send one instance and return the peer's status.

        size_bytes: of the data set. proposal: the context to send it in, if it is not sent as it
        is stored. originator: for a sub-operation of C-MOVE. verify is called when all of it
        has been read, before the last fragment leaves; what it raises leaves the request
        unfinished, and the association fit for nothing but an abort.

        Raises ContextNotAccepted before anything is sent; IntegrityError if the data set ends
        early; OutcomeUnknown if no answer can be had: the peer may have the instance or not.
        """
        association = self._association
        self.has_left = False
        context_id = association.context(proposal or instance.proposal).context_id
        message_id = association.next_message_id()
        command = request_command(instance, message_id, originator)
        used = 0
        for part in pdu.message_pdus(context_id, pdu.COMMAND, command, association.fragment_room):
            used = self._room_for(len(part), used)
            self._buffer[used : used + len(part)] = part
            used += len(part)
        self._send_data_set(context_id, data_set, size_bytes, used, verify)
        self.has_left = True
        return self._status(message_id)

    def _send_data_set(
        self,
        context_id: int,
        data_set: Readable,
        size_bytes: int,
        used: int,
        verify: Callable[[], None],
    ) -> None:
        """Send what is in the buffer already, and the data set behind it."""
        remaining, control = size_bytes, 0
        while control != pdu.LAST:
            length = min(remaining, self._association.fragment_room)
            used = self._room_for(pdu.FRAGMENT_HEAD.size + length, used)
            start = used + pdu.FRAGMENT_HEAD.size
            self._fill(data_set, self._view[start : start + length])
            remaining -= length
            control = 0 if remaining else pdu.LAST
            pdu.FRAGMENT_HEAD.pack_into(
                self._buffer, used, *pdu.fragment_head(context_id, control, length)
            )
            used = start + length
        verify()
        self._association.send(self._view[:used])

    def _room_for(self, count: int, used: int) -> int:
        """Return where the next `count` bytes go; empties the buffer if they do not fit."""
        if used + count <= len(self._buffer):
            return used
        self._association.send(self._view[:used])
        return 0

    def _fill(self, data_set: Readable, target: memoryview) -> None:
        while target:
            count = data_set.readinto(target)
            if not count:
                raise IntegrityError("The data set ends before its recorded length.")
            target = target[count:]

    def _status(self, message_id: int) -> int:
        response = self._association.receive().command
        answers = response.get(pdu.MESSAGE_ID_BEING_RESPONDED_TO)
        status = response.get(pdu.STATUS)
        if response.get(pdu.COMMAND_FIELD) != pdu.C_STORE_RSP or not isinstance(status, int):
            raise OutcomeUnknown(f"{self._association.peer} answered C-STORE with something else.")
        if answers != message_id:
            raise OutcomeUnknown(f"{self._association.peer} answered another request than ours.")
        self._association.is_idle = True
        return status


def request_command(
    instance: SopInstance, message_id: int, originator: MoveOriginator | None = None
) -> bytes:
    """Return the command set of a C-STORE-RQ."""
    command: dict[int, int | str] = {
        pdu.AFFECTED_SOP_CLASS_UID: instance.sop_class_uid,
        pdu.COMMAND_FIELD: pdu.C_STORE_RQ,
        pdu.MESSAGE_ID: message_id,
        pdu.PRIORITY: pdu.MEDIUM,
        pdu.COMMAND_DATA_SET_TYPE: pdu.DATA_SET_PRESENT,
        pdu.AFFECTED_SOP_INSTANCE_UID: instance.sop_instance_uid,
    }
    if originator is not None:
        command[pdu.MOVE_ORIGINATOR_AE_TITLE] = originator.ae_title
        command[pdu.MOVE_ORIGINATOR_MESSAGE_ID] = originator.message_id
    return pdu.encode_command(command)
