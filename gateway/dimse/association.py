"""An association as requestor: opened, used from one thread, released or aborted."""

import contextlib
import struct
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from gateway.dimse import pdu
from gateway.dimse.connection import Beat, Connection, Timeouts
from gateway.dimse.negotiation import (
    AcceptedContext,
    Agreement,
    Peer,
    Proposal,
    name_of,
    read_acceptance,
    read_rejection,
    request_pdu,
)
from gateway.errors import ContextNotAccepted, OutcomeUnknown, PeerUnreachable

PDU_BYTES_MAX = 65_536
"""Longest PDU we take as requestor: responses are some 150 bytes, reports some 100 KB."""
_ACCEPTANCE_BYTES_MAX = 1 << 20
_MESSAGE_BYTES_MAX = 16 << 20
"""Longest message we take. A commitment report of 1,000 instances is about 200 KB."""
_MESSAGE_ID_MAX = 65_535


@dataclass(frozen=True)
class Message:
    """A complete message from the peer; data_set is empty if it has none."""

    context_id: int
    command: pdu.Command
    data_set: bytes


class Association:
    """An accepted association. Leaving its `with` block releases it, or aborts it while a
    request is unfinished or unanswered.

    Every method that talks to the peer raises OutcomeUnknown when the connection, or the peer's
    good manners, are lost: the association is over then.
    """

    def __init__(
        self, connection: Connection, peer: Peer, agreement: Agreement, timeouts: Timeouts
    ) -> None:
        self._connection, self._timeouts = connection, timeouts
        self._agreement = agreement
        self._message_id = 0
        self._fragments: deque[pdu.Fragment] = deque()
        self.is_idle = True  # no request is under way
        self.peer = peer
        self.peer_pdu_bytes_max = agreement.pdu_bytes_max
        self.fragment_room = pdu.fragment_room(agreement.pdu_bytes_max)

    def __enter__(self) -> "Association":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.is_idle and not isinstance(error, OutcomeUnknown):
            self.release()
        else:
            self.abort()

    def context(self, proposal: Proposal) -> AcceptedContext:
        """Return what was agreed about a proposal. Raises ContextNotAccepted, naming it."""
        accepted = self._agreement.accepted.get(proposal)
        if accepted is None:
            why = self._agreement.refused.get(proposal, "one association has no room for it")
            raise ContextNotAccepted(f"{self.peer} does not accept {name_of(proposal)}: {why}.")
        return accepted

    def next_message_id(self) -> int:
        self._message_id = self._message_id % _MESSAGE_ID_MAX + 1
        return self._message_id

    def limit_pdus(self, pdu_bytes_max: int) -> None:
        """Write no longer PDUs than this, though the peer would take them."""
        self.fragment_room = min(self.fragment_room, pdu.fragment_room(pdu_bytes_max))

    def send(self, data: bytes | memoryview) -> None:
        """Write whole PDUs of a request; who does so sets is_idle when it is answered."""
        self.is_idle = False
        self._write(data)

    def send_message(self, context_id: int, command: pdu.Command, data_set: bytes = b"") -> None:
        """Write a short message, request or response."""
        pieces = [
            *pdu.message_pdus(
                context_id, pdu.COMMAND, pdu.encode_command(command), self.fragment_room
            ),
            *pdu.message_pdus(context_id, 0, data_set, self.fragment_room),
        ]
        self._write(b"".join(pieces))

    def receive(self) -> Message:
        """Wait for the next message of the peer, request or response."""
        fragment = self._next_fragment()
        context_id = fragment.context_id
        command = self._gather(fragment, is_command=True)
        try:
            values = pdu.decode_command(command)
        except ValueError as error:
            raise OutcomeUnknown(f"{self.peer} sent an unreadable message: {error}.") from error
        if values.get(pdu.COMMAND_DATA_SET_TYPE, pdu.NO_DATA_SET) == pdu.NO_DATA_SET:
            return Message(context_id, values, b"")
        data_set = self._gather(self._next_fragment(), is_command=False)
        return Message(context_id, values, data_set)

    def has_message(self, timeout_s: float) -> bool:
        """Wait up to timeout_s for the peer to say something."""
        if self._fragments:
            return True
        try:
            return self._connection.wait_readable(timeout_s)
        except (OSError, ValueError) as error:
            raise self._lost(error) from error

    def release(self) -> None:
        """End in order (PS3.8 7.2). All answers are in, so a peer that fails now loses nothing."""
        if self._connection.is_open:
            with contextlib.suppress(OSError, OutcomeUnknown):
                self._write(pdu.RELEASE_REQUEST)
                deadline = time.monotonic() + self._timeouts.associate_s
                while self._read_pdu()[0] != pdu.A_RELEASE_RP and time.monotonic() < deadline:
                    pass
        self._connection.close()

    def abort(self) -> None:
        """End at once. What the peer has of an unfinished message it throws away."""
        if self._connection.is_open:
            with contextlib.suppress(OSError, OutcomeUnknown):
                self._write(pdu.ABORT_BY_USER)
        self._connection.close()

    def _gather(self, fragment: pdu.Fragment, *, is_command: bool) -> bytes:
        data = bytearray(fragment.data)
        context_id = fragment.context_id
        while True:
            if fragment.is_command is not is_command or fragment.context_id != context_id:
                raise OutcomeUnknown(f"{self.peer} mixed up the parts of a message.")
            if len(data) > _MESSAGE_BYTES_MAX:
                raise OutcomeUnknown(f"{self.peer} sent a message without an end.")
            if fragment.is_last:
                return bytes(data)
            fragment = self._next_fragment()
            data += fragment.data

    def _next_fragment(self) -> pdu.Fragment:
        while not self._fragments:
            kind, body = self._read_pdu()
            if kind == pdu.A_ABORT:
                self._connection.close()
                raise OutcomeUnknown(f"{self.peer} aborted the association.")
            if kind == pdu.A_RELEASE_RQ:
                self._write(pdu.RELEASE_RESPONSE)
                self._connection.close()
                raise OutcomeUnknown(f"{self.peer} released the association without an answer.")
            if kind != pdu.P_DATA_TF:
                raise OutcomeUnknown(f"{self.peer} sent a PDU of type {kind:02X} as an answer.")
            try:
                self._fragments.extend(pdu.fragments(body))
            except ValueError as error:
                raise OutcomeUnknown(f"{self.peer} sent an unreadable PDU: {error}.") from error
        return self._fragments.popleft()

    def _write(self, data: bytes | memoryview) -> None:
        is_whole = False
        try:
            self._connection.send(data, timeout_s=self._timeouts.message_s)
            is_whole = True
        except OSError as error:
            raise self._lost(error) from error
        finally:
            if not is_whole:
                # Half a PDU may be out. An A-ABORT would be taken for its rest.
                self._connection.close()

    def _read_pdu(self) -> tuple[int, bytes]:
        try:
            return _read_pdu(self._connection, PDU_BYTES_MAX, self._timeouts.message_s)
        except OSError as error:
            raise self._lost(error) from error
        except ValueError as error:
            raise OutcomeUnknown(f"{self.peer} sent an unreadable PDU: {error}.") from error

    def _lost(self, error: Exception) -> OutcomeUnknown:
        self._connection.close()
        return OutcomeUnknown(f"The association with {self.peer} was lost: {_in_words(error)}.")


