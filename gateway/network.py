"""Socket options that keep small DICOM messages from waiting for timers.

A sender that leaves Nagle's algorithm on (DCMTK and Orthanc do) and writes a PDU in pieces
waits for our acknowledgement, which the kernel delays by 40 ms: 22 instances/s with any
receiver. Acknowledging at once (TCP_QUICKACK, re-armed after each read because the kernel
forgets it) removes the wait; TCP_NODELAY does the same for what we send. The fast path
(gateway.scp.wire) does so only with senders that it saw waiting.
"""

import fcntl
import math
import socket
import struct
import sys
import termios
from typing import Any

QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux only


class LowLatencySocket(socket.socket):
    """A socket that acknowledges what it reads at once."""

    def recv(self, *args: Any) -> bytes:
        data = super().recv(*args)
        self.acknowledge_now()
        return data

    def recv_into(self, *args: Any) -> int:
        count = super().recv_into(*args)
        self.acknowledge_now()
        return count

    def recv_unacknowledged_into(self, buffer: memoryview) -> int:
        """Receive; whoever reads acknowledges, if it does not answer at once."""
        return super().recv_into(buffer)

    def acknowledge_now(self) -> None:
        if QUICKACK is not None:
            try:  # noqa: SIM105 - at every read; a context manager would cost more than the call
                self.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)
            except OSError:  # the peer may be gone already
                pass


def low_latency(raw: socket.socket) -> socket.socket:
    """Return the same connection without Nagle's algorithm and, where plain TCP, quick ACKs.

    The socket given is detached unless it is wrapped (TLS): use the one returned.
    """
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if type(raw) is not socket.socket:
        return raw
    timeout = raw.gettimeout()
    quick = LowLatencySocket(raw.family, raw.type, raw.proto, fileno=raw.detach())
    quick.settimeout(timeout)
    return quick


def limit_sending(connection: socket.socket, timeout_s: float) -> None:
    """Let no send wait longer for a peer that does not read: BlockingIOError is raised then.

    Python's own time-out would make every receive poll first.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(timeout_s))


def limit_receiving(connection: socket.socket, timeout_s: float) -> None:
    """Let no receive wait longer for a silent peer: BlockingIOError is raised then."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(timeout_s))


def _timeval(seconds: float) -> bytes:
    fraction, whole = math.modf(seconds)
    return struct.pack("@ll", int(whole), int(fraction * 1_000_000))


def unread_bytes(connection: socket.socket) -> int:
    """Return how much the peer has sent that we have not read. Raises OSError."""
    waiting = fcntl.ioctl(connection.fileno(), termios.FIONREAD, bytes(4))
    return int.from_bytes(waiting, sys.byteorder)


def tune_association(event: Any) -> None:
    """Handle pynetdicom's EVT_CONN_OPEN, at both ends of an association."""
    wrapper = event.assoc.dul.socket
    if wrapper is not None and wrapper.socket is not None:
        wrapper.socket = low_latency(wrapper.socket)
