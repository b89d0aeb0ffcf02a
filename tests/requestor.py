"""A raw association requestor for tests: every byte of it is ours to bend.

Nothing of the product and nothing of pynetdicom is used, so that it can agree with neither by
sharing a mistake (PS3.8 9.3).
"""

import contextlib
import socket
import struct
from collections.abc import Sequence
from types import TracebackType

from tests.instances import JPEG_BASELINE, VL_ENDOSCOPIC, p_data, store_command

A_ASSOCIATE_AC, A_ASSOCIATE_RJ, P_DATA_TF, A_RELEASE_RP, A_ABORT = 0x02, 0x03, 0x04, 0x06, 0x07
RELEASE_REQUEST = struct.pack(">BxL4x", 0x05, 4)
ABORT = struct.pack(">BxL4x", 0x07, 4)


class Refused(Exception):
    """The association was not accepted; args: PDU type and its body."""


class Broken(Exception):
    """The acceptor aborted or closed the connection."""


def associate_request(
    *,
    calling: str,
    called: str,
    contexts: Sequence[tuple[str, Sequence[str]]],
    max_pdu: int = 16_384,
    window: int | None = None,
) -> bytes:
    """Return an A-ASSOCIATE-RQ PDU (PS3.8 9.3.2). window: operations invoked (PS3.7 D.3.3.3)."""

    def item(kind: int, body: bytes) -> bytes:
        return struct.pack(">BxH", kind, len(body)) + body

    presentation = b"".join(
        item(
            0x20,
            struct.pack(">B3x", 2 * index + 1)
            + item(0x30, abstract.encode())
            + b"".join(item(0x40, syntax.encode()) for syntax in syntaxes),
        )
        for index, (abstract, syntaxes) in enumerate(contexts)
    )
    user = item(0x51, struct.pack(">L", max_pdu)) + item(0x52, b"1.2.826.0.1.3680043.9.7433.9")
    if window is not None:
        user += item(0x53, struct.pack(">HH", window, 1))
    body = (
        struct.pack(">H2x16s16s32x", 1, called.encode().ljust(16), calling.encode().ljust(16))
        + item(0x10, b"1.2.840.10008.3.1.1.1")
        + presentation
        + item(0x50, user)
    )
    return struct.pack(">BxL", 0x01, len(body)) + body


class Requestor:
    """An association with one VL Endoscopic, JPEG Baseline context unless told otherwise."""

    def __init__(
        self,
        port: int,
        *,
        calling: str = "WORKSTATION",
        called: str = "CAPSULEGW",
        contexts: Sequence[tuple[str, Sequence[str]]] = ((VL_ENDOSCOPIC, [JPEG_BASELINE]),),
        window: int | None = None,
    ) -> None:
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        self._buffered = b""
        self.connection.sendall(
            associate_request(calling=calling, called=called, contexts=contexts, window=window)
        )
        kind, body = self.read_pdu()
        if kind != A_ASSOCIATE_AC:
            raise Refused(kind, body)
        self.accepted = body
        self.context_id = 1
        self.max_pdu = self._max_pdu(body)

    def __enter__(self) -> "Requestor":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.release()
        elif self.connection.fileno() >= 0:
            self.abort()

    def send(self, data: bytes) -> None:
        try:
            self.connection.sendall(data)
        except OSError as error:
            raise Broken(str(error)) from error

    def store(self, sop_instance_uid: str, data: bytes, *, message_id: int = 1) -> int:
        """Store one instance and return the status."""
        self.send(self.message(sop_instance_uid, data, message_id=message_id))
        return self.read_status()

    def message(self, sop_instance_uid: str, data: bytes, *, message_id: int = 1) -> bytes:
        """Return the PDUs of a C-STORE-RQ, the command in one of its own."""
        room = (self.max_pdu or 1 << 20) - 6
        pieces = [data[at : at + room] for at in range(0, len(data), room)] or [b""]
        command = store_command(sop_instance_uid, message_id=message_id)
        return p_data([(self.context_id, 3, command)]) + b"".join(
            p_data([(self.context_id, 2 if index == len(pieces) - 1 else 0, piece)])
            for index, piece in enumerate(pieces)
        )

    def read_status(self) -> int:
        """Return the status (0000,0900) of the next C-STORE-RSP."""
        return self.read_response()[0x0900]

    def read_response(self) -> dict[int, int]:
        """Return the US values of the next response's command set by element number."""
        kind, body = self.read_pdu()
        if kind != P_DATA_TF:
            raise Broken(f"PDU type {kind:02X}: {body.hex()}")
        command, values, at = body[6:], {}, 0
        while at < len(command):
            _, element, length = struct.unpack_from("<HHL", command, at)
            if length == 2:
                (values[element],) = struct.unpack_from("<H", command, at + 8)
            at += 8 + length
        return values

    def read_pdu(self) -> tuple[int, bytes]:
        kind, length = struct.unpack(">BxL", self._read(6))
        return kind, self._read(length)

    def release(self) -> None:
        self.send(RELEASE_REQUEST)
        while self.read_pdu()[0] != A_RELEASE_RP:
            pass
        self.connection.close()

    def abort(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.sendall(ABORT)
        self.connection.close()

    def _read(self, count: int) -> bytes:
        while len(self._buffered) < count:
            try:
                more = self.connection.recv(1 << 16)
                # Or an acceptor with Nagle's algorithm on waits 40 ms for our acknowledgement.
                self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            except ConnectionError:
                more = b""
            if not more:
                raise Broken("the connection was closed")
            self._buffered += more
        data, self._buffered = self._buffered[:count], self._buffered[count:]
        return data

    @staticmethod
    def _max_pdu(body: bytes) -> int:
        at = body.index(b"\x51\x00\x00\x04")
        return struct.unpack_from(">L", body, at + 4)[0]