def open_association(
    peer: Peer,
    proposals: Sequence[Proposal],
    *,
    timeouts: Timeouts,
    beat: Beat = lambda: None,
    beat_s: float = 1.0,
) -> Association:
    """Connect to a peer and negotiate; nothing that was proposed need be accepted.

    beat is called at least every beat_s while the peer is waited for.
    Raises PeerUnreachable or AssociationRejected: nothing was sent.
    """
    try:
        connection = Connection.open(
            peer.host, peer.port, timeout_s=timeouts.connect_s, beat=beat, beat_s=beat_s
        )
    except OSError as error:
        raise PeerUnreachable(f"{peer} cannot be reached: {_in_words(error)}.") from error
    with contextlib.ExitStack() as undone:
        undone.callback(connection.close)
        association = _negotiate(connection, peer, proposals, timeouts)
        undone.pop_all()
    return association


def _negotiate(
    connection: Connection, peer: Peer, proposals: Sequence[Proposal], timeouts: Timeouts
) -> Association:
    request = request_pdu(peer, proposals, pdu_bytes_max=PDU_BYTES_MAX)
    try:
        connection.send(request, timeout_s=timeouts.associate_s)
        kind, body = _read_pdu(connection, _ACCEPTANCE_BYTES_MAX, timeouts.associate_s)
    except (OSError, ValueError) as error:
        raise PeerUnreachable(
            f"{peer} does not answer the association request: {_in_words(error)}."
        ) from error
    head = struct.pack(">BBL", kind, 0, len(body))
    if kind == pdu.A_ASSOCIATE_RJ and len(body) >= 4:
        raise read_rejection(head + body, peer)
    if kind == pdu.A_ABORT:
        raise PeerUnreachable(f"{peer} aborted the association request.")
    if kind != pdu.A_ASSOCIATE_AC:
        raise PeerUnreachable(f"{peer} answers the association request with PDU type {kind:02X}.")
    try:
        agreement = read_acceptance(head + body, proposals)
    except ValueError as error:
        raise PeerUnreachable(f"{peer} does not speak DICOM: {error}.") from error
    association = Association(connection, peer, agreement, timeouts)
    if association.fragment_room <= 0:
        raise PeerUnreachable(f"{peer} takes PDUs of {agreement.pdu_bytes_max} bytes: too short.")
    return association


def _read_pdu(connection: Connection, bytes_max: int, timeout_s: float) -> tuple[int, bytes]:
    """Return the type and variable field of the next PDU. Raises ValueError if it is too long."""
    kind, _, length = struct.unpack(">BBL", connection.receive(6, timeout_s=timeout_s))
    if length > bytes_max:
        raise ValueError(f"{length} bytes where {bytes_max} are allowed")
    return kind, connection.receive(length, timeout_s=timeout_s)


def _in_words(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
