"""An association as requestor, with peers that do what no peer should."""

import io
import struct
import threading
import time

import pytest
from pynetdicom.pdu import A_ASSOCIATE_AC
from pynetdicom.pdu_primitives import A_ASSOCIATE, MaximumLengthNotification
from pynetdicom.presentation import build_context

from gateway.dicom.storage_classes import JPEG_BASELINE, VL_ENDOSCOPIC
from gateway.dimse import pdu
from gateway.dimse.association import Association, open_association
from gateway.dimse.connection import Timeouts
from gateway.dimse.negotiation import Agreement, Peer, Proposal
from gateway.dimse.store_scu import SopInstance, StoreScu
from gateway.errors import IntegrityError, OutcomeUnknown, PeerUnreachable
from tests.loopback_pacs import receive, receive_pdu, running_pacs, scripted_peer

INSTANCE = SopInstance(VL_ENDOSCOPIC, "1.2.3", JPEG_BASELINE)
PROPOSAL = Proposal(VL_ENDOSCOPIC, (JPEG_BASELINE,))
QUICK = Timeouts(connect_s=1, associate_s=0.5, message_s=0.5)


def peer(port):
    return Peer("PACS", "127.0.0.1", port, "CAPSULEGW")


def opened(port, **options):
    return open_association(peer(port), [PROPOSAL], timeouts=QUICK, beat_s=0.05, **options)


def store(association, data=b"x" * 100, **options):
    return StoreScu(association).store(INSTANCE, io.BytesIO(data), len(data), **options)


def acceptance(pdu_bytes_max=16384):
    answer = A_ASSOCIATE()
    answer.application_context_name = "1.2.840.10008.3.1.1.1"
    answer.calling_ae_title, answer.called_ae_title = "CAPSULEGW", "PACS"
    answer.result, answer.result_source = 0, 1
    context = build_context(VL_ENDOSCOPIC, [JPEG_BASELINE])
    context.context_id, context.result = 1, 0
    answer.presentation_context_definition_results_list = [context]
    length = MaximumLengthNotification()
    length.maximum_length_received = pdu_bytes_max
    answer.user_information = [length]
    return A_ASSOCIATE_AC(answer).encode()


def response(status=0x0000, **changes):
    elements = {
        pdu.COMMAND_FIELD: pdu.C_STORE_RSP,
        pdu.MESSAGE_ID_BEING_RESPONDED_TO: 1,
        pdu.COMMAND_DATA_SET_TYPE: pdu.NO_DATA_SET,
        pdu.STATUS: status,
    }
    elements |= {getattr(pdu, name.upper()): value for name, value in changes.items()}
    command = pdu.encode_command(elements)
    return b"".join(pdu.message_pdus(1, pdu.COMMAND, command, 1000))


def until_last_fragment(connection):
    """Read a request to its end; returns the PDUs."""
    pdus = []
    while True:
        pdus.append(receive_pdu(connection))
        (fragment,) = pdu.fragments(pdus[-1][6:])
        if fragment.is_last and not fragment.is_command:
            return pdus


def answering(*answers):
    """Return a script: accept, then answer each request; at the end read until the end."""

    def script(connection):
        receive_pdu(connection)
        connection.sendall(acceptance())
        for answer in answers:
            until_last_fragment(connection)
            connection.sendall(answer)
        while connection.recv(65536):
            pass

    return script


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not answer", id="a web server"),
        pytest.param(struct.pack(">BBL", 2, 0, 1 << 30), "does not answer", id="too long"),
        pytest.param(struct.pack(">BBL", 2, 0, 4) + b"abcd", "does not speak DICOM", id="no AC"),
        pytest.param(pdu.ABORT_BY_USER, "aborted the association request", id="A-ABORT"),
        pytest.param(pdu.RELEASE_REQUEST, "PDU type 05", id="A-RELEASE"),
        pytest.param(b"", "closed", id="nothing"),
        pytest.param(acceptance()[:-10], "closed", id="half an answer"),
        pytest.param(acceptance(pdu_bytes_max=7), "too short", id="PDUs of 7 bytes"),
    ],
)
def test_an_answer_that_is_no_acceptance_makes_the_peer_unreachable(answer, words):
    def script(connection):
        receive_pdu(connection)
        connection.sendall(answer)

    with scripted_peer(script) as port, pytest.raises(PeerUnreachable, match=words):
        opened(port)


def test_a_peer_that_never_answers_the_request_is_unreachable():
    done = threading.Event()

    def script(connection):
        done.wait(10)

    with scripted_peer(script) as port:
        with pytest.raises(PeerUnreachable, match=r"nothing moved for 0\.5 s"):
            opened(port)
        done.set()


def test_the_beat_goes_on_while_the_peer_does_not_answer():
    beats = []
    done = threading.Event()
    with scripted_peer(lambda _connection: done.wait(10)) as port:
        with pytest.raises(PeerUnreachable):
            opened(port, beat=lambda: beats.append(time.monotonic()))
        done.set()
    assert len(beats) >= 5  # 0.5 s in steps of 0.05


def test_an_answer_in_single_bytes_is_an_answer():
    def script(connection):
        receive_pdu(connection)
        for byte in acceptance():
            connection.sendall(bytes([byte]))
        until_last_fragment(connection)
        for byte in response(0xB000):
            connection.sendall(bytes([byte]))
        assert receive_pdu(connection) == pdu.RELEASE_REQUEST
        connection.sendall(pdu.RELEASE_RESPONSE)

    with scripted_peer(script) as port, opened(port) as association:
        assert store(association) == 0xB000


