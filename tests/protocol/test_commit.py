"""Storage Commitment over loopback: asked for, answered, reported on either association."""

import threading
import time

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt

from gateway.dicom.storage_classes import (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    JPEG_BASELINE,
    VL_ENDOSCOPIC,
)
from gateway.dimse import commitment
from gateway.dimse.negotiation import STORAGE_COMMITMENT_PUSH
from gateway.errors import LedgerUnavailable, StaleTransition
from gateway.ledger.queries import due
from gateway.ledger.queries import transfers as queries
from gateway.ledger.transitions import commitments, registry
from gateway.model import ItemState, TransferState
from gateway.network import tune_association
from gateway.scp.commitment import handle_event_report
from tests.deliveries import Made, add_acknowledged, clock, make_delivery
from tests.listening import eventually
from tests.loopback_pacs import running_pacs
from workers.deliver.commit import request_commitment
from workers.deliver.send import send

STORE = (VL_ENDOSCOPIC, JPEG_BASELINE)
COMMIT = (STORAGE_COMMITMENT_PUSH, EXPLICIT_LITTLE)
INSTANCES = [Made(1), Made(2), Made(3)]


class Committing:
    """Answers N-ACTION with `status`; keeps what was asked for; may report at once."""

    def __init__(self):
        self.status = 0x0000
        self.asked = []
        self.report_at_once = False
        self.report_first = False
        self.answers = []

    def handlers(self):
        return [(evt.EVT_N_ACTION, self.on_action)]

    def on_action(self, event):
        information = event.action_information
        assert event.action_type == 1
        assert event.request.RequestedSOPInstanceUID == "1.2.840.10008.1.20.1.1"
        self.asked.append(information)
        if self.report_first:
            self.report(event.assoc, information)
        elif self.report_at_once:
            threading.Thread(target=self.report, args=(event.assoc, information)).start()
        return self.status, None

    def report(self, assoc, information):
        answer, _ = assoc.send_n_event_report(
            result_of(information), 1, STORAGE_COMMITMENT_PUSH, commitment.SOP_INSTANCE
        )
        self.answers.append(answer.get("Status"))


def result_of(information, failed=()):
    result = Dataset()
    result.TransactionUID = information.TransactionUID
    kept, lost = [], []
    for item in information.ReferencedSOPSequence:
        if item.ReferencedSOPInstanceUID in failed:
            item.FailureReason = 0x0112
            lost.append(item)
        else:
            kept.append(item)
    if kept:
        result.ReferencedSOPSequence = kept
    if lost:
        result.FailedSOPSequence = lost
    return result


@pytest.fixture
def committing():
    return Committing()


@pytest.fixture
def sent(tmp_path, committing):
    """A transfer sent to a PACS that offers Storage Commitment."""
    with running_pacs([STORE, COMMIT], handlers=committing.handlers()) as pacs:
        delivery = make_delivery(tmp_path, INSTANCES, port=pacs.port)
        attempt = delivery.claim()
        send(delivery.settings, delivery.ledger, delivery.transfer_id, attempt, now=clock)
        yield delivery
        delivery.ledger.dispose()


@pytest.fixture
def listener(sent):
    """An AE of ours that takes reports."""
    ae = AE("CAPSULEGW")
    ae.add_supported_context(STORAGE_COMMITMENT_PUSH, scu_role=True, scp_role=True)
    server = ae.start_server(
        ("127.0.0.1", 0),
        block=False,
        evt_handlers=[
            (evt.EVT_CONN_OPEN, tune_association),
            (
                evt.EVT_N_EVENT_REPORT,
                lambda event: handle_event_report(sent.ledger, event, clock()),
            ),
        ],
    )
    yield server.socket.getsockname()[1]
    server.shutdown()


def ask(delivery, listen_s=0.05):
    request_commitment(
        delivery.settings, delivery.ledger, delivery.transfer_id, now=clock, listen_s=listen_s
    )


