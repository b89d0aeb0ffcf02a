"""One TCP connection used from one thread. Whoever waits on it is asked along: the beat."""

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.network import low_latency

Beat = Callable[[], None]
"""Called at least once every beat_s while the connection is waited for, and as data moves. What
it raises ends the wait and passes through."""

_READ_BYTES = 65_536
"""Read at once: a whole response, its header and all, costs one system call."""


@dataclass(frozen=True)
class Timeouts:
    """connect_s: TCP; associate_s: the answer to A-ASSOCIATE and A-RELEASE; message_s: without
    any progress while a message is sent, or until it is answered."""

    connect_s: float = 10.0
    associate_s: float = 30.0
    message_s: float = 60.0


class Connection:
    """Raises only OSError (TimeoutError among them), and what the beat raises."""

    def __init__(self, raw: socket.socket, *, beat: Beat, beat_s: float) -> None:
        self._socket = low_latency(raw)
        self._socket.settimeout(beat_s)
        self._beat = beat
        self._received = bytearray()  # read, and not asked for yet
        self.is_open = True

    @classmethod
    def open(
        cls, host: str, port: int, *, timeout_s: float, beat: Beat, beat_s: float
    ) -> "Connection":
        return cls(
            socket.create_connection((host, port), timeout=timeout_s), beat=beat, beat_s=beat_s
        )

    def send(self, data: bytes | memoryview, *, timeout_s: float) -> None:
        """Write all of data. timeout_s counts from the last byte the peer's side took."""
        view = memoryview(data)
        deadline = time.monotonic() + timeout_s
        while view:
            try:
                view = view[self._socket.send(view) :]
                deadline = time.monotonic() + timeout_s
            except TimeoutError:
                _past(deadline, timeout_s)
            self._beat()

    def receive(self, count: int, *, timeout_s: float) -> bytes:
        """Read exactly count bytes. timeout_s counts from the last byte that came."""
        deadline = time.monotonic() + timeout_s
        while len(self._received) < count:
            try:
                more = self._socket.recv(_READ_BYTES)
            except TimeoutError:
                _past(deadline, timeout_s)
            else:
                if not more:
                    raise ConnectionResetError("the connection was closed")
                self._received += more
                deadline = time.monotonic() + timeout_s
            self._beat()
        data = bytes(self._received[:count])
        del self._received[:count]
        return data

    def wait_readable(self, timeout_s: float) -> bool:
        """Wait until there is something to read, or the end; tells whether there is."""
        if self._received:
            return True
        return bool(select.select([self._socket], [], [], max(0.0, timeout_s))[0])

    def close(self) -> None:
        self.is_open = False
        self._socket.close()


def _past(deadline: float, timeout_s: float) -> None:
    if time.monotonic() >= deadline:
        raise TimeoutError(f"nothing moved for {timeout_s:g} s")
