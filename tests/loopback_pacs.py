"""Peers for tests of sending: a pynetdicom AE that answers as told, and a scripted raw one."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pynetdicom import AE, evt

from gateway.dicom.storage_classes import JPEG_BASELINE, VL_ENDOSCOPIC
from gateway.network import tune_association


@dataclass
class Pacs:
    """answer: called with the C-STORE event after the instance was noted, returns the status."""

    port: int = 0
    answer: Callable[[evt.Event], int] = lambda _event: 0x0000
    stored: list[tuple[str, bytes]] = field(default_factory=list)
    pdu_lengths: list[int] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    requested: list[list[tuple[str, str]]] = field(default_factory=list)

    @property
    def stored_uids(self) -> list[str]:
        return [uid for uid, _ in self.stored]

    def on_store(self, event: evt.Event) -> int:
        self.stored.append((event.request.AffectedSOPInstanceUID, event.request.DataSet.getvalue()))
        return self.answer(event)

    def on_pdu(self, event: evt.Event) -> None:
        self.pdu_lengths.append(event.pdu.pdu_length)

    def on_accepted(self, event: evt.Event) -> None:
        contexts = event.assoc.requestor.primitive.presentation_context_definition_list
        self.requested.append([(one.abstract_syntax, one.transfer_syntax[0]) for one in contexts])


@contextlib.contextmanager
def running_pacs(
    contexts: Sequence[tuple[str, str]] = ((VL_ENDOSCOPIC, JPEG_BASELINE),),
    *,
    pdu_bytes_max: int = 16382,
    handlers: Sequence[object] = (),
) -> Iterator[Pacs]:
    """Run a PACS with the AE title PACS on a free loopback port."""
    pacs = Pacs()
    ae = AE("PACS")
    ae.maximum_pdu_size = pdu_bytes_max
    for sop_class_uid, transfer_syntax_uid in contexts:
        ae.add_supported_context(sop_class_uid, transfer_syntax_uid)
    server = ae.start_server(
        ("127.0.0.1", 0),
        block=False,
        evt_handlers=[
            (evt.EVT_CONN_OPEN, tune_association),
            (evt.EVT_C_STORE, pacs.on_store),
            (evt.EVT_PDU_RECV, pacs.on_pdu),
            (evt.EVT_ACCEPTED, pacs.on_accepted),
            (evt.EVT_RELEASED, lambda _event: pacs.ended.append("released")),
            (evt.EVT_ABORTED, lambda _event: pacs.ended.append("aborted")),
            *handlers,
        ],
    )
    pacs.port = server.socket.getsockname()[1]
    try:
        yield pacs
    finally:
        server.shutdown()


Script = Callable[[socket.socket], None]


@contextlib.contextmanager
def scripted_peer(script: Script) -> Iterator[int]:
    """Listen on a free loopback port and play `script` to the first who connects; yields the port.

    What the script raises is raised here at the end.
    """
    failures: list[BaseException] = []

    def play() -> None:
        try:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(10)
                script(connection)
        except OSError as error:
            failures.append(error)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        thread = threading.Thread(target=play)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()
    assert not failures, failures


def receive(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise ConnectionResetError("the other side closed the connection")
        data += more
    return data


def receive_pdu(connection: socket.socket) -> bytes:
    head = receive(connection, 6)
    return head + receive(connection, int.from_bytes(head[2:], "big"))
