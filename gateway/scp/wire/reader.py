"""Reading an established association: C-STORE here, everything else by pynetdicom.

pynetdicom's upper-layer thread calls `_read_pdu_data` whenever the socket is readable. A
StoreReader takes the place of that method on one association. It reads into one reused
buffer, parses PDUs where they lie, hands data set fragments to the Reception and answers
from the same thread, so nothing else writes to the socket meanwhile. Whatever is not
C-STORE goes back to pynetdicom as if it had read it itself.
"""

import socket
import struct
import time
from typing import Any, Protocol

from gateway import log
from gateway.scp.wire import command, pdu
from gateway.scp.wire.command import StoreRequest
from gateway.scp.wire.handover import UNDECODABLE, Handover
from gateway.scp.wire.source import Source

COMMAND_SET_BYTES_MAX = 64 << 10
NEGOTIATION_PDU_BYTES_MAX = 1 << 10
"""Outside data transfer only A-RELEASE and A-ABORT come, 10 bytes each: the A-ASSOCIATE-RQ was
read before there was an association (gateway.scp.doorstep)."""
GROUP_MAX = 64
"""Instances written and synced together, at most."""
BUFFER_BYTES = 512 << 10
"""Read at once, at most: what a sender with an operations window has under way."""

_logger = log.get(__name__)


class Incoming(Protocol):
    """One instance on its way in."""

    def write(self, fragment: memoryview) -> None: ...


class Receiver(Protocol):
    def begin(self, request: StoreRequest, transfer_syntax_uid: str) -> Incoming: ...
    def keep(self, instances: list[Any]) -> list[tuple[int, str]]:
        """Keep whole instances durably; returns (status, error comment) of each, in order."""
        ...

    def answered(self) -> None:
        """The answers are on their way; what else there is to do may be done now."""
        ...

    def released(self) -> None:
        """The peer asks for release; it is answered when this returns."""
        ...


class _Message:
    """What has arrived of one message on one presentation context."""

    __slots__ = ("command_bytes", "fragments", "incoming", "request")

    def __init__(self) -> None:
        self.fragments: list[tuple[int, bytes]] = []  # of the command; control header with each
        self.command_bytes = 0
        self.request: StoreRequest | None = None
        self.incoming: Incoming | None = None
        """None once the command is whole: not C-STORE, the data set is passed through."""

    @property
    def command_is_whole(self) -> bool:
        return bool(self.fragments) and bool(self.fragments[-1][0] & pdu.LAST)


