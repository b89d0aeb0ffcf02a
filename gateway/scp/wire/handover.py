"""What is not C-STORE: given to pynetdicom as if it had read it itself, and within bounds.

pynetdicom trusts its peers. It queues whatever it has not served yet, starts a thread for each
N-EVENT-REPORT, holds a data set in memory however long it is, and the thread that reads dies of
a command set that is none. So a Handover stands before it on one association: it says when to
stop reading, and turns what cannot be understood into an A-ABORT.
"""

import contextlib
import queue
import struct
import threading
from typing import Any

from pydicom.errors import BytesLengthException
from pynetdicom import evt
from pynetdicom.dimse_messages import N_EVENT_REPORT_RQ
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.fsm import InvalidEventError

from gateway import log
from gateway.scp.wire import pdu

UNDECODABLE = (
    ValueError, LookupError, TypeError, AttributeError, AssertionError, struct.error,
    NotImplementedError, EOFError, OverflowError, RecursionError, BytesLengthException,
)  # fmt: skip
"""What pynetdicom and pydicom raise for bytes that are no message, as fuzzing found."""
MESSAGES_WAITING_MAX = 64
EVENT_REPORTS_MAX = 8
"""Threads at once that serve N-EVENT-REPORT."""
EVENT_REPORT_S_MAX = 30.0
"""Longest wait for one of them; the ledger is behind them."""
DATA_SET_BYTES_MAX = 64 << 20
"""Of one message. The longest we know of asks for the commitment of a colon capsule's 400,000
loose frames: 48 MB."""
_P_DATA_RECEIVED = "Evt10"
_ABORT = pdu.HEADER.pack(pdu.A_ABORT, 4) + bytes(4)

_logger = log.get(__name__)


class Handover:
    """Gives PDUs to one association's pynetdicom. `give` runs in the thread that reads."""

    def __init__(self, assoc: Any) -> None:
        self._assoc, self._dul = assoc, assoc.dul
        self.has_given = False
        """Set with every PDU; whoever reads resets it, and lets pynetdicom work in between."""
        self._data_set_bytes = 0  # given of the message under way
        self._waiting_bytes = 0  # given since nothing waited
        self._reports = threading.BoundedSemaphore(EVENT_REPORTS_MAX)
        self._receive, self._serve = assoc.dimse.receive_primitive, assoc._serve_request
        assoc.dimse.receive_primitive = self._receive_guarded
        assoc._serve_request = self._serve_guarded
        self._act = self._dul.state_machine.do_action
        self._dul.state_machine.do_action = self._act_guarded
        assoc.bind(evt.EVT_DIMSE_RECV, self._on_message)

    @property
    def is_behind(self) -> bool:
        """Whether so much waits to be served that nothing more should be read."""
        if self._dul.event_queue.qsize():
            return True
        waiting = self._assoc.dimse.msg_queue.qsize()
        if not waiting:
            self._waiting_bytes = 0
        return waiting >= MESSAGES_WAITING_MAX or self._waiting_bytes > DATA_SET_BYTES_MAX

    def give(self, encoded: bytes) -> None:
        """Give a PDU to pynetdicom as if it had read it."""
        try:
            decoded, event = self._dul._decode_pdu(bytearray(encoded))
            decoded.to_primitive()  # the state machine does that later, in no frame of ours
        except UNDECODABLE as error:
            if encoded[0] == pdu.A_ABORT and encoded != _ABORT:
                self.give(_ABORT)  # meant all the same, whatever source and reason it names
            else:
                self._give_up(error)
            return
        self.has_given = True
        self._dul._recv_pdu.put(decoded)
        if event == _P_DATA_RECEIVED and not self._dul.event_queue.qsize():
            # At once, in this thread, which would do it next. Were many of these events queued,
            # pynetdicom would send the first of its answers once for each (3.0.4).
            self._dul.state_machine.do_action(event)
        else:
            self._dul.event_queue.put(event)

    def give_data(self, context_id: int, control: int, fragment: memoryview) -> None:
        """Give a piece of a data set. Raises MalformedPdu if it becomes too long."""
        self._data_set_bytes += len(fragment)
        self._waiting_bytes += len(fragment)
        if self._data_set_bytes > DATA_SET_BYTES_MAX:
            raise pdu.MalformedPdu("a data set that is not for storage is too long")
        if control & pdu.LAST:
            self._data_set_bytes = 0
        self.give(pdu.encode_value(context_id, control, fragment))

    def _act_guarded(self, event: str) -> None:
        """Let the state machine act, in the thread that reads: it must live."""
        try:
            self._act(event)
        except InvalidEventError as error:
            # Our own side asks for what the state no longer allows: the peer was faster. The
            # wish would stand at the head of the queue for ever.
            _logger.debug("wire.too-late", error=str(error))
            with contextlib.suppress(queue.Empty):
                self._dul.to_provider_queue.get(block=False)
        except UNDECODABLE as error:
            self._give_up(error)

    def _on_message(self, event: Any) -> None:
        """Wait for a place among the threads that serve N-EVENT-REPORT; the next is started."""
        if isinstance(event.message, N_EVENT_REPORT_RQ) and not self._reports.acquire(
            timeout=EVENT_REPORT_S_MAX
        ):
            self._give_up(TimeoutError("more N-EVENT-REPORT came than can be served"))

    def _receive_guarded(self, primitive: Any) -> None:
        """Take in P-DATA, in the thread that reads: it must live."""
        try:
            self._receive(primitive)
        except UNDECODABLE as error:
            self._give_up(error)

    def _serve_guarded(self, message: Any, context_id: int) -> None:
        """Serve a message, in the association's thread or, N-EVENT-REPORT, in one of its own."""
        try:
            self._serve(message, context_id)
        except UNDECODABLE as error:
            self._give_up(error)
        finally:
            if isinstance(message, N_EVENT_REPORT) and message.MessageIDBeingRespondedTo is None:
                with contextlib.suppress(ValueError):
                    self._reports.release()

    def _give_up(self, error: Exception) -> None:
        _logger.warning("wire.undecodable", error=type(error).__name__)  # the text quotes bytes
        self._dul.event_queue.put("Evt19")  # unrecognised or invalid PDU: A-ABORT, PS3.8 9.2
