"""Letting the two threads of an association sleep while nothing happens on it.

pynetdicom's look for something to do every millisecond each: an association on which nothing
happens costs 6 % of a core, and as many of them as there may be would cost the whole machine.
"""

import select
import threading
from typing import Any

REST_MS = 50
"""What the peer sends wakes at once. What we want to say by ourselves, an abort, waits this long
at most."""
LOOKS = 4
"""Milliseconds of nothing before the first rest."""


class Quiet:
    """Stands before pynetdicom's looking, on one association that is not started yet."""

    def __init__(self, assoc: Any) -> None:
        self._assoc, self._dul = assoc, assoc.dul
        self._look, self._serve = assoc.dul._is_transport_event, assoc._serve_request
        self._serving_count = self._looks = 0
        self._lock = threading.Lock()
        assoc.dul._is_transport_event = self._look_in_peace
        assoc._serve_request = self._serve_counted

    def _look_in_peace(self) -> bool:
        """Wait for the peer if nobody else has anything to say. In the upper-layer thread."""
        self._looks = self._looks + 1 if self._is_quiet() else 0
        if self._looks >= LOOKS:
            self._rest()
        happened = bool(self._look())
        if happened:
            self._looks = 0
        return happened

    def _is_quiet(self) -> bool:
        dul = self._dul
        return (
            dul.state_machine.current_state == "Sta6"  # ready for data transfer
            and not self._serving_count
            and dul.event_queue.empty()
            and dul.to_provider_queue.empty()
            and dul.to_user_queue.empty()
            and self._assoc.dimse.msg_queue.empty()
        )

    def _rest(self) -> None:
        connection = self._dul.socket.socket
        if connection is None or getattr(connection, "pending", int)():
            return  # closed; or TLS holds bytes that polling would not show
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        checkpoint = self._assoc._reactor_checkpoint
        checkpoint.clear()  # the association's own thread waits here
        try:
            poll.poll(REST_MS)
        finally:
            checkpoint.set()

    def _serve_counted(self, message: Any, context_id: int) -> None:
        with self._lock:  # N-EVENT-REPORT is served in threads of its own
            self._serving_count += 1
        try:
            self._serve(message, context_id)
        finally:
            with self._lock:
                self._serving_count -= 1
