"""C-STORE on the wire, byte by byte."""

import struct

import pytest

from gateway.errors import OutcomeUnknown
from gateway.simulator.dimse import (
    StoreResponse,
    command_fragments,
    message_pdus,
    parse_store_response,
    store_request,
)

REQUEST = (
    b"\x00\x00\x00\x00\x04\x00\x00\x00\x42\x00\x00\x00"  # (0000,0000) group length 66
    b"\x00\x00\x02\x00\x08\x00\x00\x001.2.840\0"  # (0000,0002) Affected SOP Class UID
    b"\x00\x00\x00\x01\x02\x00\x00\x00\x01\x00"  # (0000,0100) Command Field C-STORE-RQ
    b"\x00\x00\x10\x01\x02\x00\x00\x00\x07\x00"  # (0000,0110) Message ID 7
    b"\x00\x00\x00\x07\x02\x00\x00\x00\x00\x00"  # (0000,0700) Priority MEDIUM
    b"\x00\x00\x00\x08\x02\x00\x00\x00\x01\x00"  # (0000,0800) a data set follows
    b"\x00\x00\x00\x10\x02\x00\x00\x001\x00"  # (0000,1000) Affected SOP Instance UID
)


def response(message_id: int = 7, status: int = 0xA700, command: int = 0x8001) -> bytes:
    return b"".join(
        struct.pack("<HHLH", 0, element, 2, value)
        for element, value in (
            (0x0100, command), (0x0120, message_id), (0x0800, 0x0101), (0x0900, status),
        )
    )  # fmt: skip


def fragments(pdus: list[bytes]) -> list[tuple[int, bytes]]:
    """(control header, fragment) of PDUs that hold one PDV each, with every length checked."""
    found = []
    for pdu in pdus:
        kind, _, pdu_length, pdv_length, context_id, control = struct.unpack_from(">BBLLBB", pdu)
        assert (kind, context_id) == (4, 5)
        assert pdu_length == len(pdu) - 6
        assert pdv_length == pdu_length - 4
        found.append((control, pdu[12:]))
    return found


def test_a_request_is_encoded_as_the_standard_says() -> None:
    assert store_request(7, "1.2.840", "1") == REQUEST


@pytest.mark.parametrize("limit", [8, 9, 64, 4096, 16_384, 0])
def test_no_pdu_is_longer_than_the_peer_allows(limit: int) -> None:
    data_set = bytes(range(256)) * 20
    pdus = list(message_pdus(5, REQUEST, data_set, limit))
    found = fragments(pdus)
    assert all(len(pdu) - 6 <= (limit or 1 << 20) for pdu in pdus)
    assert all(len(fragment) % 2 == 0 for _, fragment in found)
    assert b"".join(f for control, f in found if control & 1) == REQUEST
    assert b"".join(f for control, f in found if not control & 1) == data_set


def test_the_last_fragments_say_that_they_are_the_last() -> None:
    controls = [c for c, _ in fragments(list(message_pdus(5, REQUEST, bytes(100), 64)))]
    assert controls == [0x01, 0x03, 0x00, 0x02]


def test_without_a_limit_an_ordinary_instance_is_two_pdus() -> None:
    assert len(list(message_pdus(5, REQUEST, bytes(25_000), 0))) == 2


def test_a_response_is_read_back() -> None:
    assert parse_store_response(response()) == StoreResponse(message_id=7, status=0xA700)


@pytest.mark.parametrize("command", [b"", response(command=0x8030), response()[:-10], b"\0" * 9])
def test_anything_but_a_store_response_leaves_the_outcome_unknown(command: bytes) -> None:
    with pytest.raises(OutcomeUnknown):
        parse_store_response(command)


def test_several_pdvs_in_one_pdu_are_told_apart() -> None:
    pdv = struct.pack(">LBB", 4, 1, 1) + b"ab" + struct.pack(">LBB", 4, 1, 3) + b"cd"
    data = struct.pack(">LBB", 4, 1, 2) + b"xx"
    assert list(command_fragments(data + pdv)) == [(b"ab", False), (b"cd", True)]


@pytest.mark.parametrize("pdu", [b"\0", struct.pack(">LBB", 1, 1, 3), struct.pack(">LBB", 9, 1, 3)])
def test_a_malformed_pdu_leaves_the_outcome_unknown(pdu: bytes) -> None:
    with pytest.raises(OutcomeUnknown):
        list(command_fragments(pdu))