def report(port, data_set, event_type=1, syntax=None):
    """Send N-EVENT-REPORT to our listener as a PACS does; returns the status."""
    ae = AE("PACS")
    ae.add_requested_context(STORAGE_COMMITMENT_PUSH, syntax or [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
    assoc = ae.associate(
        "127.0.0.1", port, ext_neg=[build_role(STORAGE_COMMITMENT_PUSH, scp_role=True)]
    )
    assert assoc.is_established
    status, _ = assoc.send_n_event_report(
        data_set, event_type, STORAGE_COMMITMENT_PUSH, commitment.SOP_INSTANCE
    )
    assoc.release()
    return status.Status


def is_asked(delivery):
    with delivery.ledger.reading() as session:
        return [one.transaction_uid for one in queries.commitments(session, delivery.transfer_id)]


@pytest.mark.parametrize("how", ["report_at_once", "report_first"])
def test_a_report_on_the_requesting_association_commits_the_transfer(sent, committing, how):
    setattr(committing, how, True)
    ask(sent, listen_s=5)
    assert sent.transfer.state is TransferState.COMMITTED
    assert set(sent.item_states().values()) == {ItemState.COMMITTED}


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
def test_a_report_brought_to_our_listener_commits_the_transfer(sent, committing, listener, syntax):
    ask(sent)
    assert sent.transfer.state is TransferState.SENT
    (information,) = committing.asked
    assert report(listener, result_of(information), syntax=syntax) == 0x0000
    assert sent.transfer.state is TransferState.COMMITTED


def test_a_report_that_came_to_our_listener_ends_the_waiting(sent, committing, listener):
    def elsewhere():
        eventually(lambda: committing.asked)
        report(listener, result_of(committing.asked[0]))

    reporting = threading.Thread(target=elsewhere)
    reporting.start()
    began = time.monotonic()
    ask(sent, listen_s=20)
    reporting.join()
    assert time.monotonic() - began < 10
    assert sent.transfer.state is TransferState.COMMITTED


def test_exactly_what_was_sent_is_asked_about(sent, committing):
    ask(sent)
    (information,) = committing.asked
    assert [
        (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID)
        for item in information.ReferencedSOPSequence
    ] == [(VL_ENDOSCOPIC, one.sop_instance_uid) for one in INSTANCES]
    assert is_asked(sent) == [information.TransactionUID]


def test_many_instances_are_asked_about_in_several_requests(sent, committing, listener):
    add_acknowledged(sent, 1100)
    ask(sent)
    counts = [len(one.ReferencedSOPSequence) for one in committing.asked]
    assert counts == [1000, 103]
    for information in committing.asked:
        assert sent.transfer.state is TransferState.SENT
        assert report(listener, result_of(information)) == 0x0000
    assert sent.transfer.state is TransferState.COMMITTED


def test_what_failed_is_sent_again(sent, committing, listener):
    ask(sent)
    lost = INSTANCES[1].sop_instance_uid
    assert report(listener, result_of(committing.asked[0], failed=[lost]), event_type=2) == 0x0000
    assert sent.transfer.state is TransferState.PENDING
    item = sent.items()[lost]
    assert (item.state, item.reason) == (ItemState.PENDING, "no such object instance")


def test_a_result_nobody_asked_for_is_answered_with_success(sent, committing, listener):
    ask(sent)
    unknown = result_of(committing.asked[0])
    unknown.TransactionUID = "2.25.404"
    assert report(listener, unknown) == 0x0000
    assert sent.transfer.state is TransferState.SENT


def test_an_event_type_the_standard_does_not_know_is_refused(sent, committing, listener):
    ask(sent)
    assert report(listener, result_of(committing.asked[0]), event_type=3) == 0x0113
    assert sent.transfer.state is TransferState.SENT


def test_a_result_without_transaction_uid_is_refused(sent, committing, listener):
    ask(sent)
    nameless = result_of(committing.asked[0])
    del nameless.TransactionUID
    assert report(listener, nameless) == 0x0114
    assert sent.transfer.state is TransferState.SENT


def test_a_result_is_not_taken_while_the_ledger_is_away(sent, committing, listener):
    ask(sent)
    (sent.settings.home / "ledger.sqlite").rename(sent.settings.home / "away")
    sent.ledger.dispose()
    (sent.settings.home / "ledger.sqlite").mkdir()
    with pytest.raises(LedgerUnavailable), sent.ledger.reading():
        pass
    assert report(listener, result_of(committing.asked[0])) == 0x0110
    (sent.settings.home / "ledger.sqlite").rmdir()
    (sent.settings.home / "away").rename(sent.settings.home / "ledger.sqlite")
    assert report(listener, result_of(committing.asked[0])) == 0x0000
    assert sent.transfer.state is TransferState.COMMITTED


@pytest.mark.parametrize(
    ("status", "soon"), [(0x0110, True), (0x0213, True), (0x0122, False), (0x0123, False)]
)
def test_a_refused_request_is_taken_back_and_asked_again(sent, committing, status, soon):
    committing.status = status
    ask(sent)
    assert is_asked(sent) == []
    assert f"{status:04X}" in sent.transfer.reason
    pause = (sent.transfer.next_attempt_at - clock()).total_seconds()
    assert (pause < 60) is soon
    assert pause > 0


def test_a_destination_without_storage_commitment_is_asked_again_much_later(tmp_path):
    with running_pacs([STORE]) as pacs:
        delivery = make_delivery(tmp_path, [Made(1)], port=pacs.port)
        attempt = delivery.claim()
        send(delivery.settings, delivery.ledger, delivery.transfer_id, attempt, now=clock)
        ask(delivery)
    assert is_asked(delivery) == []
    assert "does not accept Storage Commitment" in delivery.transfer.reason
    pause = (delivery.transfer.next_attempt_at - clock()).total_seconds()
    assert pause > delivery.settings.commitment_timeout_s - 60


def test_an_unreachable_destination_is_asked_again_with_growing_pauses(sent, committing):
    with running_pacs() as gone:
        port = gone.port
    with sent.ledger.transaction() as session:
        registry.edit_destination(session, "pacs", port=port, now=clock(), actor="test")
    pauses = []
    for _ in range(4):
        ask(sent)
        pauses.append((sent.transfer.next_attempt_at - clock()).total_seconds())
    assert is_asked(sent) == []
    assert pauses[3] > 2 * pauses[0]


def test_an_abort_instead_of_an_answer_takes_the_request_back(sent, committing):
    with running_pacs(
        [COMMIT], handlers=[(evt.EVT_N_ACTION, lambda event: (event.assoc.abort(), None))]
    ) as pacs:
        with sent.ledger.transaction() as session:
            registry.edit_destination(session, "pacs", port=pacs.port, now=clock(), actor="test")
        ask(sent)
    assert is_asked(sent) == []
    assert sent.transfer.state is TransferState.SENT


def test_two_tasks_ask_once(sent, committing):
    ask(sent)
    with pytest.raises(StaleTransition):
        ask(sent)
    assert len(committing.asked) == 1


def test_a_transfer_whose_items_are_all_committed_is_not_asked_about(sent, committing):
    ask(sent)
    attempt = sent.claim()
    with sent.ledger.transaction() as session:
        commitments.report(
            session, is_asked(sent)[0], committed=[one.sop_instance_uid for one in INSTANCES],
            failed={}, now=clock(),
        )  # fmt: skip
    send(sent.settings, sent.ledger, sent.transfer_id, attempt, now=clock)
    ask(sent)
    assert sent.transfer.state is TransferState.COMMITTED
    assert len(committing.asked) == 1
    with sent.ledger.reading() as session:
        assert due.commitments(session, now=clock(), asked_before=clock()) == []


def test_a_report_on_the_requesting_association_is_answered(sent, committing):
    committing.report_first = True
    ask(sent)
    assert committing.answers == [0x0000]
