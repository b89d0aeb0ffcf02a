"""Command sets and PDUs, checked against what pynetdicom reads and writes."""

import contextlib
import struct
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.dsutils import decode
from pynetdicom.pdu import P_DATA_TF

from gateway.dimse import pdu

STORE = {
    pdu.AFFECTED_SOP_CLASS_UID: "1.2.840.10008.5.1.4.1.1.77.1.1",
    pdu.COMMAND_FIELD: pdu.C_STORE_RQ,
    pdu.MESSAGE_ID: 7,
    pdu.PRIORITY: pdu.MEDIUM,
    pdu.COMMAND_DATA_SET_TYPE: pdu.DATA_SET_PRESENT,
    pdu.AFFECTED_SOP_INSTANCE_UID: "1.2.3",
}


def test_a_command_set_is_what_pydicom_reads():
    data = pdu.encode_command(STORE)
    ds = decode(BytesIO(data), True, True)
    assert ds.CommandGroupLength == len(data) - 12
    assert ds.AffectedSOPClassUID == "1.2.840.10008.5.1.4.1.1.77.1.1"
    assert (ds.CommandField, ds.MessageID, ds.Priority, ds.CommandDataSetType) == (1, 7, 0, 1)
    assert ds.AffectedSOPInstanceUID == "1.2.3"


def test_a_command_set_is_read_back():
    assert pdu.decode_command(pdu.encode_command(STORE)) == STORE


@pytest.mark.parametrize("missing", [1, 3, 9])
def test_a_cut_command_set_is_an_error(missing):
    with pytest.raises(ValueError, match="cut off"):
        pdu.decode_command(pdu.encode_command(STORE)[:-missing])


@given(st.binary(max_size=60))
def test_reading_a_command_set_raises_nothing_but_value_errors(data):
    with contextlib.suppress(ValueError):
        pdu.decode_command(data)


@pytest.mark.parametrize(
    ("pdu_bytes_max", "room"),
    [(0, 1_048_570), (4096, 4090), (4097, 4090), (16_382, 16_376), (1 << 31, 1_048_570), (8, 2)],
)
def test_fragments_fit_the_pdu_and_have_even_lengths(pdu_bytes_max, room):
    assert pdu.fragment_room(pdu_bytes_max) == room


@pytest.mark.parametrize("pdu_bytes_max", [1, 6, 7])
def test_nothing_fits_a_pdu_of_a_few_bytes(pdu_bytes_max):
    assert pdu.fragment_room(pdu_bytes_max) <= 0


@given(st.binary(min_size=1, max_size=300), st.integers(1, 60).map(lambda half: 2 * half))
def test_pdus_carry_the_message_and_mark_its_last_fragment(data, room):
    parts = list(pdu.message_pdus(5, pdu.COMMAND, data, room))
    found = []
    for part in parts:
        decoded = P_DATA_TF()
        decoded.decode(part)
        (value,) = decoded.presentation_data_value_items
        assert value.presentation_context_id == 5
        found.append(value.presentation_data_value)
    assert b"".join(value[1:] for value in found) == data
    assert [value[0] for value in found] == [1] * (len(found) - 1) + [3]
    assert all(len(value) - 1 <= room for value in found)


def test_several_fragments_in_one_pdu_are_told_apart():
    body = b"".join(
        struct.pack(">LBB", len(data) + 2, 1, control) + data
        for control, data in [(3, b"command"), (0, b"data"), (2, b"set")]
    )
    found = [(one.is_command, one.is_last, one.data) for one in pdu.fragments(body)]
    assert found == [(True, True, b"command"), (False, False, b"data"), (False, True, b"set")]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\0\0\0\4\1", id="a header cut off"),
        pytest.param(b"\0\0\0\x09\1\3abc", id="a length beyond the end"),
        pytest.param(b"\0\0\0\1\1\3", id="a length below its own header"),
        pytest.param(b"\xff\xff\xff\xff\1\3abc", id="a huge length"),
    ],
)
def test_a_malformed_pdv_is_an_error(body):
    with pytest.raises(ValueError, match="cut off"):
        list(pdu.fragments(body))
