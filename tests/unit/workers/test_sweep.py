"""The sweep settles by evidence, claims once, and is the only one who enqueues."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.ledger.queries.due import SettleFacts
from gateway.ledger.transitions import reception
from gateway.model import AssociationOutcome, SeriesIdentity, SettleRule, StudyIdentity
from gateway.settings import Settings
from tests import ledgers
from workers.settle import evidence
from workers.sweep import sweep

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)


def facts(**changes) -> SettleFacts:
    values = {
        "study_id": 1, "open_pack_count": 0, "broken_pack_count": 0, "instance_count": 10,
        "declared_count": None, "last_received_at": NOW,
    }  # fmt: skip
    return SettleFacts(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "quiet_s", "rule"),
    [
        ({}, 4, None),
        ({}, 5, SettleRule.QUIET),
        ({"open_pack_count": 1}, 9999, None),
        ({"instance_count": 0}, 9999, None),
        ({"broken_pack_count": 1}, 299, None),
        ({"broken_pack_count": 1}, 300, SettleRule.QUIET_AFTER_ABORT),
        ({"declared_count": 10}, 0, SettleRule.DECLARED_COUNT),
        ({"declared_count": 10, "broken_pack_count": 1}, 0, SettleRule.DECLARED_COUNT),
        ({"declared_count": 10, "open_pack_count": 1}, 0, None),
        ({"declared_count": 11}, 0, None),
        ({"declared_count": 11}, 5, SettleRule.QUIET),
    ],
)
def test_evidence_comes_before_timers(changes, quiet_s, rule):
    now = NOW + timedelta(seconds=quiet_s)
    assert evidence(facts(**changes), settle_s=5, settle_aborted_s=300, now=now) == rule


def test_two_sweeps_at_once_enqueue_a_study_once(tmp_path):
    settings = Settings(home=tmp_path)
    ledger = ledgers.in_home(tmp_path)
    with ledger.transaction() as session:
        pack = reception.open_pack(
            session, StudyIdentity("1.2.3"), SeriesIdentity("1.2.3.4"),
            storage_key="k", association_id="a", calling_ae_title="WS", now=NOW,
        )  # fmt: skip
        reception.seal_pack(
            session, pack, outcome=AssociationOutcome.RELEASED, instance_count=3,
            size_bytes=9, now=NOW,
        )  # fmt: skip
    later = NOW + timedelta(seconds=10)
    sent = []
    for _ in range(2):
        sweep(settings, ledger, lambda *message: sent.append(message), now=later)
    assert sent == [("wrap", 1, 1)]
    # The message is lost; the lease runs out; the sweep tries again with a new token.
    sweep(settings, ledger, lambda *message: sent.append(message), now=later + timedelta(minutes=5))
    assert sent[1:] == [("wrap", 1, 2)]
