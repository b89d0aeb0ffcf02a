"""What we say on an association that pynetdicom serves: by its one writing thread, in our bytes.

pynetdicom's upper-layer thread is the only one that reads and writes the connection, which TLS
needs too. It is given whole PDUs, encoded already, a quarter of a megabyte at a time; in its own
way it would copy each PDU five times, and queue all of an instance. What waits is bounded: a
requestor that reads slowly slows us down.
"""

import queue
import select
import time
from collections.abc import Callable
from typing import Any

from pynetdicom.pdu_primitives import P_DATA

from gateway.dimse import pdu

BUFFER_BYTES = 256 << 10
"""Handed over at once; a whole small instance fits."""
QUEUED_MAX = 4
CHECK_EVERY_S = 1.0
FOREVER_S = 1e9
_LOOK_AGAIN_S = 0.0005


ANSWER_WAIT_MS = 20
"""How long the writing thread looks for an answer before it goes back to looking every 1 ms."""


class _Encoded(bytes):
    """Whole PDUs in the place of one fragment."""

    is_answered = False  # whether an answer is due at once


class Outgoing:
    """One association's; used from the thread that serves its requests."""

    def __init__(self, assoc: Any) -> None:
        self._dul = assoc.dul
        self._buffer = bytearray()
        self._send_usually = assoc.dul._send
        assoc.dul._send = self._send
        self._answers: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
        self._is_due = False  # an answer: one that nobody waits for is pynetdicom's to throw away
        self._timeout_s = float(assoc.dimse_timeout or FOREVER_S)
        self._receive_usually = assoc.dimse.receive_primitive
        assoc.dimse.receive_primitive = self._receive

    def add(self, pdus: bytes, check: Callable[[], None]) -> None:
        """Take whole PDUs. check: called while there is no room; what it raises passes through."""
        self._buffer += pdus
        if len(self._buffer) >= BUFFER_BYTES:
            self.flush(check)

    def flush(self, check: Callable[[], None], *, is_answered: bool = False) -> None:
        """Hand over what was taken. is_answered: whether the peer answers it at once."""
        check()
        while self._dul.to_provider_queue.qsize() >= QUEUED_MAX:
            time.sleep(_LOOK_AGAIN_S)
            check()
        self._is_due = is_answered
        primitive, encoded = P_DATA(), _Encoded(self._buffer)
        encoded.is_answered = is_answered
        primitive.presentation_data_value_list.append((1, encoded))
        self._buffer.clear()
        self._dul.send_pdu(primitive)

    def store_status(self, message_id: int, check: Callable[[], None]) -> int | None:
        """Wait for the C-STORE response to a request; None if it takes too long or is another."""
        until_s = time.monotonic() + self._timeout_s
        while time.monotonic() < until_s:
            try:
                answers, status = self._answers.get(timeout=CHECK_EVERY_S)
            except queue.Empty:
                check()
            else:
                return status if answers == message_id else None
        return None

    def _receive(self, primitive: Any) -> None:
        """Take C-STORE responses, which pynetdicom would spend half a millisecond on."""
        values = primitive.presentation_data_value_list
        if self._is_due and len(values) == 1 and values[0][1][0] == pdu.COMMAND | pdu.LAST:
            try:
                command = pdu.decode_command(values[0][1][1:])
            except ValueError:  # pynetdicom's to refuse
                command = {}
            answers = command.get(pdu.MESSAGE_ID_BEING_RESPONDED_TO)
            status = command.get(pdu.STATUS)
            if (
                command.get(pdu.COMMAND_FIELD) == pdu.C_STORE_RSP
                and isinstance(answers, int)
                and isinstance(status, int)
            ):
                self._is_due = False
                self._answers.put((answers, status))
                return
        self._receive_usually(primitive)

    def _send(self, one: Any) -> None:
        """Write a PDU of pynetdicom's, or what is ours in one; in pynetdicom's own thread."""
        items = getattr(one, "presentation_data_value_items", ())
        ours = items[0].presentation_data_value if items else b""
        if isinstance(ours, _Encoded) and self._dul.socket is not None:
            self._dul.socket.send(ours)
            if ours.is_answered and (sock := self._dul.socket.socket) is not None:
                poll = select.poll()
                poll.register(sock, select.POLLIN)
                poll.poll(ANSWER_WAIT_MS)
        else:
            self._send_usually(one)
