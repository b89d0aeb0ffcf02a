"""How a sent transfer becomes a committed one, however many requests and reports it takes."""

from datetime import timedelta

import pytest

from gateway.errors import PeerUnreachable, StaleTransition
from gateway.ledger.queries import due, outgoing
from gateway.ledger.queries import transfers as queries
from gateway.ledger.transitions import commitments, transfers
from gateway.model import ItemState, TransferState
from tests.deliveries import Made, clock, make_delivery

UIDS = [Made(number).sop_instance_uid for number in (1, 2, 3)]
LONG_AGO = timedelta(days=1)


@pytest.fixture
def sent(tmp_path):
    """A transfer of three instances, all of them acknowledged."""
    delivery = make_delivery(tmp_path, [Made(1), Made(2), Made(3)], port=104)
    send_all(delivery)
    yield delivery
    delivery.ledger.dispose()


def send_all(delivery):
    attempt = delivery.claim()
    with delivery.ledger.transaction() as session:
        for item_id in outgoing.unsent(session, delivery.transfer_id):
            transfers.acknowledge_items(
                session, delivery.transfer_id, attempt, [item_id], status=0, now=clock()
            )
        transfers.finish_send(session, delivery.transfer_id, attempt, now=clock())


def ask(delivery, *transaction_uids, now=None):
    now = now or clock()
    with delivery.ledger.transaction() as session:
        commitments.request(
            session, delivery.transfer_id, transaction_uids, asked_before=now - LONG_AGO, now=now
        )


def report(delivery, transaction_uid, committed=(), failed=()):
    with delivery.ledger.transaction() as session:
        return commitments.report(
            session,
            transaction_uid,
            committed=frozenset(committed),
            failed=dict.fromkeys(failed, "no such object instance"),
            now=clock(),
        )


def is_due(delivery, now):
    with delivery.ledger.reading() as session:
        return bool(due.commitments(session, now=now, asked_before=now - LONG_AGO))


def test_one_report_about_everything_commits_the_transfer(sent):
    ask(sent, "2.25.1")
    assert report(sent, "2.25.1", committed=UIDS)
    assert sent.transfer.state is TransferState.COMMITTED
    assert set(sent.item_states().values()) == {ItemState.COMMITTED}


@pytest.mark.parametrize("order", [("2.25.1", "2.25.2"), ("2.25.2", "2.25.1")])
def test_several_requests_commit_the_transfer_with_the_last_report(sent, order):
    about = {"2.25.1": UIDS[:2], "2.25.2": UIDS[2:]}
    ask(sent, *about)
    report(sent, order[0], committed=about[order[0]])
    assert sent.transfer.state is TransferState.SENT
    assert not is_due(sent, clock())
    report(sent, order[1], committed=about[order[1]])
    assert sent.transfer.state is TransferState.COMMITTED


def test_a_report_nobody_asked_for_changes_nothing(sent):
    assert report(sent, "2.25.99", committed=UIDS) is False
    assert sent.transfer.state is TransferState.SENT
    assert set(sent.item_states().values()) == {ItemState.ACKNOWLEDGED}


def test_a_second_report_of_a_transaction_changes_nothing(sent):
    ask(sent, "2.25.1", "2.25.2")
    report(sent, "2.25.1", committed=UIDS[:2])
    assert report(sent, "2.25.1", failed=UIDS[:2]) is True
    assert sent.transfer.state is TransferState.SENT
    assert sent.item_states()[UIDS[0]] is ItemState.COMMITTED


def test_what_the_destination_does_not_keep_is_sent_again_and_asked_about_again(sent):
    ask(sent, "2.25.1")
    report(sent, "2.25.1", committed=UIDS[:2], failed=UIDS[2:])
    assert sent.transfer.state is TransferState.PENDING
    assert sent.item_states()[UIDS[2]] is ItemState.PENDING
    send_all(sent)
    with sent.ledger.reading() as session:
        assert [uid for _, uid in queries.uncommitted(session, sent.transfer_id)] == UIDS[2:]
    ask(sent, "2.25.2")
    report(sent, "2.25.2", committed=UIDS[2:])
    assert sent.transfer.state is TransferState.COMMITTED


def test_failures_in_two_reports_of_one_round_are_both_sent_again(sent):
    ask(sent, "2.25.1", "2.25.2")
    report(sent, "2.25.1", committed=UIDS[:1], failed=UIDS[1:2])
    report(sent, "2.25.2", failed=UIDS[2:])
    assert sent.transfer.state is TransferState.PENDING
    with sent.ledger.reading() as session:
        assert len(outgoing.unsent(session, sent.transfer_id)) == 2


