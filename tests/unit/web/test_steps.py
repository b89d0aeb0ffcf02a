"""Where a study stands, told from what the ledger holds."""

import pytest

from gateway.errors import NoFrames
from gateway.ledger.queries import studies as queries
from gateway.ledger.queries import transfers as transfer_queries
from gateway.ledger.transitions import registry
from gateway.model import AssociationOutcome, SettleRule
from gateway.web.steps import Facts, bars, path, standing


def steps_of(filling, study_id):
    with filling.ledger.reading() as session:
        facts = Facts(
            queries.line(session, study_id),
            queries.derived(session, study_id),
            transfer_queries.lines(session, study_id=study_id),
            queries.events(session, study_id),
            settle_s=5.0,
        )
    return {step.name: step for step in path(facts)}


def progress_of(filling, study_id):
    return [step.progress for step in steps_of(filling, study_id).values()]


def standing_of(filling, study_id, items=None):
    with filling.ledger.reading() as session:
        line = queries.line(session, study_id)
    return standing(bars(line, items or {}), line)


def add_destination(filling, *, commitment=True):
    with filling.ledger.transaction() as session:
        registry.add_destination(
            session,
            "PACS",
            ae_title="PACS",
            host="x",
            port=1,
            commitment=commitment,
            now=filling.now,
            actor="test",
            route_all=True,
        )


def test_the_path_is_walked_one_step_after_the_other(filling):
    add_destination(filling)
    study_id = filling.receive("1.2.3", 2500)
    seen = [progress_of(filling, study_id)]
    filling.settle(study_id)
    seen.append(progress_of(filling, study_id))
    filling.wrap(study_id, 2500)
    seen.append(progress_of(filling, study_id))
    filling.summarise(study_id, 2500, 4)
    seen.append(progress_of(filling, study_id))
    (transfer_id,) = filling.transfers_of(study_id)
    filling.deliver(transfer_id)
    seen.append(progress_of(filling, study_id))
    done, now, waiting = "done", "now", "waiting"
    assert seen == [
        [now, waiting, waiting, waiting, waiting, waiting],
        [done, now, waiting, waiting, waiting, waiting],
        [done, done, done, now, waiting, waiting],
        [done, done, done, done, waiting, waiting],
        [done, done, done, done, done, now],
    ]


def test_a_committed_study_is_done_in_every_step(filling):
    add_destination(filling)
    study_id = filling.ready("1.2.3", 2500)
    filling.deliver_all(study_id)
    steps = steps_of(filling, study_id)
    assert {step.progress for step in steps.values()} == {"done"}
    assert steps["wrap"].headline == "2,500 frames"
    assert steps["wrap"].note == "in 2 instances"
    assert steps["summarise"].headline == "12 key frames"
    assert steps["send"].note == "to PACS"
    assert steps["confirm"].headline == "committed"
    assert all(step.at is not None for step in steps.values())


def test_a_destination_that_is_not_asked_confirms_nothing(filling):
    add_destination(filling, commitment=False)
    study_id = filling.ready("1.2.3", 20)
    filling.deliver_all(study_id)
    assert steps_of(filling, study_id)["confirm"].progress == "off"


def test_a_study_without_destination_ends_when_it_is_ready(filling):
    study_id = filling.ready("1.2.3", 20)
    assert progress_of(filling, study_id)[4:] == ["off", "waiting"]
    assert standing_of(filling, study_id) == "no destination"


def test_a_failure_is_shown_at_the_step_where_it_happened(filling):
    study_id = filling.receive("1.2.3", 20)
    filling.settle(study_id)
    filling.wrap(study_id, 20)
    filling.fail(study_id, NoFrames("The pictures cannot be read."))
    assert progress_of(filling, study_id)[:4] == ["done", "done", "done", "failed"]
    assert standing_of(filling, study_id) == "The pictures cannot be read."


def test_the_settle_rule_is_told_before_and_after_it_fired(filling):
    study_id = filling.receive("1.2.3", 20, declared=55_000, outcome=AssociationOutcome.LOST)
    waiting = steps_of(filling, study_id)["settle"]
    assert waiting.headline == "waiting for quiet"
    assert waiting.note == "at 55,000 instances, or 5.0 s after the last association"
    filling.settle(study_id, SettleRule.QUIET_AFTER_ABORT)
    assert steps_of(filling, study_id)["settle"].note == SettleRule.QUIET_AFTER_ABORT.in_words


@pytest.mark.parametrize(("declared", "expected"), [(55_000, "arriving, 36 %"), (None, "arriving")])
def test_a_study_that_arrives_says_how_far_it_is(filling, declared, expected):
    study_id = filling.receive("1.2.3", 20_000, declared=declared, finished=False)
    assert standing_of(filling, study_id) == expected
