"""Waiting for what a peer sends next, with as few calls to the kernel as there can be."""

import select
import socket
from collections.abc import Callable

from gateway.network import LowLatencySocket, limit_receiving

LINGER_MS = 20
"""Silence after which the thread that reads goes back to pynetdicom's own loop."""


class Source:
    """The receiving side of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.receive_into: Callable[[memoryview], int]
        """Receive at least a byte, 0 at the end of the connection. Raises BlockingIOError after
        LINGER_MS of silence, OSError if the connection is broken."""
        self.acknowledge: Callable[[], None]
        """Let the peer know at once what came. An answer says as much, and costs nothing more."""
        if isinstance(connection, LowLatencySocket):
            limit_receiving(connection, LINGER_MS / 1000)
            self.receive_into = connection.recv_unacknowledged_into
            self.acknowledge = connection.acknowledge_now
        else:  # TLS, which decrypts more than it returns: the kernel cannot say what is there
            self._connection = connection
            self._poll = select.poll()
            self._poll.register(connection, select.POLLIN)
            self._first = True
            self.receive_into = self._poll_and_receive
            self.acknowledge = lambda: None

    def _poll_and_receive(self, buffer: memoryview) -> int:
        # pynetdicom's loop saw that there is something, or bytes would not be pending.
        first, self._first = self._first, False
        pending: Callable[[], int] = getattr(self._connection, "pending", int)
        if not first and not pending() and not self._poll.poll(LINGER_MS):
            raise BlockingIOError
        return self._connection.recv_into(buffer)
