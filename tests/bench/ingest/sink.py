"""A receiver that reads each request whole, keeps nothing and gives a fixed answer.

    python -m tests.bench.ingest.sink PORT

The fastest one Python can have: what it reaches is the null round trip. It understands no more
of DICOM than the replay sender needs, and grants whatever is asked for.
"""

import contextlib
import os
import socket
import struct
import sys

from tests.instances import VL_ENDOSCOPIC, p_data
from tests.requestor import A_ASSOCIATE_AC, A_RELEASE_RP

PDU_HEADER = struct.Struct(">BxL")
A_ASSOCIATE_RQ, P_DATA_TF = 0x01, 0x04
PDU_BYTES_MAX = 131_072
BUFFER_BYTES = 512 << 10


def response() -> bytes:
    """Return a C-STORE-RSP (PS3.7 9.3.1.2) of Success to message 1, whatever was asked."""

    def element(number: int, value: bytes) -> bytes:
        value += b"\0" * (len(value) % 2)
        return struct.pack("<HHL", 0, number, len(value)) + value

    short = struct.Struct("<H").pack
    body = (
        element(0x0002, VL_ENDOSCOPIC.encode())
        + element(0x0100, short(0x8001))
        + element(0x0120, short(1))
        + element(0x0800, short(0x0101))
        + element(0x0900, short(0x0000))
        + element(0x1000, b"1.2.826.0.1.3680043.9.7433.1.1.100000000")
    )
    return p_data([(1, 3, element(0x0000, struct.pack("<L", len(body))) + body)])


def acceptance(request: bytes) -> bytes:
    """Return an A-ASSOCIATE-AC PDU (PS3.8 9.3.3): every context, with its first syntax."""

    def item(kind: int, body: bytes) -> bytes:
        return struct.pack(">BxH", kind, len(body)) + body

    contexts, user = b"", b""
    for kind, body in _items(request, 68):
        if kind == 0x20:
            syntax = next(value for one, value in _items(body, 4) if one == 0x40)
            contexts += item(0x21, body[:1] + bytes(3) + item(0x40, syntax))
        elif kind == 0x50:
            window = [item(one, value) for one, value in _items(body, 0) if one == 0x53]
            user = item(0x51, struct.pack(">L", PDU_BYTES_MAX)) + item(0x52, b"1.2.826.0.1.3680043")
            user += b"".join(window)
    accepted = request[:68] + item(0x10, b"1.2.840.10008.3.1.1.1") + contexts + item(0x50, user)
    return PDU_HEADER.pack(A_ASSOCIATE_AC, len(accepted)) + accepted


def _items(data: bytes, at: int) -> list[tuple[int, bytes]]:
    found = []
    while at < len(data):
        kind, length = struct.unpack_from(">BxH", data, at)
        found.append((kind, data[at + 4 : at + 4 + length]))
        at += 4 + length
    return found


def serve(connection: socket.socket) -> None:
    """Answer until the peer releases or goes away."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    answer = response()
    buffer = bytearray(BUFFER_BYTES)
    view = memoryview(buffer)
    start = end = 0
    while True:
        received = connection.recv_into(view[end:])
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        if not received:
            return
        end += received
        while end - start >= 6:
            kind, length = PDU_HEADER.unpack_from(buffer, start)
            following = start + 6 + length
            if following > end:
                break
            if kind == P_DATA_TF:
                if buffer[start + 11] == 2:  # message control header: the last of a data set
                    connection.sendall(answer)
            elif kind == A_ASSOCIATE_RQ:
                connection.sendall(acceptance(bytes(view[start + 6 : following])))
            else:
                connection.sendall(PDU_HEADER.pack(A_RELEASE_RP, 4) + bytes(4))
                return
            start = following
        if start == end:
            start = end = 0
        elif len(buffer) - end < PDU_BYTES_MAX:
            buffer[: end - start] = buffer[start:end]
            start, end = 0, end - start


def main() -> None:
    with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
        while True:
            connection, _ = listener.accept()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:  # what it used becomes ours
                    pass
            if os.fork() == 0:
                serve(connection)
                os._exit(0)
            connection.close()


if __name__ == "__main__":
    main()
