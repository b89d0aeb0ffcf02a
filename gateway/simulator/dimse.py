"""Pure: the bytes of C-STORE on the wire: command sets, PDVs, P-DATA-TF PDUs.

Command sets are Implicit VR Little Endian (PS3.7 6.3.1), PDU headers big endian (PS3.8 9.3).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.errors import OutcomeUnknown

P_DATA_TF, A_RELEASE_RQ, A_RELEASE_RP, A_ABORT = 0x04, 0x05, 0x06, 0x07
RELEASE_REQUEST = struct.pack(">BBLL", A_RELEASE_RQ, 0, 4, 0)
ABORT_BY_USER = struct.pack(">BBLL", A_ABORT, 0, 4, 0)

_PDV_OVERHEAD = 4 + 1 + 1
"""Bytes a PDV adds to its fragment: length, context id, control header (PS3.8 9.3.5.1)."""
PDU_BYTES_MIN = _PDV_OVERHEAD + 2
_UNLIMITED_PDU_BYTES = 1 << 20
"""What we write to a peer that sets no limit: larger PDUs gain nothing and cost it memory."""
_COMMAND, _LAST = 0x01, 0x02
_C_STORE_RQ, _C_STORE_RSP = 0x0001, 0x8001
_DATA_SET_PRESENT, _PRIORITY_MEDIUM = 0x0001, 0x0000


@dataclass(frozen=True)
class StoreResponse:
    message_id: int
    """Message ID Being Responded To."""
    status: int


def store_request(message_id: int, sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """Return the command set of a C-STORE-RQ (PS3.7 9.3.1.1)."""
    elements = b"".join(
        (
            _element(0x0002, _uid(sop_class_uid)),
            _element(0x0100, struct.pack("<H", _C_STORE_RQ)),
            _element(0x0110, struct.pack("<H", message_id)),
            _element(0x0700, struct.pack("<H", _PRIORITY_MEDIUM)),
            _element(0x0800, struct.pack("<H", _DATA_SET_PRESENT)),
            _element(0x1000, _uid(sop_instance_uid)),
        )
    )
    return _element(0x0000, struct.pack("<L", len(elements))) + elements


def message_pdus(
    context_id: int, command: bytes, data_set: bytes, pdu_bytes_max: int
) -> Iterator[bytes]:
    """Yield a message as PDUs whose length field is at most pdu_bytes_max; 0 is no limit.

    One fragment a PDU, of even length (PS3.8 E.1). pdu_bytes_max: 0, or PDU_BYTES_MIN and up.
    """
    room = (pdu_bytes_max or _UNLIMITED_PDU_BYTES) - _PDV_OVERHEAD
    room -= room % 2
    assert room > 0
    for flag, part in ((_COMMAND, command), (0, data_set)):
        view = memoryview(part)
        for start in range(0, max(len(view), 1), room):  # an empty part has an empty fragment
            fragment = view[start : start + room]
            control = flag | (_LAST if start + room >= len(view) else 0)
            length = len(fragment)
            head = struct.pack(
                ">BBLLBB", P_DATA_TF, 0, length + _PDV_OVERHEAD, length + 2, context_id, control
            )
            yield head + fragment


def command_fragments(pdu: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield (fragment, is the last one) of each command PDV in a P-DATA-TF's variable field.

    Raises OutcomeUnknown for a malformed PDU: whatever it answered cannot be known.
    """
    at = 0
    while at < len(pdu):
        if at + _PDV_OVERHEAD > len(pdu):
            raise OutcomeUnknown("the peer sent a malformed P-DATA-TF PDU.")
        length, _, control = struct.unpack_from(">LBB", pdu, at)
        end = at + 4 + length
        if length < 2 or end > len(pdu):
            raise OutcomeUnknown("the peer sent a malformed P-DATA-TF PDU.")
        if control & _COMMAND:
            yield pdu[at + _PDV_OVERHEAD : end], bool(control & _LAST)
        at = end


def parse_store_response(command: bytes) -> StoreResponse:
    """Read a C-STORE-RSP (PS3.7 9.3.1.2). Raises OutcomeUnknown for anything else."""
    values: dict[int, int] = {}
    at = 0
    while at + 8 <= len(command):
        group, element, length = struct.unpack_from("<HHL", command, at)
        at += 8
        if group == 0 and length == 2 and at + 2 <= len(command):
            values[element] = struct.unpack_from("<H", command, at)[0]
        at += length
    if values.get(0x0100) != _C_STORE_RSP or 0x0900 not in values or 0x0120 not in values:
        raise OutcomeUnknown("the peer answered a C-STORE request with another message.")
    return StoreResponse(message_id=values[0x0120], status=values[0x0900])


def _element(element: int, value: bytes) -> bytes:
    return struct.pack("<HHL", 0x0000, element, len(value)) + value


def _uid(value: str) -> bytes:
    data = value.encode("ascii")
    return data + b"\0" * (len(data) % 2)