def test_an_answer_that_comes_before_the_data_is_complete_is_heeded():
    """A peer that is out of room may say so early and still read to the end."""
    data = bytes(10 << 20)

    def script(connection):
        receive_pdu(connection)
        connection.sendall(acceptance())
        receive_pdu(connection)
        connection.sendall(response(0xA700))
        until_last_fragment(connection)
        assert receive_pdu(connection) == pdu.RELEASE_REQUEST
        connection.sendall(pdu.RELEASE_RESPONSE)

    with scripted_peer(script) as port, opened(port) as association:
        assert store(association, data) == 0xA700


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(response(message_id_being_responded_to=2), "another request", id="other id"),
        pytest.param(response(command_field=0x8030), "something else", id="C-ECHO-RSP"),
        pytest.param(pdu.ABORT_BY_USER, "aborted", id="A-ABORT"),
        pytest.param(pdu.RELEASE_REQUEST, "without an answer", id="A-RELEASE-RQ"),
        pytest.param(acceptance(), "type 02", id="a second acceptance"),
        pytest.param(struct.pack(">BBL", 4, 0, 1 << 31), "unreadable", id="a huge PDU"),
        pytest.param(struct.pack(">BBL", 4, 0, 3) + b"abc", "unreadable", id="no PDV"),
        pytest.param(
            b"".join(pdu.message_pdus(1, pdu.COMMAND, b"\0\0\0\0\4", 1000)),
            "unreadable message",
            id="half a command set",
        ),
        pytest.param(
            b"".join(pdu.message_pdus(1, 0, b"data", 1000)), "mixed up", id="a data set first"
        ),
    ],
)
def test_an_answer_that_is_none_leaves_the_outcome_unknown(answer, words):
    with (
        scripted_peer(answering(answer)) as port,
        pytest.raises(OutcomeUnknown, match=words),
        opened(port) as association,
    ):
        store(association)


def test_a_connection_that_closes_instead_of_an_answer_leaves_the_outcome_unknown():
    def script(connection):
        receive_pdu(connection)
        connection.sendall(acceptance())
        until_last_fragment(connection)

    with (
        scripted_peer(script) as port,
        pytest.raises(OutcomeUnknown, match="lost"),
        opened(port) as association,
    ):
        store(association)


def test_a_peer_that_stops_reading_is_given_up():
    done = threading.Event()

    def script(connection):
        receive_pdu(connection)
        connection.sendall(acceptance())
        done.wait(10)

    with scripted_peer(script) as port:
        with pytest.raises(OutcomeUnknown, match="nothing moved"), opened(port) as association:
            store(association, bytes(64 << 20))
        done.set()


def test_after_an_unknown_outcome_the_peer_gets_an_abort():
    seen = []

    def script(connection):
        receive_pdu(connection)
        connection.sendall(acceptance())
        until_last_fragment(connection)
        connection.sendall(response(message_id_being_responded_to=9))
        seen.append(receive_pdu(connection))

    with scripted_peer(script) as port, pytest.raises(OutcomeUnknown), opened(port) as association:
        store(association)
    assert seen == [pdu.ABORT_BY_USER]


def test_an_interrupted_write_is_not_followed_by_an_abort_it_could_be_mistaken_for_data():
    """Half a PDU is out; the ten bytes of an A-ABORT would fill it up."""
    received = bytearray()
    go_on = threading.Event()

    def script(connection):
        receive_pdu(connection)
        connection.sendall(acceptance())
        go_on.wait(10)
        while more := connection.recv(1 << 16):
            received.extend(more)

    def beat():
        if sending:
            raise KeyboardInterrupt

    sending = []
    with scripted_peer(script) as port:
        with pytest.raises(KeyboardInterrupt), opened(port, beat=beat) as association:
            sending.append(True)
            store(association, bytes(64 << 20))
        go_on.set()
    assert not received.endswith(pdu.ABORT_BY_USER)
    assert len(received) < 64 << 20


@pytest.mark.parametrize("size", [100, 5 << 20])
def test_what_fails_its_proof_is_not_completed(size):
    seen = []

    def script(connection):
        receive_pdu(connection)
        connection.sendall(acceptance())
        while (one := receive_pdu(connection))[0] == pdu.P_DATA_TF:
            seen.extend(pdu.fragments(one[6:]))
        seen.append(one)
        if one == pdu.RELEASE_REQUEST:
            connection.sendall(pdu.RELEASE_RESPONSE)

    def wrong():
        raise IntegrityError("wrong bytes")

    with scripted_peer(script) as port, pytest.raises(IntegrityError), opened(port) as association:
        store(association, bytes(size), verify=wrong)
    *fragments, end = seen
    assert not any(one.is_last and not one.is_command for one in fragments)
    assert end == (pdu.ABORT_BY_USER if fragments else pdu.RELEASE_REQUEST)


def test_a_stream_that_ends_early_is_not_completed():
    with running_pacs() as pacs:
        with pytest.raises(IntegrityError), opened(pacs.port) as association:
            StoreScu(association).store(INSTANCE, io.BytesIO(b"x" * 10), 11)
        assert pacs.stored == []


def test_a_peer_that_does_not_confirm_the_release_is_not_waited_for_long():
    def script(connection):
        receive_pdu(connection)
        connection.sendall(acceptance())
        until_last_fragment(connection)
        connection.sendall(response())
        assert receive_pdu(connection) == pdu.RELEASE_REQUEST
        receive(connection, 0)

    with scripted_peer(script) as port, opened(port) as association:
        assert store(association) == 0x0000


def test_message_ids_start_again_after_the_last():
    """Message ID is US and not 0 here: 65,535 is followed by 1."""
    association = Association(None, peer(1), Agreement({}, {}, 0), QUICK)
    ids = [association.next_message_id() for _ in range(65_536)]
    assert ids[-2:] == [65_535, 1]
    assert len(set(ids)) == 65_535
