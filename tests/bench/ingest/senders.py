"""The replay sender: every message is encoded beforehand, so that it is never the bottleneck."""

import functools
import multiprocessing
import queue
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.ingest.figures import Run
from tests.bench.ingest.messages import LargeInstance, Template
from tests.instances import p_data, store_command
from tests.requestor import Requestor

CALLING, CALLED = "BENCH", "RECEIVER"
PDU_HEADER = struct.Struct(">BxL")
P_DATA_TF = 0x04
SUCCESS = b"\x00\x00\x00\x09\x02\x00\x00\x00\x00\x00"
"""Status (0000,0900), Implicit VR Little Endian, of value 0000."""


class Answers:
    """The C-STORE-RSPs of an association, read into one buffer."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray(1 << 16)
        self._view = memoryview(self._buffer)
        self._end = 0

    def read(self) -> int:
        """Wait for answers; return how many came, all of them Success (else raise)."""
        count = 0
        while not count:
            received = self._connection.recv_into(self._view[self._end :])
            # Or a receiver with Nagle's algorithm on waits 40 ms for our acknowledgement.
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            if not received:
                raise ConnectionError("the receiver closed the connection")
            self._end += received
            count = self._take()
        return count

    def _take(self) -> int:
        start = count = 0
        while self._end - start >= PDU_HEADER.size:
            kind, length = PDU_HEADER.unpack_from(self._buffer, start)
            following = start + PDU_HEADER.size + length
            if following > self._end:
                break
            if kind != P_DATA_TF or self._buffer.find(SUCCESS, start, following) < 0:
                raise ConnectionError(f"no Success: {self._buffer[start:following].hex()}")
            start, count = following, count + 1
        if start:
            rest = self._end - start
            self._buffer[:rest] = self._buffer[start : self._end]
            self._end = rest
        return count


def send_all(
    connection: socket.socket, messages: Sequence[bytes], window: int
) -> tuple[float, float, list[float]]:
    """Send them with up to `window` unanswered; return begin, end (s) and each latency (µs)."""
    clock = time.perf_counter
    answers = Answers(connection)
    count = len(messages)
    begun, latencies = [0.0] * count, [0.0] * count
    sent = answered = 0
    started = clock()
    while answered < count:
        while sent < count and sent - answered < window:
            begun[sent] = clock()
            connection.sendall(messages[sent])
            sent += 1
        came = answers.read()
        now = clock()
        for index in range(answered, answered + came):
            latencies[index] = (now - begun[index]) * 1e6
        answered += came
    return started, clock(), latencies


@dataclass(frozen=True)
class Replay:
    """Sends `count` instances of the template, shared out over associations."""

    template: Template
    count: int
    associations: int = 1
    window: int = 1

    def digests(self) -> dict[str, str]:
        return self.template.digests(self.count)

    def send(self, port: int) -> Run:
        shares = [
            range(
                self.count * one // self.associations, self.count * (one + 1) // self.associations
            )
            for one in range(self.associations)
        ]
        results = _in_processes([functools.partial(self._one, port, one) for one in shares])
        return Run(
            instances=self.count,
            bytes=self.count * len(self.template.data),
            seconds=max(ended for _, ended, _ in results) - min(began for began, _, _ in results),
            latencies_us=[us for _, _, latencies in results for us in latencies],
        )

    def _one(self, port: int, share: range, go: Any) -> tuple[float, float, list[float]]:
        window = self.window if self.window > 1 else None
        with Requestor(port, calling=CALLING, called=CALLED, window=window) as assoc:
            if window is not None:
                asked = b"\x53\x00\x00\x04" + struct.pack(">HH", window, 1)
                assert asked in assoc.accepted, "the window was not granted"
            messages = [
                assoc.message(uid, data, message_id=number % 0xFFFF + 1)
                for number, (uid, data) in zip(
                    share, self.template.instances(share.start, len(share)), strict=True
                )
            ]
            go.wait()
            return send_all(assoc.connection, messages, self.window)


@dataclass(frozen=True)
class ReplayLarge:
    """Sends one instance too large to be encoded beforehand, from one block in memory."""

    instance: LargeInstance

    def digests(self) -> dict[str, str]:
        return self.instance.digests()

    def send(self, port: int) -> Run:
        ((began, ended),) = _in_processes([functools.partial(self._one, port)])
        return Run(1, self.instance.size, ended - began)

    def _one(self, port: int, go: Any) -> tuple[float, float]:
        with Requestor(port, calling=CALLING, called=CALLED) as assoc:
            room = (assoc.max_pdu or 1 << 17) - 6
            go.wait()
            started = time.perf_counter()
            assoc.send(p_data([(assoc.context_id, 3, store_command(self.instance.uid))]))
            for piece in self.instance.pieces():
                last = 2 if piece is self.instance.tail else 0
                for at in range(0, len(piece), room):
                    assoc.send(p_data([(assoc.context_id, last, piece[at : at + room])]))
            Answers(assoc.connection).read()
            ended = time.perf_counter()
        return started, ended


def _in_processes(actions: Sequence[Callable[[Any], Any]]) -> list[Any]:
    """Run each in a process of its own; all pass `go.wait()` together. Return their results."""
    context = multiprocessing.get_context("fork")
    go, results = context.Barrier(len(actions)), context.Queue()
    processes = [
        context.Process(target=lambda one=one: results.put(one(go)), daemon=True) for one in actions
    ]
    for process in processes:
        process.start()
    gathered: list[Any] = []
    try:
        while len(gathered) < len(processes):
            try:
                gathered.append(results.get(timeout=1))
            except queue.Empty:
                assert not any(process.exitcode for process in processes), "a sender failed"
    except BaseException:
        for process in processes:
            process.kill()  # they may wait for the one that failed
        raise
    finally:
        for process in processes:
            process.join()
    return gathered
