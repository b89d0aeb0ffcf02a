"""Pure: the P-DATA-TF PDU (PS3.8 9.3.5) and its presentation data values (PS3.8 Annex E)."""

import struct
from collections.abc import Iterable, Iterator

A_ASSOCIATE_RQ, A_ASSOCIATE_RJ = 0x01, 0x03
P_DATA_TF = 0x04
A_RELEASE_RQ = 0x05
A_ABORT = 0x07
HEADER = struct.Struct(">BxL")
"""PDU type, reserved, length of what follows."""
_PDV = struct.Struct(">LBB")

COMMAND, LAST = 0x01, 0x02
"""Bits of the message control header (PS3.8 E.2)."""

ABORT_UNEXPECTED_PARAMETER, ABORT_INVALID_VALUE = 0x05, 0x06
"""Reasons of an A-ABORT by the service provider (PS3.8 9.3.8)."""


class MalformedPdu(ValueError):
    """The bytes are not what PS3.8 allows; the association is aborted."""


Value = tuple[int, int, memoryview]
"""Presentation context id, control header, fragment."""


def values(body: memoryview) -> Iterable[Value]:
    """Return the presentation data values of a P-DATA-TF body.

    Raises MalformedPdu, at the latest while they are gone through, if the item lengths do not
    add up.
    """
    if len(body) > _PDV.size:
        length, context_id, control = _PDV.unpack_from(body)
        if length + 4 == len(body):  # one fills the PDU, as nearly always
            return ((context_id, control, body[_PDV.size :]),)
    return _several(body)


def _several(body: memoryview) -> Iterator[Value]:
    position, end = 0, len(body)
    while position < end:
        if end - position < _PDV.size:
            raise MalformedPdu("a presentation data value is cut off")
        length, context_id, control = _PDV.unpack_from(body, position)
        following = position + 4 + length
        if length < 2 or following > end:
            raise MalformedPdu("a presentation data value has an impossible length")
        yield context_id, control, body[position + 6 : following]
        position = following


def encode_value(context_id: int, control: int, fragment: bytes | memoryview) -> bytes:
    """Return a P-DATA-TF PDU with one presentation data value."""
    size = len(fragment)
    return (
        HEADER.pack(P_DATA_TF, size + 6)
        + _PDV.pack(size + 2, context_id, control)
        + bytes(fragment)
    )


def encode_abort(reason: int) -> bytes:
    """Return an A-ABORT PDU whose source is the service provider."""
    return HEADER.pack(A_ABORT, 4) + bytes((0, 0, 2, reason))


def encode_reject(result: int, source: int, reason: int) -> bytes:
    """Return an A-ASSOCIATE-RJ PDU (PS3.8 9.3.4)."""
    return HEADER.pack(A_ASSOCIATE_RJ, 4) + bytes((0, result, source, reason))


def protocol_version(associate_rq: bytes | bytearray) -> int:
    """Return the Protocol-version of an A-ASSOCIATE-RQ, a bit for each version (PS3.8 9.3.2)."""
    return int.from_bytes(associate_rq[HEADER.size : HEADER.size + 2], "big")


def missing(received: bytes | bytearray, *, bytes_max: int) -> int:
    """Return how many bytes a PDU that is arriving lacks: of its header first, then of all of it.

    0: it is whole. Raises MalformedPdu if it announces more than bytes_max, before any of that
    is read or room is made for it.
    """
    if len(received) < HEADER.size:
        return HEADER.size - len(received)
    _, length = HEADER.unpack_from(received)
    if length > bytes_max:
        raise MalformedPdu("a PDU announces an absurd length")
    return int(HEADER.size + length - len(received))
