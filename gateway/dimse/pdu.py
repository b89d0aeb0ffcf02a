"""Pure: the bytes of DIMSE messages: command sets, PDVs, P-DATA-TF PDUs.

Command sets are Implicit VR Little Endian (PS3.7 6.3.1), PDU headers big endian (PS3.8 9.3).
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

A_ASSOCIATE_AC, A_ASSOCIATE_RJ, P_DATA_TF = 0x02, 0x03, 0x04
A_RELEASE_RQ, A_RELEASE_RP, A_ABORT = 0x05, 0x06, 0x07

RELEASE_REQUEST = struct.pack(">BBLL", A_RELEASE_RQ, 0, 4, 0)
RELEASE_RESPONSE = struct.pack(">BBLL", A_RELEASE_RP, 0, 4, 0)
ABORT_BY_USER = struct.pack(">BBLL", A_ABORT, 0, 4, 0)

COMMAND, LAST = 0x01, 0x02
"""Bits of the message control header (PS3.8 E.2)."""

PDV_OVERHEAD = 4 + 1 + 1
"""Bytes a PDV adds to its fragment: length, context id, control header (PS3.8 9.3.5.1)."""
FRAGMENT_HEAD = struct.Struct(">BBLLBB")
"""A PDU header and the header of the one PDV in it."""

# Command elements, group 0000 (PS3.7 E.1).
AFFECTED_SOP_CLASS_UID, REQUESTED_SOP_CLASS_UID = 0x0002, 0x0003
COMMAND_FIELD, MESSAGE_ID, MESSAGE_ID_BEING_RESPONDED_TO = 0x0100, 0x0110, 0x0120
PRIORITY, COMMAND_DATA_SET_TYPE, STATUS = 0x0700, 0x0800, 0x0900
AFFECTED_SOP_INSTANCE_UID, REQUESTED_SOP_INSTANCE_UID = 0x1000, 0x1001
EVENT_TYPE_ID, ACTION_TYPE_ID = 0x1002, 0x1008
ERROR_COMMENT = 0x0902
REMAINING_COUNT, COMPLETED_COUNT, FAILED_COUNT, WARNING_COUNT = 0x1020, 0x1021, 0x1022, 0x1023
MOVE_ORIGINATOR_AE_TITLE, MOVE_ORIGINATOR_MESSAGE_ID = 0x1030, 0x1031

C_STORE_RQ, C_STORE_RSP = 0x0001, 0x8001
C_GET_RQ, C_GET_RSP = 0x0010, 0x8010
C_FIND_RQ, C_FIND_RSP = 0x0020, 0x8020
C_MOVE_RQ, C_MOVE_RSP = 0x0021, 0x8021
N_EVENT_REPORT_RQ, N_EVENT_REPORT_RSP = 0x0100, 0x8100
N_ACTION_RQ, N_ACTION_RSP = 0x0130, 0x8130
DATA_SET_PRESENT, NO_DATA_SET = 0x0001, 0x0101
MEDIUM = 0x0000

Command = Mapping[int, int | str]
"""Command elements by element number: US as int; UI, AE and LO as str, ASCII."""

_NUMBERS = frozenset(
    {
        COMMAND_FIELD,
        MESSAGE_ID,
        MESSAGE_ID_BEING_RESPONDED_TO,
        PRIORITY,
        COMMAND_DATA_SET_TYPE,
        STATUS,
        EVENT_TYPE_ID,
        ACTION_TYPE_ID,
    }
)
_UIDS = frozenset(
    {
        AFFECTED_SOP_CLASS_UID,
        REQUESTED_SOP_CLASS_UID,
        AFFECTED_SOP_INSTANCE_UID,
        REQUESTED_SOP_INSTANCE_UID,
    }
)
_UNLIMITED_PDU_BYTES = 1 << 20
"""What we write to a peer that sets no limit: larger PDUs gain nothing and cost it memory."""


@dataclass(frozen=True)
class Fragment:
    context_id: int
    control: int
    data: bytes

    @property
    def is_command(self) -> bool:
        return bool(self.control & COMMAND)

    @property
    def is_last(self) -> bool:
        return bool(self.control & LAST)


def encode_command(elements: Command) -> bytes:
    """Return the command set with its group length."""
    body = b"".join(_element(number, elements[number]) for number in sorted(elements))
    return struct.pack("<HHLL", 0x0000, 0x0000, 4, len(body)) + body


def decode_command(data: bytes) -> dict[int, int | str]:
    """Read the numbers and UIDs of a command set; other elements are skipped.

    Raises ValueError if an element is cut off.
    """
    values: dict[int, int | str] = {}
    position = 0
    while position < len(data):
        if position + 8 > len(data):
            raise ValueError("the command set is cut off")
        group, element, length = struct.unpack_from("<HHL", data, position)
        value = data[position + 8 : position + 8 + length]
        if len(value) != length:
            raise ValueError("the command set is cut off")
        if group == 0 and element in _NUMBERS and length == 2:
            values[element] = int.from_bytes(value, "little")
        elif group == 0 and element in _UIDS:
            values[element] = value.decode("ascii", "replace").strip("\0 ")
        position += 8 + length
    return values


def fragment_room(pdu_bytes_max: int) -> int:
    """Return how many bytes of a message fit in one PDU, an even number (PS3.8 E.2).

    pdu_bytes_max: the peer's Maximum Length Received (PS3.8 D.1); 0 is no limit. Not above 0
    if nothing fits.
    """
    room = min(pdu_bytes_max or _UNLIMITED_PDU_BYTES, _UNLIMITED_PDU_BYTES) - PDV_OVERHEAD
    return room - room % 2


def fragment_head(context_id: int, control: int, length: int) -> tuple[int, ...]:
    """Return the fields of FRAGMENT_HEAD for a PDU with one fragment of `length` bytes."""
    return (P_DATA_TF, 0, length + PDV_OVERHEAD, length + 2, context_id, control)


def message_pdus(context_id: int, kind: int, data: bytes, room: int) -> Iterator[bytes]:
    """Yield a whole command set (kind COMMAND) or data set (kind 0) as PDUs."""
    for start in range(0, len(data), room):
        part = data[start : start + room]
        control = kind | (LAST if start + room >= len(data) else 0)
        yield FRAGMENT_HEAD.pack(*fragment_head(context_id, control, len(part))) + part


def fragments(body: bytes) -> Iterator[Fragment]:
    """Yield the fragments in the variable field of a P-DATA-TF PDU.

    Raises ValueError if a PDV is cut off.
    """
    position = 0
    while position < len(body):
        if position + PDV_OVERHEAD > len(body):
            raise ValueError("a presentation data value is cut off")
        length, context_id, control = struct.unpack_from(">LBB", body, position)
        end = position + 4 + length
        if length < 2 or end > len(body):
            raise ValueError("a presentation data value is cut off")
        yield Fragment(context_id, control, body[position + PDV_OVERHEAD : end])
        position = end


def _element(number: int, value: int | str) -> bytes:
    if isinstance(value, int):
        data = struct.pack("<H", value)
    else:
        data = value.encode("ascii")
        data += (b"\0" if number in _UIDS else b" ") * (len(data) % 2)
    return struct.pack("<HHL", 0x0000, number, len(data)) + data
