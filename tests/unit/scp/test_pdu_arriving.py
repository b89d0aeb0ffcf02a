"""How many bytes a PDU still lacks is known before room is made for them."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.scp.wire import pdu


@given(body=st.binary(max_size=300), sizes=st.lists(st.integers(1, 50), min_size=1))
def test_reading_what_is_missing_reads_exactly_one_pdu(body, sizes):
    stream = struct.pack(">BxL", 0x01, len(body)) + body + b"the next one"
    received = bytearray()
    turn = 0
    while lacking := pdu.missing(received, bytes_max=300):
        count = min(lacking, sizes[turn % len(sizes)])
        received += stream[len(received) : len(received) + count]
        turn += 1
    assert bytes(received) == stream[: 6 + len(body)]


def test_an_absurd_length_is_refused_at_the_sixth_byte():
    header = struct.pack(">BxL", 0x01, 301)
    assert pdu.missing(header[:5], bytes_max=300) == 1
    with pytest.raises(pdu.MalformedPdu):
        pdu.missing(header, bytes_max=300)
