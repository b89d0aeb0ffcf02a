"""A-ASSOCIATE: what we write, and what we make of any answer."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, MaximumLengthNotification
from pynetdicom.presentation import build_context

from gateway.dicom.storage_classes import (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    JPEG_BASELINE,
    VIDEO_ENDOSCOPIC,
    VL_ENDOSCOPIC,
)
from gateway.dicom.uids import IMPLEMENTATION_CLASS_UID
from gateway.dimse.negotiation import (
    CONTEXTS_MAX,
    Peer,
    Proposal,
    name_of,
    read_acceptance,
    read_rejection,
    request_pdu,
)

PEER = Peer("PACS", "pacs.example", 104, "CAPSULEGW")
STILL = Proposal(VL_ENDOSCOPIC, (JPEG_BASELINE,))
VIDEO = Proposal(VIDEO_ENDOSCOPIC, (JPEG_BASELINE,))
CHOICE = Proposal("1.2.840.10008.1.20.1", (EXPLICIT_LITTLE, IMPLICIT_LITTLE))


def acceptance(results, *, pdu_bytes_max=16384):
    """Return an A-ASSOCIATE-AC; results: (context id, result, transfer syntax)."""
    answer = A_ASSOCIATE()
    answer.application_context_name = "1.2.840.10008.3.1.1.1"
    answer.calling_ae_title, answer.called_ae_title = "CAPSULEGW", "PACS"
    answer.result, answer.result_source = 0, 1
    contexts = []
    for context_id, result, syntax in results:
        context = build_context("1.2.3", [syntax])
        context.context_id, context.result = context_id, result
        contexts.append(context)
    answer.presentation_context_definition_results_list = contexts
    length = MaximumLengthNotification()
    length.maximum_length_received = pdu_bytes_max
    answer.user_information = [length]
    return A_ASSOCIATE_AC(answer).encode()


def test_the_request_proposes_exactly_what_was_asked_for():
    decoded = A_ASSOCIATE_RQ()
    decoded.decode(request_pdu(PEER, [STILL, CHOICE], pdu_bytes_max=65536))
    request = decoded.to_primitive()
    assert (request.called_ae_title, request.calling_ae_title) == ("PACS", "CAPSULEGW")
    contexts = request.presentation_context_definition_list
    assert [(one.context_id, one.abstract_syntax, one.transfer_syntax) for one in contexts] == [
        (1, STILL.sop_class_uid, [JPEG_BASELINE]),
        (3, CHOICE.sop_class_uid, [EXPLICIT_LITTLE, IMPLICIT_LITTLE]),
    ]
    assert request.maximum_length_received == 65536
    assert request.implementation_class_uid == IMPLEMENTATION_CLASS_UID


def test_as_many_contexts_as_one_association_holds_get_odd_ids():
    proposals = [Proposal(f"1.2.3.{number}", (JPEG_BASELINE,)) for number in range(CONTEXTS_MAX)]
    decoded = A_ASSOCIATE_RQ()
    decoded.decode(request_pdu(PEER, proposals, pdu_bytes_max=0))
    contexts = decoded.to_primitive().presentation_context_definition_list
    assert [one.context_id for one in contexts] == list(range(1, 256, 2))


def test_accepted_and_refused_contexts_are_told_apart():
    pdu = acceptance([(1, 0, JPEG_BASELINE), (3, 4, JPEG_BASELINE), (5, 0, IMPLICIT_LITTLE)])
    agreement = read_acceptance(pdu, [STILL, VIDEO, CHOICE])
    assert agreement.accepted[STILL].context_id == 1
    assert agreement.accepted[CHOICE].transfer_syntax_uid == IMPLICIT_LITTLE
    assert agreement.refused == {VIDEO: "it does not take the transfer syntax"}
    assert agreement.pdu_bytes_max == 16384


def test_a_transfer_syntax_that_was_not_proposed_is_no_acceptance():
    agreement = read_acceptance(acceptance([(1, 0, IMPLICIT_LITTLE)]), [STILL])
    assert STILL in agreement.refused


def test_a_context_the_answer_leaves_out_is_refused():
    agreement = read_acceptance(acceptance([(1, 0, JPEG_BASELINE)]), [STILL, VIDEO])
    assert list(agreement.refused) == [VIDEO]


@pytest.mark.parametrize("code", [1, 2, 3, 4, 99])
def test_every_result_of_ps3_8_table_9_18_has_words(code):
    agreement = read_acceptance(acceptance([(1, code, JPEG_BASELINE)]), [STILL])
    assert agreement.refused[STILL]


@pytest.mark.parametrize(
    ("result", "source", "reason", "permanent", "words"),
    [
        (1, 1, 1, True, "no reason"),
        (1, 1, 2, True, "application context"),
        (1, 1, 3, True, "our AE title"),
        (1, 1, 7, True, "AE title we called"),
        (1, 2, 1, True, "no reason"),
        (1, 2, 2, True, "protocol version"),
        (2, 3, 1, False, "congested"),
        (2, 3, 2, False, "limit"),
        (2, 1, 9, False, "reason 9 of source 1"),  # reserved
        (0, 0, 0, False, "reason 0 of source 0"),  # not allowed at all
    ],
)
def test_a_rejection_is_put_in_words(result, source, reason, permanent, words):
    pdu = struct.pack(">BBLBBBB", 3, 0, 4, 0, result, source, reason)
    error = read_rejection(pdu, PEER)
    assert error.permanent is permanent
    assert words in str(error)
    assert "PACS at pacs.example:104" in str(error)


def test_a_proposal_is_named_as_the_standard_names_it():
    assert name_of(VIDEO) == "Video Endoscopic Image in JPEG Baseline (Process 1)"
    assert name_of(Proposal("1.2.3", ("1.2.4",))) == "1.2.3 in 1.2.4"


@pytest.mark.filterwarnings("ignore")  # pydicom about each invalid UID it meets
@given(st.data())
def test_no_answer_makes_reading_it_raise_anything_but_a_value_error(data):
    pdu = bytearray(acceptance([(1, 0, JPEG_BASELINE), (3, 4, JPEG_BASELINE)]))
    for _ in range(data.draw(st.integers(1, 6))):
        pdu[data.draw(st.integers(6, len(pdu) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(6, len(pdu)))
    try:
        agreement = read_acceptance(bytes(pdu[:cut]), [STILL, VIDEO])
    except ValueError:
        return
    assert set(agreement.accepted) | set(agreement.refused) == {STILL, VIDEO}
