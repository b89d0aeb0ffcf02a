"""C-FIND as a requestor, against pynetdicom's SCP and whatever it is told to answer."""

from contextlib import contextmanager

import pytest
from pydicom import Dataset
from pynetdicom import AE, evt

from gateway.dimse import find_scu
from gateway.dimse.association import open_association
from gateway.dimse.connection import Timeouts
from gateway.dimse.negotiation import Peer
from gateway.errors import ContextNotAccepted, OutcomeUnknown, QueryRefused

WORKLIST = find_scu.MODALITY_WORKLIST
TIMEOUTS = Timeouts(connect_s=5, associate_s=5, message_s=3)


def match(number):
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName, ds.PatientID = "王^小东", f"P{number}"
    return ds


@contextmanager
def scp(answer, sop_class_uid=WORKLIST):
    """A worklist that answers with what `answer(identifier)` yields: (status, data set)."""
    ae = AE("PEER")
    ae.add_supported_context(sop_class_uid)
    asked = []

    def handle(event):
        asked.append(event.identifier)
        yield from answer(event)

    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, handle)])
    try:
        yield Peer("PEER", "127.0.0.1", server.socket.getsockname()[1], "CAPSULEGW"), asked
    finally:
        server.shutdown()


def ask(peer, matches_max=10):
    query = Dataset()
    query.AccessionNumber, query.PatientID = "ACC1", ""
    proposals = [find_scu.proposal(WORKLIST)]
    with open_association(peer, proposals, timeouts=TIMEOUTS) as association:
        return find_scu.find(association, WORKLIST, query, matches_max=matches_max)


def test_every_match_comes_back_decoded_and_in_order():
    with scp(lambda _: ((0xFF00 + n % 2, match(n)) for n in range(4))) as (peer, asked):
        found = ask(peer)
    assert [one.PatientID for one in found] == ["P0", "P1", "P2", "P3"]
    assert str(found[0].PatientName) == "王^小东"
    assert asked[0].AccessionNumber == "ACC1"


def test_no_match_is_no_failure():
    with scp(lambda _: iter(())) as (peer, _):
        assert ask(peer) == []


@pytest.mark.parametrize("status", [0xA700, 0xA900, 0xC001, 0x0122, 0xFE00])
def test_a_refusal_is_told_with_its_status(status):
    with (
        scp(lambda _: iter([(status, None)])) as (peer, _),
        pytest.raises(QueryRefused, match=f"{status:04X}"),
    ):
        ask(peer)


def test_a_peer_that_never_ends_is_left():
    with (
        scp(lambda _: ((0xFF00, match(n)) for n in range(10**6))) as (peer, _),
        pytest.raises(QueryRefused, match="more than 10"),
    ):
        ask(peer)


def test_a_peer_that_goes_away_is_told_from_one_that_finds_nothing():
    def leave(event):
        event.assoc.abort()
        yield 0xFF00, match(1)

    with scp(leave) as (peer, _), pytest.raises(OutcomeUnknown):
        ask(peer)


def test_a_peer_without_a_worklist_is_named():
    with (
        scp(lambda _: iter(()), "1.2.840.10008.1.1") as (peer, _),
        pytest.raises(ContextNotAccepted, match="PEER"),
    ):
        ask(peer)
