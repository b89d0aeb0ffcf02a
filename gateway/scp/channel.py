"""How the acceptor and a receiving process talk: small messages, some with a connection.

    acceptor -> process   PASSED (with the connection), GRANTED, AT_LIMIT
    process -> acceptor   ASKED (its A-ASSOCIATE-RQ is whole), GONE

The end of file says that the other side is gone.
"""

import contextlib
import socket
import struct
from enum import IntEnum
from typing import NamedTuple


class Kind(IntEnum):
    PASSED = 1  # a new connection
    ASKED = 2  # this connection wants to become an association
    GRANTED = 3  # it may
    AT_LIMIT = 4  # it may not: there are as many as there may be
    GONE = 5  # this connection is over


class Message(NamedTuple):
    kind: Kind
    number: int
    """Of the connection; given by the acceptor, never used twice."""
    connection: socket.socket | None = None


_FORMAT = struct.Struct("<BQ")


class Channel:
    """One end. Messages are so short that the kernel takes each whole or not at all."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    @classmethod
    def pair(cls) -> tuple["Channel", "Channel"]:
        ours, theirs = socket.socketpair()
        return cls(ours), cls(theirs)

    def fileno(self) -> int:
        return self._end.fileno()

    def never_wait(self) -> None:
        """Let `send` and `receive` raise BlockingIOError instead of waiting."""
        self._end.setblocking(False)

    def send(self, kind: Kind, number: int, connection: socket.socket | None = None) -> None:
        """Send a message; the connection stays open here too. Raises OSError."""
        message = _FORMAT.pack(kind, number)
        if connection is None:
            self._end.send(message)
        else:
            socket.send_fds(self._end, [message], [connection.fileno()])

    def receive(self) -> Message | None:
        """Return the next message, or None if the other side is gone. Raises OSError."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._end, _FORMAT.size, 1)
        except ConnectionError:
            return None
        connection = socket.socket(fileno=descriptors[0]) if descriptors else None
        if len(data) < _FORMAT.size:
            return None
        kind, number = _FORMAT.unpack(data)
        return Message(Kind(kind), number, connection)

    def hang_up(self) -> None:
        """End the talk for both sides; wakes whoever waits for a message."""
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._end.close()
