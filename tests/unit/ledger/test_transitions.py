"""Every change is a compare-and-set with its event; what the table does not allow is refused."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from gateway.errors import (
    ConfigurationError,
    OutcomeUnknown,
    PeerUnreachable,
    StaleTransition,
    TransitionRefused,
    WrapError,
)
from gateway.ledger import events
from gateway.ledger.queries import due
from gateway.ledger.queries import studies as study_queries
from gateway.ledger.queries import transfers as transfer_queries
from gateway.ledger.transitions import reception, registry, studies, transfers
from gateway.ledger.transitions.studies import ChosenFrame, DerivedInstance
from gateway.model import (
    STUDY_TRANSITIONS,
    TRANSFER_TRANSITIONS,
    AssociationOutcome,
    DerivedRole,
    KeyFrameReason,
    SeriesIdentity,
    SettleRule,
    StudyIdentity,
    StudyState,
    TransferState,
)
from tests import ledgers

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ledger = ledgers.ledger


def receive(session, key: str = "one", outcome=AssociationOutcome.RELEASED, now=NOW) -> int:
    pack = reception.open_pack(
        session, StudyIdentity("1.2.3"), SeriesIdentity("1.2.3.4"),
        storage_key=key, association_id=key, calling_ae_title="WS", now=now,
    )  # fmt: skip
    reception.seal_pack(session, pack, outcome=outcome, instance_count=10, size_bytes=1000, now=now)
    return pack


def derived(uid: str, role: DerivedRole) -> DerivedInstance:
    return DerivedInstance(
        role=role, number=1, series_instance_uid="1.2.9", sop_class_uid="1.2",
        sop_instance_uid=uid, transfer_syntax_uid="1.2.4", storage_key=f"derived/{uid}.dcm",
        size_bytes=10, frame_count=10, digest="0" * 64,
    )  # fmt: skip


def settle_and_claim(session, now=NOW):
    studies.settle(session, 1, SettleRule.QUIET, now=now)
    return studies.claim(session, 1, lease_s=60, attempts_max=3, now=now)


def make_ready(session, *parts: str, now=NOW) -> None:
    claim = settle_and_claim(session, now)
    studies.finish_wrap(
        session, 1, claim.attempt, [derived(uid, DerivedRole.FRAMES) for uid in parts],
        report={}, now=now,
    )  # fmt: skip
    claim = studies.claim(session, 1, lease_s=60, attempts_max=3, now=now)
    key = f"{parts[0]}.1"
    chosen = ChosenFrame(1, key, parts[0], 1, 1, 0, KeyFrameReason.COVERAGE, 1.0, 1)
    studies.finish_summary(
        session, 1, claim.attempt, [derived(key, DerivedRole.KEY_FRAME)], [chosen], now=now
    )


def add_pacs(session) -> None:
    registry.add_destination(
        session, "pacs", ae_title="PACS", host="localhost", port=104,
        route_all=True, now=NOW, actor="test",
    )  # fmt: skip


def send_all(session, transfer_id: int, now=NOW) -> None:
    claim = transfers.claim(session, transfer_id, lease_s=60, attempts_max=3, now=now)
    for line in transfer_queries.items(session, transfer_id):
        transfers.acknowledge_items(
            session, transfer_id, claim.attempt, [line.item.id], status=0, now=now
        )
    transfers.finish_send(session, transfer_id, claim.attempt, now=now)


def test_the_migrations_make_exactly_the_tables_of_the_schema(ledger):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from gateway.ledger import (  # noqa: F401 - their tables
        accounts_schema,
        delivery_schema,
        schema,
        steps_schema,
    )
    from gateway.ledger.base import Base

    with ledger.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_every_state_of_a_machine_is_in_its_table():
    assert set(STUDY_TRANSITIONS) == set(StudyState)
    assert set(TRANSFER_TRANSITIONS) == set(TransferState)


def test_a_study_goes_from_its_first_instance_to_planned_transfers(ledger):
    with ledger.transaction() as session:
        add_pacs(session)
        receive(session)
        make_ready(session, "1.5")
    with ledger.reading() as session:
        (line,) = study_queries.lines(session)
        assert line.study.state is StudyState.READY
        assert [one.state for one in line.transfers] == [TransferState.PENDING]
        assert due.transfers(session, NOW) == [line.transfers[0].id]


def test_the_second_of_two_claims_on_one_step_is_stale(ledger):
    with ledger.transaction() as session:
        receive(session)
        assert settle_and_claim(session).attempt == 1
        with pytest.raises(StaleTransition):
            studies.claim(session, 1, lease_s=60, attempts_max=3, now=NOW)


def test_a_lease_that_ran_out_is_claimed_again_and_fences_off_the_first_worker(ledger):
    with ledger.transaction() as session:
        receive(session)
        first = settle_and_claim(session)
        again = studies.claim(session, 1, lease_s=60, attempts_max=3, now=LATER)
        assert again.attempt == first.attempt + 1
        with pytest.raises(StaleTransition):
            studies.finish_wrap(session, 1, first.attempt, [], report={}, now=LATER)
        with pytest.raises(StaleTransition):
            studies.renew(session, 1, first.attempt, lease_s=60, now=LATER)


def test_what_kills_its_worker_every_time_fails_instead_of_looping_for_ever(ledger):
    with ledger.transaction() as session:
        receive(session)
        settle_and_claim(session)
        at = NOW
        for _ in range(2):
            at += timedelta(hours=1)
            assert studies.claim(session, 1, lease_s=60, attempts_max=3, now=at)
        assert studies.claim(session, 1, lease_s=60, attempts_max=3, now=at + timedelta(1)) is None
        study = study_queries.get(session, 1)
        assert study.state is StudyState.FAILED
        assert "3 attempts" in study.reason


def test_a_permanent_failure_of_a_step_fails_the_study_and_an_operator_starts_it_again(ledger):
    with ledger.transaction() as session:
        receive(session)
        claim = settle_and_claim(session)
        studies.step_failed(session, 1, claim.attempt, WrapError("no"), retry_after_s=1, now=NOW)
        assert study_queries.get(session, 1).state is StudyState.FAILED
        studies.retry(session, 1, now=NOW, actor="admin")
        assert due.studies(session, NOW) == [1]


def test_a_transient_failure_of_a_step_is_due_again_after_its_pause(ledger):
    with ledger.transaction() as session:
        receive(session)
        claim = settle_and_claim(session)
        studies.step_failed(
            session, 1, claim.attempt, PeerUnreachable("gone"), retry_after_s=30, now=NOW
        )
        assert due.studies(session, NOW) == []
        assert due.studies(session, NOW + timedelta(seconds=31)) == [1]


def test_a_study_is_not_closed_while_instances_of_it_arrive(ledger):
    with ledger.transaction() as session:
        reception.open_pack(
            session, StudyIdentity("1.2.3"), SeriesIdentity("1.2.3.4"),
            storage_key="x", association_id="x", calling_ae_title="WS", now=NOW,
        )  # fmt: skip
        with pytest.raises(TransitionRefused):
            studies.settle(session, 1, SettleRule.OPERATOR, now=NOW)


def test_a_late_frame_fences_off_the_worker_and_makes_a_new_revision(ledger):
    with ledger.transaction() as session:
        receive(session)
        claim = settle_and_claim(session)
        receive(session, "two")
        with pytest.raises(StaleTransition):
            studies.finish_wrap(session, 1, claim.attempt, [], report={}, now=NOW)
        assert study_queries.get(session, 1).revision == 2


def test_unchanged_parts_are_not_sent_again_in_a_new_revision(ledger):
    with ledger.transaction() as session:
        add_pacs(session)
        receive(session)
        make_ready(session, "1.5")
        send_all(session, 1)
        receive(session, "two", now=LATER)
        make_ready(session, "1.5", "1.6", now=LATER)
        second = transfer_queries.lines(session)[0].transfer.id
        pending = [
            line.derived.sop_instance_uid
            for line in transfer_queries.items(session, second)
            if line.item.state == "pending"
        ]
    assert second == 2
    assert pending == ["1.6"]


def test_a_superseded_transfer_that_has_not_begun_is_cancelled(ledger):
    with ledger.transaction() as session:
        add_pacs(session)
        receive(session)
        make_ready(session, "1.5")
        receive(session, "two")
        make_ready(session, "1.5", "1.6")
        states = {line.transfer.id: line.transfer.state for line in transfer_queries.lines(session)}
    assert states == {1: TransferState.CANCELLED, 2: TransferState.PENDING}


def test_a_failed_send_is_postponed_then_failed_then_retried_by_an_operator(ledger):
    with ledger.transaction() as session:
        add_pacs(session)
        receive(session)
        make_ready(session, "1.5")
        at = NOW
        for _ in range(3):
            claim = transfers.claim(session, 1, lease_s=60, attempts_max=3, now=at)
            transfers.send_failed(
                session, 1, claim.attempt, OutcomeUnknown("It fell silent."),
                attempts_max=3, retry_after_s=10, now=at,
            )  # fmt: skip
            at += timedelta(seconds=11)
        row = transfer_queries.line(session, 1).transfer
        assert row.state is TransferState.FAILED
        assert "It fell silent" in row.reason
        transfers.retry(session, 1, now=at, actor="admin")
        assert due.transfers(session, at) == [1]


def test_a_transfer_outlasts_a_destination_that_is_away_but_not_for_ever(ledger):
    with ledger.transaction() as session:
        add_pacs(session)
        receive(session)
        make_ready(session, "1.5")
        at = NOW
        for _ in range(20):
            claim = transfers.claim(session, 1, lease_s=60, attempts_max=3, now=at)
            transfers.send_failed(
                session, 1, claim.attempt, PeerUnreachable("no route."),
                attempts_max=3, retry_after_s=3600, now=at,
            )  # fmt: skip
            assert transfer_queries.line(session, 1).transfer.state is TransferState.PENDING
            at += timedelta(hours=1)
        at = NOW + transfers.UNREACHABLE_MAX
        claim = transfers.claim(session, 1, lease_s=60, attempts_max=3, now=at)
        transfers.send_failed(
            session, 1, claim.attempt, PeerUnreachable("no route."),
            attempts_max=3, retry_after_s=3600, now=at,
        )  # fmt: skip
        row = transfer_queries.line(session, 1).transfer
        assert row.state is TransferState.FAILED
        assert "14 days" in row.reason


def test_pause_resume_and_cancel_follow_the_table(ledger):
    with ledger.transaction() as session:
        add_pacs(session)
        receive(session)
        make_ready(session, "1.5")
        transfers.pause(session, 1, now=NOW, actor="admin")
        assert due.transfers(session, LATER) == []
        transfers.retry(session, 1, now=NOW, actor="admin")
        transfers.cancel(session, 1, now=NOW, actor="admin")
        with pytest.raises(TransitionRefused):
            transfers.pause(session, 1, now=NOW, actor="admin")


@pytest.mark.parametrize("title", ["", "SEVENTEEN-LETTERS", "BACK\\SLASH", " LEADING", "汉字"])
def test_an_illegal_ae_title_is_refused(ledger, title):
    with pytest.raises(ConfigurationError), ledger.transaction() as session:
        registry.add_source(session, title, now=NOW, actor="test")


def test_tampering_with_an_event_shows(ledger):
    with ledger.transaction() as session:
        receive(session)
        receive(session, "two")
    with ledger.reading() as session:
        assert events.first_broken(session) is None
    with ledger.transaction() as session:
        session.execute(text("UPDATE event SET detail = 'nothing happened' WHERE id = 2"))
    with ledger.reading() as session:
        assert events.first_broken(session) == 2


def test_the_broken_association_rule_forgets_a_break_that_a_later_release_made_up_for(ledger):
    with ledger.transaction() as session:
        receive(session, "one", AssociationOutcome.ABORTED)
        assert due.receiving(session)[0].broken_pack_count == 1
        receive(session, "two", AssociationOutcome.RELEASED, now=LATER)
        assert due.receiving(session)[0].broken_pack_count == 0
