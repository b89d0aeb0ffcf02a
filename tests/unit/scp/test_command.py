"""C-STORE-RQ command sets, read with and without a memory of earlier ones."""

from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import generate_uid

from gateway.scp.wire import command
from tests.instances import VL_ENDOSCOPIC
from tests.requestor import store_command

UIDS = st.sampled_from(["1.2.3", "1.2.34", "1.2.345", "1.2.3456"])
IDS = st.integers(0, 0xFFFF)


@given(st.lists(st.tuples(UIDS, IDS), max_size=6))
def test_a_reader_that_remembers_earlier_requests_reads_each_as_if_it_were_the_first(sent):
    reader = command.RequestReader()
    for uid, message_id in sent:
        encoded = store_command(uid, message_id=message_id)
        assert reader.read(encoded) == command.decode(encoded)
        assert reader.read(encoded) == command.StoreRequest(message_id, VL_ENDOSCOPIC, uid)


def test_what_stands_behind_the_instance_uid_is_not_taken_for_a_part_of_it():
    plain = store_command("1.2.3.4", message_id=1)
    moved = plain + b"\0\0\x30\x10\x04\0\0\0MOVE"  # Move Originator AE Title (0000,1030)
    reader = command.RequestReader()
    for encoded in (moved, plain, moved):
        found = reader.read(encoded)
        assert found is not None
        assert found.sop_instance_uid == "1.2.3.4"


@given(IDS, st.binary(max_size=12))
def test_another_command_of_the_same_length_is_none_of_them(message_id, other):
    uid = str(generate_uid())
    encoded = store_command(uid, message_id=message_id)
    reader = command.RequestReader()
    reader.read(encoded)
    at = encoded.index(b"\0\0\0\x01\x02\0\0\0") + 8  # Command Field (0000,0100)
    echo = encoded[:at] + b"\x30\0" + encoded[at + 2 :]
    assert reader.read(echo) is None
    bent = other + encoded[len(other) :]
    assert reader.read(bent) == command.decode(bent)
