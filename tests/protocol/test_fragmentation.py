"""Every legal way to cut messages into PDUs (PS3.8 Annex E), small, large and interleaved.

tests/protocol/test_receive.py draws cuts of one message at random; tests/peer has DCMTK.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pynetdicom import AE

from gateway.dicom import part10
from gateway.model import AssociationOutcome
from tests.fuzzing import CONTEXTS, VERIFICATION, command_set
from tests.instances import (
    JPEG_BASELINE,
    SERIES_UID,
    VL_ENDOSCOPIC,
    cut,
    data_set,
    frame,
    p_data,
    store_command,
)
from tests.requestor import Requestor

SUCCESS = 0x0000
COMMAND, LAST = 1, 2
ECHO = command_set(0x0030, data=False, x0002=VERIFICATION.encode(), x0110=b"\x63\x00")

Value = tuple[int, int, bytes]


def uid(number: int) -> str:
    return f"{SERIES_UID}.{number}"


def data_set_of(content: bytes) -> bytes:
    return content[part10.parse_file_meta(content).data_set_offset :]


def values(
    number: int, *, context_id: int = 1, command_size: int = 1 << 20, data_size: int = 1 << 20
) -> list[Value]:
    """Return a C-STORE-RQ as presentation data values of at most these sizes."""
    cuts = []
    command = store_command(uid(number), message_id=number)
    for flag, content, size in ((COMMAND, command, command_size), (0, frame(number), data_size)):
        pieces = list(cut(content, [size]))
        cuts += [(context_id, flag, piece) for piece in pieces[:-1]]
        cuts.append((context_id, flag | LAST, pieces[-1]))
    return cuts


def in_pdus(cuts: list[Value], per_pdu: int) -> bytes:
    return b"".join(p_data(cuts[at : at + per_pdu]) for at in range(0, len(cuts), per_pdu))


@pytest.mark.parametrize(
    ("cuts", "per_pdu"),
    [
        pytest.param(values(1), 2, id="command-and-data-in-one-PDU"),
        pytest.param(values(1), 1, id="a-PDU-each"),
        pytest.param(values(1, data_size=1), 1000, id="thousands-of-one-byte-values"),
        pytest.param(values(1, data_size=2), 1, id="thousands-of-PDUs"),
        pytest.param(values(1, command_size=1), 1, id="the-command-byte-by-byte"),
        pytest.param(values(1, command_size=7, data_size=333), 5, id="cut-across"),
        pytest.param(
            [(1, COMMAND, b""), values(1)[0], (1, 0, b""), (1, 0, frame(1)), (1, LAST, b"")], 1,
            id="empty-values-before-between-and-last",
        ),
    ],
)  # fmt: skip
def test_a_message_is_understood_however_it_is_cut(listener, cuts, per_pdu):
    with Requestor(listener.port) as assoc:
        assoc.send(in_pdus(cuts, per_pdu))
        assert assoc.read_status() == SUCCESS
        assert assoc.store(uid(2), frame(2)) == SUCCESS
    listener.wait_until_closed()
    assert {one: data_set_of(content) for one, content in listener.kept().items()} == {
        uid(1): frame(1),
        uid(2): frame(2),
    }


def test_messages_end_and_begin_within_one_pdu(listener):
    """Values of several messages in a PDU; PS3.8 forbids it nowhere."""
    cuts = [one for number in range(1, 6) for one in values(number, data_size=900)]
    with Requestor(listener.port, window=16) as assoc:
        assoc.send(in_pdus(cuts, 4))
        assert [assoc.read_status() for _ in range(5)] == [SUCCESS] * 5
    listener.wait_until_closed()
    assert len(listener.kept()) == 5


@pytest.mark.parametrize("pdu_bytes_max", [4096, 16_384, 131_072, 1 << 20])
def test_pdus_of_exactly_the_length_we_offer_are_taken(make_listener, pdu_bytes_max):
    from pydicom.encaps import encapsulate

    from tests.instances import encoded

    listener = make_listener(pdu_bytes_max=pdu_bytes_max)
    data = encoded(data_set(1, PixelData=encapsulate([b"\x5a" * (3 << 20)])))
    with Requestor(listener.port) as assoc:
        assert assoc.max_pdu == pdu_bytes_max
        assert assoc.store(uid(1), data) == SUCCESS  # in PDUs that fill what is offered
    listener.wait_until_closed()
    assert data_set_of(listener.kept()[uid(1)]) == data


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sizes=st.lists(st.integers(1, 2000), min_size=2, max_size=2),
    turns=st.lists(st.integers(0, 2), min_size=1, max_size=40),
    per_pdu=st.integers(1, 6),
    echo_at=st.integers(0, 30),
)
def test_contexts_may_be_interleaved_with_an_echo_between(listener, sizes, turns, per_pdu, echo_at):
    """Values of one message stay in order; those of others may stand between (PS3.8 E.1)."""
    first = 1 + 2 * (hash((tuple(sizes), tuple(turns), per_pdu, echo_at)) % 10_000)
    queues = [
        values(first, context_id=1, data_size=sizes[0]),
        values(first + 1, context_id=7, data_size=sizes[1], command_size=50),
        [(3, COMMAND | LAST, ECHO)],
    ]
    cuts: list[Value] = []
    turn = 0
    while any(queues):
        chosen = queues[turns[turn % len(turns)]] if len(cuts) != echo_at else queues[2]
        queue = chosen or next(one for one in queues if one)
        cuts.append(queue.pop(0))
        turn += 1
    with Requestor(listener.port, contexts=CONTEXTS) as assoc:
        assoc.send(in_pdus(cuts, per_pdu))
        answers = [assoc.read_response() for _ in range(3)]
    assert {one[0x0900] for one in answers} == {SUCCESS}
    assert {one[0x0120] for one in answers} == {first, first + 1, 0x63}
    listener.wait_until_closed()
    kept = listener.kept()
    for number in (first, first + 1):
        assert data_set_of(kept[uid(number)]) == frame(number)


@pytest.mark.parametrize("ours", [4096, 131_072, 1 << 20])
@pytest.mark.parametrize("theirs", [0, 4096, 65_536])
def test_pynetdicom_sends_with_maximum_lengths_of_many_sizes(make_listener, ours, theirs):
    """0: no limit (PS3.8 D.1)."""
    listener = make_listener(pdu_bytes_max=ours)
    ae = AE("WORKSTATION")
    ae.maximum_pdu_size = theirs
    ae.add_requested_context(VL_ENDOSCOPIC, JPEG_BASELINE)
    assoc = ae.associate("127.0.0.1", listener.port, ae_title="CAPSULEGW", max_pdu=theirs)
    assert assoc.is_established
    for number in (1, 2, 3):
        assert assoc.send_c_store(_with_meta(data_set(number))).Status == SUCCESS
    assoc.release()
    assert listener.wait_until_closed() == [AssociationOutcome.RELEASED]
    kept = listener.kept()
    assert {one: len(data_set_of(content)) for one, content in kept.items()} == {
        uid(number): len(frame(number)) for number in (1, 2, 3)
    }


def _with_meta(ds: Dataset) -> Dataset:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = JPEG_BASELINE
    return ds
