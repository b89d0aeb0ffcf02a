"""Pure: the two command sets of C-STORE (PS3.7 9.3.1), always Implicit VR Little Endian."""

import struct
from functools import lru_cache
from typing import NamedTuple

C_STORE_RQ, C_STORE_RSP = 0x0001, 0x8001
NO_DATA_SET = 0x0101

_ELEMENT = struct.Struct("<HHL")
_AFFECTED_SOP_CLASS_UID, _COMMAND_FIELD, _MESSAGE_ID = 0x0002, 0x0100, 0x0110
_DATA_SET_TYPE, _STATUS, _ERROR_COMMENT = 0x0800, 0x0900, 0x0902
_RESPONDED_TO, _AFFECTED_SOP_INSTANCE_UID = 0x0120, 0x1000


class StoreRequest(NamedTuple):
    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    """As sent: check before use."""


def decode(command_set: bytes | bytearray) -> StoreRequest | None:
    """Return a C-STORE-RQ with a data set; None for any other or unreadable command."""
    values: dict[int, bytes] = {}
    encoded, unpack = bytes(command_set), _ELEMENT.unpack_from
    position, end = 0, len(encoded)
    while position + 8 <= end:
        group, element, length = unpack(encoded, position)
        start = position + 8
        position = start + length
        if group != 0x0000 or position > end:
            return None
        values[element] = encoded[start:position]
    if _us(values, _COMMAND_FIELD) != C_STORE_RQ or _us(values, _DATA_SET_TYPE) == NO_DATA_SET:
        return None
    message_id = _us(values, _MESSAGE_ID)
    if message_id is None:
        return None
    return StoreRequest(
        message_id,
        _ui(values, _AFFECTED_SOP_CLASS_UID),
        _ui(values, _AFFECTED_SOP_INSTANCE_UID),
    )


class RequestReader:
    """Decodes what `decode` decodes, with a memory: the requests of one sender are the same but
    for Message ID and, at their end, Affected SOP Instance UID."""

    def __init__(self) -> None:
        self._start = self._middle = b""
        self._size = self._uid_at = 0
        self._sop_class_uid = ""

    def read(self, command_set: bytes) -> StoreRequest | None:
        """Return a C-STORE-RQ with a data set; None for any other or unreadable command."""
        id_at = len(self._start)
        if (
            len(command_set) == self._size
            and command_set.startswith(self._start)
            and command_set.startswith(self._middle, id_at + 2)
        ):
            return StoreRequest(
                int.from_bytes(command_set[id_at : id_at + 2], "little"),
                self._sop_class_uid,
                _uid(command_set[self._uid_at :]),
            )
        request = decode(command_set)
        if request is not None:
            self._learn(command_set, request)
        return request

    def _learn(self, command_set: bytes, request: StoreRequest) -> None:
        places: dict[int, int] = {}
        position, last = 0, -1
        while position + 8 <= len(command_set):
            _, last, length = _ELEMENT.unpack_from(command_set, position)
            if last in places:
                return  # twice the same: what counts is for `decode` to say
            places[last] = position + 8
            position += 8 + length
        if last == _AFFECTED_SOP_INSTANCE_UID and position == len(command_set):
            id_at, uid_at = places[_MESSAGE_ID], places[last]
            self._start, self._middle = command_set[:id_at], command_set[id_at + 2 : uid_at]
            self._size, self._uid_at = len(command_set), uid_at
            self._sop_class_uid = request.sop_class_uid


def encode_response(request: StoreRequest, status: int, comment: str = "") -> bytes:
    """Return the C-STORE-RSP. comment: Error Comment (0000,0902), cut to 64 characters."""
    uid = _even(request.sop_instance_uid, b"\0")
    before, after = _around(request.sop_class_uid, status, comment[:64], len(uid))
    return before + request.message_id.to_bytes(2, "little") + after + uid


@lru_cache(maxsize=256)
def _around(sop_class_uid: str, status: int, comment: str, uid_length: int) -> tuple[bytes, bytes]:
    """Return what stands before and behind the message id, up to the instance UID's value."""
    before = b"".join(
        (
            _element(_AFFECTED_SOP_CLASS_UID, _even(sop_class_uid, b"\0")),
            _element(_COMMAND_FIELD, struct.pack("<H", C_STORE_RSP)),
            _ELEMENT.pack(0x0000, _RESPONDED_TO, 2),
        )
    )
    after = b"".join(
        (
            _element(_DATA_SET_TYPE, struct.pack("<H", NO_DATA_SET)),
            _element(_STATUS, struct.pack("<H", status)),
            _element(_ERROR_COMMENT, _even(comment, b" ")) if comment else b"",
            _ELEMENT.pack(0x0000, _AFFECTED_SOP_INSTANCE_UID, uid_length),
        )
    )
    length = len(before) + 2 + len(after) + uid_length
    return _element(0x0000, struct.pack("<L", length)) + before, after


def _us(values: dict[int, bytes], element: int) -> int | None:
    raw = values.get(element, b"")
    return int.from_bytes(raw, "little") if len(raw) == 2 else None


def _ui(values: dict[int, bytes], element: int) -> str:
    return _uid(values.get(element, b""))


def _uid(value: bytes) -> str:
    return value.decode("ascii", "replace").rstrip("\0 ")


def _element(element: int, value: bytes) -> bytes:
    return _ELEMENT.pack(0x0000, element, len(value)) + value


def _even(text: str, pad: bytes) -> bytes:
    value = text.encode("ascii", "replace")
    return value + pad if len(value) % 2 else value