def test_a_destination_that_never_keeps_an_instance_needs_an_operator(sent):
    for number in range(1, commitments.REFUSED_ROUNDS_MAX + 1):
        ask(sent, f"2.25.{number}.1", f"2.25.{number}.2", now=clock() + timedelta(seconds=number))
        report(sent, f"2.25.{number}.1", failed=UIDS[:1])
        report(sent, f"2.25.{number}.2", failed=UIDS[1:])
        if number < commitments.REFUSED_ROUNDS_MAX:
            assert sent.transfer.state is TransferState.PENDING
            send_all(sent)
    assert sent.transfer.state is TransferState.FAILED
    assert "no such object instance" in sent.transfer.reason


def test_an_old_failure_says_nothing_about_what_is_being_sent_again(sent):
    ask(sent, "2.25.1")
    attempt = sent.claim()  # an operator sends it again, and the report comes meanwhile
    report(sent, "2.25.1", committed=UIDS[:2], failed=UIDS[2:])
    assert sent.item_states()[UIDS[2]] is ItemState.ACKNOWLEDGED
    with sent.ledger.transaction() as session:
        transfers.finish_send(session, sent.transfer_id, attempt, now=clock())
    assert sent.transfer.state is TransferState.SENT


def test_a_report_that_came_while_sending_is_not_waited_for_again(sent):
    ask(sent, "2.25.1")
    attempt = sent.claim()
    report(sent, "2.25.1", committed=UIDS)
    with sent.ledger.transaction() as session:
        transfers.finish_send(session, sent.transfer_id, attempt, now=clock())
        assert queries.uncommitted(session, sent.transfer_id) == []
        assert commitments.confirm(session, sent.transfer_id, now=clock())
    assert sent.transfer.state is TransferState.COMMITTED


def test_what_no_report_mentioned_is_asked_about_again_after_a_pause(sent):
    ask(sent, "2.25.1")
    report(sent, "2.25.1", committed=UIDS[:2])
    assert not is_due(sent, clock())
    assert is_due(sent, clock() + timedelta(seconds=commitments.PAUSE_BASE_S + 1))


def test_a_task_that_runs_twice_asks_once(sent):
    ask(sent, "2.25.1")
    with pytest.raises(StaleTransition):
        ask(sent, "2.25.2")
    with sent.ledger.reading() as session:
        assert len(queries.commitments(session, sent.transfer_id)) == 1


def test_a_request_that_was_never_reported_is_asked_again(sent):
    ask(sent, "2.25.1", now=clock() - LONG_AGO - timedelta(seconds=1))
    assert is_due(sent, clock())
    ask(sent, "2.25.2")
    report(sent, "2.25.1", committed=UIDS)  # and then it comes after all
    assert sent.transfer.state is TransferState.COMMITTED


def test_a_request_that_was_taken_back_is_due_after_its_pause(sent):
    ask(sent, "2.25.1", "2.25.2")
    with sent.ledger.transaction() as session:
        commitments.withdraw(
            session, sent.transfer_id, ["2.25.1", "2.25.2"], PeerUnreachable("It is away."),
            retry_after_s=100, now=clock(),
        )  # fmt: skip
    assert not is_due(sent, clock())
    assert is_due(sent, clock() + timedelta(seconds=101))
    assert sent.transfer.reason == "Not committed: It is away."
    assert report(sent, "2.25.1", committed=UIDS) is False


def test_only_what_was_not_accepted_is_taken_back(sent):
    ask(sent, "2.25.1", "2.25.2")
    with sent.ledger.transaction() as session:
        commitments.withdraw(
            session, sent.transfer_id, ["2.25.2"], PeerUnreachable("It went away."),
            retry_after_s=0, now=clock(),
        )  # fmt: skip
    assert not is_due(sent, clock() + timedelta(seconds=1))  # the first is still waited for
    report(sent, "2.25.1", committed=UIDS[:2])
    later = clock() + timedelta(seconds=commitments.PAUSE_BASE_S + 1)
    assert is_due(sent, later)


def test_nothing_is_asked_about_a_transfer_that_is_being_sent(sent):
    sent.claim()
    with pytest.raises(StaleTransition):
        ask(sent, "2.25.1")


def test_one_sweep_reserves_the_question(sent):
    with sent.ledger.transaction() as session:
        commitments.claim(session, sent.transfer_id, lease_s=60, now=clock())
        with pytest.raises(StaleTransition):
            commitments.claim(session, sent.transfer_id, lease_s=60, now=clock())
    assert not is_due(sent, clock())