class StoreReader:
    """Takes over reading for one association; see the module docstring."""

    def __init__(self, assoc: Any, *, pdu_bytes_max: int) -> None:
        self._assoc, self._dul = assoc, assoc.dul
        self.receiver: Receiver | None = None
        """Set when the association is admitted; before that nothing is received."""
        self._pdu_bytes_max = pdu_bytes_max
        self._buffer = memoryview(bytearray(BUFFER_BYTES + pdu_bytes_max + pdu.HEADER.size))
        self._start = self._end = 0
        self._messages: dict[int, _Message] = {}
        self._finished: list[tuple[int, StoreRequest, Incoming]] = []
        self._syntaxes: dict[int, str] = {}
        self._requests = command.RequestReader()
        self._arriving = bytearray()  # a PDU that comes before or after data transfer
        self.received_bytes = self.rested_bytes = 0
        """For gateway.scp.pace: read so far; and when last nothing was under way."""
        self.busy = False
        """While what was read is being worked on: then it is not the peer who is slow."""
        self.trouble = ""
        """Why the association broke off, if it is known here."""
        self._holds_back = False
        self._handover = Handover(assoc)
        self._dul._read_pdu_data = self.read

    def close(self) -> None:
        """Let go of the memory. An association is part of a reference cycle and lives on for a
        while after its end; what reads it need not."""
        self._dul.__dict__.pop("_read_pdu_data", None)
        self._buffer = memoryview(b"")
        self._messages.clear()

    def read(self) -> None:
        """Read what the socket holds. Runs in pynetdicom's upper-layer thread."""
        sock: socket.socket | None = self._dul.socket.socket
        if sock is None:
            self._dul.event_queue.put("Evt17")
        elif self._dul.state_machine.current_state == "Sta6":  # ready for data transfer
            if not self._handover.is_behind:
                self._read_established(sock)
        else:
            self._read_negotiation(sock)

    def deliver(self, encoded: bytes) -> None:
        """Give pynetdicom the A-ASSOCIATE-RQ that was read before there was an association.

        Raises MalformedPdu if it cannot be understood: pynetdicom would say so to the peer, but
        leave its own thread waiting for half a minute.
        """
        try:
            decoded, event = self._dul._decode_pdu(bytearray(encoded))
            decoded.to_primitive()
        except UNDECODABLE as error:
            raise pdu.MalformedPdu("the A-ASSOCIATE-RQ cannot be decoded") from error
        self._dul._recv_pdu.put(decoded)
        self._dul.event_queue.put(event)

    def _read_negotiation(self, sock: socket.socket) -> None:
        """Read on the PDU that is arriving, no further; give it to pynetdicom when it is whole.

        Called when the socket can be read, and never waits. pynetdicom's own reading would wait
        for all of whatever length is announced, and make room for it.
        """
        leaving = self._dul.state_machine.current_state == "Sta13"  # waits for the peer to close
        try:
            lacking = pdu.missing(self._arriving, bytes_max=NEGOTIATION_PDU_BYTES_MAX)
            piece = sock.recv(1 << 16 if leaving else lacking)
            if not piece:
                self._dul.event_queue.put("Evt17")  # transport connection closed
            elif not leaving:
                self._arriving += piece
                if not pdu.missing(self._arriving, bytes_max=NEGOTIATION_PDU_BYTES_MAX):
                    encoded, self._arriving = bytes(self._arriving), bytearray()
                    self._handover.give(encoded)
        except pdu.MalformedPdu as error:
            self._abort(sock, pdu.ABORT_INVALID_VALUE, str(error))
        except OSError:
            self._dul.event_queue.put("Evt17")

    def _read_established(self, sock: socket.socket) -> None:
        # The association's own thread would look for messages every millisecond, each time
        # taking the interpreter from this one. It rests until there is something for it.
        self._assoc._reactor_checkpoint.clear()
        try:
            self._read_until_silent(sock, Source(sock))
        finally:
            self._dul._idle_timer.restart()
            self._assoc._reactor_checkpoint.set()

    def _read_until_silent(self, sock: socket.socket, source: Source) -> None:
        while self._fill(source):
            self.busy = True
            try:
                self._consume(sock)
                if self._finished:
                    self._answer(sock)
                elif self._holds_back:
                    source.acknowledge()
            except pdu.MalformedPdu as error:
                self._abort(sock, pdu.ABORT_INVALID_VALUE, str(error))
                return
            except BlockingIOError:  # gateway.network.limit_sending
                self.trouble = "The peer did not read our answers (CAPSULE_DIMSE_TIMEOUT_S)."
                self._dul.event_queue.put("Evt17")
                return
            except OSError:  # the peer is gone; what was kept is kept
                self._dul.event_queue.put("Evt17")
                return
            finally:
                self.busy = False
            if self._start == self._end and not self._messages:
                self.rested_bytes = self.received_bytes
            if self._pynetdicom_is_wanted():
                return

    def _pynetdicom_is_wanted(self) -> bool:
        """Tell whether pynetdicom has something to say or to do."""
        given, self._handover.has_given = self._handover.has_given, False
        dul = self._dul
        # Looked at without the locks of queue.Queue.empty: what comes just now is seen next time.
        return given or bool(dul.event_queue.queue) or bool(dul.to_provider_queue.queue)

    def _fill(self, source: Source) -> bool:
        """Receive once into the buffer; False if nothing comes, or the connection is gone."""
        if self._start == self._end:
            self._start = self._end = 0
        elif len(self._buffer) - self._end < self._pdu_bytes_max + pdu.HEADER.size:
            rest = self._end - self._start
            self._buffer[:rest] = self._buffer[self._start : self._end]
            self._start, self._end = 0, rest
        try:
            count = source.receive_into(self._buffer[self._end :])
        except BlockingIOError:
            if self._start != self._end or self._messages:
                # Silence within a message: the sender waits to hear that what it sent has come
                # (Nagle's algorithm). From now on it hears so at once. Others are spared that:
                # our answer says as much.
                self._holds_back = True
                source.acknowledge()
            return False
        except OSError:
            count = 0
        if count == 0:
            self._dul.event_queue.put("Evt17")  # transport connection closed
            return False
        self._end += count
        self.received_bytes += count
        return True

    def _consume(self, sock: socket.socket) -> None:
        """Take every whole PDU out of the buffer."""
        view = self._buffer
        while self._end - self._start >= pdu.HEADER.size:
            kind, length = pdu.HEADER.unpack_from(view, self._start)
            body = self._start + pdu.HEADER.size
            if length > self._pdu_bytes_max:
                raise pdu.MalformedPdu("a PDU is longer than we offered to receive")
            if body + length > self._end:
                return
            following = body + length
            if kind == pdu.P_DATA_TF:
                for context_id, control, fragment in pdu.values(view[body:following]):
                    self._take(sock, context_id, control, fragment)
            else:
                self._answer(sock)
                if kind == pdu.A_RELEASE_RQ and self.receiver is not None:
                    self.receiver.released()
                self._handover.give(bytes(view[self._start : following]))
                self._start = self._end  # whatever it is, it ends the association
                return
            self._start = following
            if len(self._finished) >= GROUP_MAX:
                self._answer(sock)

    def _answer(self, sock: socket.socket) -> None:
        """Keep the instances that are whole and answer them, in the order they came.

        A sender that waits for each answer finds one in the group. One that negotiated an
        operations window, or simply does not wait, has them written and synced together.
        """
        if not self._finished or self.receiver is None:
            return
        finished, self._finished = self._finished, []
        answers = self.receiver.keep([incoming for _, _, incoming in finished])
        responses = [
            pdu.encode_value(
                context_id,
                pdu.COMMAND | pdu.LAST,
                command.encode_response(request, status, comment),
            )
            for (context_id, request, _), (status, comment) in zip(finished, answers, strict=True)
        ]
        sock.sendall(b"".join(responses))
        self.receiver.answered()

    def _take(
        self, sock: socket.socket, context_id: int, control: int, fragment: memoryview
    ) -> None:
        message = self._messages.get(context_id)
        if control & pdu.COMMAND:
            if message is None:
                message = self._messages[context_id] = _Message()
            self._take_command(sock, message, context_id, control, fragment)
            return
        if message is None or not message.command_is_whole:
            raise pdu.MalformedPdu("a data set came without its command")
        if message.incoming is None:
            self._handover.give_data(context_id, control, fragment)
        else:
            message.incoming.write(fragment)
        if control & pdu.LAST:
            del self._messages[context_id]
            if message.incoming is not None and message.request is not None:
                self._finished.append((context_id, message.request, message.incoming))

    def _take_command(
        self,
        sock: socket.socket,
        message: _Message,
        context_id: int,
        control: int,
        fragment: memoryview,
    ) -> None:
        if message.command_is_whole:
            raise pdu.MalformedPdu("a command came where a data set was due")
        message.fragments.append((control, bytes(fragment)))
        # Empty fragments count, too: they are kept until the command is known.
        message.command_bytes += len(fragment) + 16
        if message.command_bytes > COMMAND_SET_BYTES_MAX:
            raise pdu.MalformedPdu("a command set is too long")
        if not control & pdu.LAST:
            return
        command_set = b"".join([piece for _, piece in message.fragments])
        syntax = self._transfer_syntax(context_id)
        message.request = self._requests.read(command_set)
        if message.request is not None and syntax is not None and self.receiver is not None:
            message.incoming = self.receiver.begin(message.request, syntax)
            return
        self._answer(sock)  # what came first is answered first
        for one, piece in message.fragments:
            self._handover.give(pdu.encode_value(context_id, one, piece))
        if not _has_data_set(command_set):
            del self._messages[context_id]

    def _transfer_syntax(self, context_id: int) -> str | None:
        """Return what was accepted for a context; None if it was not."""
        if not self._syntaxes:
            self._syntaxes = {
                cx.context_id: str(cx.transfer_syntax[0]) for cx in self._assoc.accepted_contexts
            }
        return self._syntaxes.get(context_id)

    def _abort(self, sock: socket.socket, reason: int, words: str) -> None:
        _logger.warning("wire.aborted", reason=words, peer=_peer(sock))
        self.trouble = f"We aborted: {words}."
        try:
            sock.sendall(pdu.encode_abort(reason))
            # What is still under way is read and dropped for a moment, or the reset that
            # closing would cause could overtake the A-ABORT.
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(0.2)
            deadline = time.monotonic() + 1
            while time.monotonic() < deadline and sock.recv(1 << 16):
                pass
        except OSError:
            pass
        self._dul.event_queue.put("Evt17")


def _has_data_set(command_set: bytes) -> bool:
    """Tell whether Command Data Set Type (0000,0800) announces a data set."""
    at = 0
    while at + 8 <= len(command_set):
        group, element, length = struct.unpack_from("<HHL", command_set, at)
        if (group, element) == (0x0000, 0x0800):
            return command_set[at + 8 : at + 10] != b"\x01\x01"
        at += 8 + length
    return False


def _peer(sock: socket.socket) -> str:
    try:
        return str(sock.getpeername()[0])
    except OSError:
        return "gone"
