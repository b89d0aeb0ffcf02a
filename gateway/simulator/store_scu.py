"""C-STORE as a requestor, quickly: pynetdicom negotiates, then the socket is ours.

pynetdicom hands every message through two threads that poll each millisecond: some 200
instances/s. Once an association is established nothing of that is needed to store: write
the request, read the response. So:
1. pynetdicom opens the connection and negotiates (A-ASSOCIATE, contexts, PDU length);
2. its two threads are ended, by its own means; they leave the connection open;
3. C-STORE, A-RELEASE and A-ABORT go over the socket from the caller's thread.
"""

import contextlib
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.association import Association

from gateway.dicom.uids import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from gateway.errors import AssociationRejected, ContextNotAccepted, OutcomeUnknown, PeerUnreachable
from gateway.network import tune_association
from gateway.simulator.dimse import (
    A_ABORT,
    A_RELEASE_RP,
    ABORT_BY_USER,
    P_DATA_TF,
    PDU_BYTES_MIN,
    RELEASE_REQUEST,
    command_fragments,
    message_pdus,
    parse_store_response,
    store_request,
)
from gateway.simulator.study import SOP_CLASS_UID, TRANSFER_SYNTAX_UID

CONNECT_TIMEOUT_S = 10
RESPONSE_TIMEOUT_S = 60
_PDU_BYTES_MAX = 16_384
"""Longest PDU we take: responses are some 150 bytes."""
_MESSAGE_ID_MAX = 65_535
_WRITE_BYTES = 1 << 18


class StoreAssociation:
    """An established association with one presentation context, used from one thread."""

    def __init__(self, connection: socket.socket, context_id: int, pdu_bytes_max: int) -> None:
        self._connection = connection
        self._context_id = context_id
        self._pdu_bytes_max = pdu_bytes_max
        self._message_id = 0
        connection.settimeout(RESPONSE_TIMEOUT_S)

    def store(self, sop_instance_uid: str, data_set: bytes) -> int:
        """Send one instance and return the peer's status.

        Raises OutcomeUnknown if no answer can be had: the peer may have the instance or not.
        """
        self._message_id = self._message_id % _MESSAGE_ID_MAX + 1
        command = store_request(self._message_id, SOP_CLASS_UID, sop_instance_uid)
        pdus = message_pdus(self._context_id, command, data_set, self._pdu_bytes_max)
        try:
            for write in _batched(pdus):
                self._connection.sendall(write)
            response = parse_store_response(self._read_command())
        except OSError as error:
            raise OutcomeUnknown(f"the connection broke off: {error}.") from error
        if response.message_id != self._message_id:
            raise OutcomeUnknown("the peer answered another request than ours.")
        return response.status

    def release(self) -> None:
        """End in order (PS3.8 7.2). All answers are in: a peer that fails here loses nothing."""
        with contextlib.suppress(OSError, OutcomeUnknown):
            self._connection.sendall(RELEASE_REQUEST)
            while self._read_pdu()[0] != A_RELEASE_RP:
                pass
        self._connection.close()

    def abort(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.sendall(ABORT_BY_USER)
        self._connection.close()

    def _read_command(self) -> bytes:
        command = b""
        while True:
            kind, body = self._read_pdu()
            if kind == A_ABORT:
                raise OutcomeUnknown("the peer aborted the association.")
            if kind != P_DATA_TF:
                raise OutcomeUnknown(f"the peer sent PDU type {kind:02X} instead of an answer.")
            for fragment, last in command_fragments(body):
                command += fragment
                if last:
                    return command

    def _read_pdu(self) -> tuple[int, bytes]:
        kind, _, length = struct.unpack(">BBL", self._read(6))
        if length > _PDU_BYTES_MAX:
            raise OutcomeUnknown(
                f"the peer sent a PDU of {length} bytes, {_PDU_BYTES_MAX} allowed."
            )
        return kind, self._read(length)

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self._connection.recv(count - len(data))
            if not more:
                raise OutcomeUnknown("the peer closed the connection.")
            data += more
        return data


def _batched(pdus: Iterator[bytes]) -> Iterator[bytes]:
    """Join PDUs to writes of about _WRITE_BYTES: every write may wake the peer for nothing."""
    batch: list[bytes] = []
    for pdu in pdus:
        batch.append(pdu)
        if sum(map(len, batch)) >= _WRITE_BYTES:
            yield b"".join(batch)
            batch.clear()
    yield b"".join(batch)


@contextmanager
def store_association(
    *, host: str, port: int, calling_ae_title: str, called_ae_title: str
) -> Iterator[StoreAssociation]:
    """Open an association for VL Endoscopic in JPEG Baseline; release it, or abort on an error.

    Raises PeerUnreachable, AssociationRejected or ContextNotAccepted before anything is sent.
    """
    negotiated = _negotiate(host, port, calling_ae_title, called_ae_title)
    association = _take_over(negotiated)
    try:
        yield association
    except BaseException:
        association.abort()
        raise
    association.release()


def _negotiate(host: str, port: int, calling_ae_title: str, called_ae_title: str) -> Association:
    """Step 1. Return an established association, or raise what stood in the way."""
    ae = AE(ae_title=calling_ae_title)
    ae.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.connection_timeout = ae.acse_timeout = CONNECT_TIMEOUT_S
    ae.add_requested_context(SOP_CLASS_UID, TRANSFER_SYNTAX_UID)
    connected = False

    def on_open(event: Any) -> None:
        nonlocal connected
        connected = True
        tune_association(event)

    peer = f"{called_ae_title} at {host}:{port}"
    try:
        assoc = ae.associate(
            host,
            port,
            ae_title=called_ae_title,
            max_pdu=_PDU_BYTES_MAX,
            evt_handlers=[(evt.EVT_CONN_OPEN, on_open)],
        )
    except OSError as error:  # the host name has no address
        raise PeerUnreachable(f"{peer} cannot be reached: {error}.") from error
    if assoc.is_established:
        return assoc
    answer = assoc.acceptor.primitive
    if assoc.is_rejected and answer is not None:
        raise AssociationRejected(
            f"{peer} rejected the association: {answer.reason_str}.",
            permanent=answer.result == 1,  # PS3.8 9.3.4: 1 rejected-permanent, 2 transient
        )
    if assoc.rejected_contexts:
        raise ContextNotAccepted(f"{peer} takes no VL Endoscopic images in JPEG Baseline.")
    if connected:
        raise PeerUnreachable(f"{peer} did not answer the association request.")
    raise PeerUnreachable(f"{peer} cannot be reached: the connection failed.")


def _take_over(assoc: Association) -> StoreAssociation:
    """Step 2. End pynetdicom's threads and take the connection.

    The upper layer's thread ends when told to; the association's thread ends when it finds
    the other one gone. Neither closes the socket on this path, and nothing is under way that
    they could lose: an acceptor says nothing before it is asked.
    """
    assoc.dul.kill_dul()
    assoc.dul.join()
    assoc.join()
    context_id = assoc.accepted_contexts[0].context_id
    connection = assoc.dul.socket.socket if assoc.dul.socket else None
    if connection is None or context_id is None:
        raise PeerUnreachable("the peer closed the connection right after accepting it.")
    pdu_bytes_max = assoc.acceptor.maximum_length or 0
    association = StoreAssociation(connection, context_id, pdu_bytes_max)
    if 0 < pdu_bytes_max < PDU_BYTES_MIN:
        association.abort()
        raise PeerUnreachable(f"the peer takes PDUs of {pdu_bytes_max} bytes: nothing fits in.")
    return association
