"""What a person says about where organs begin, and what becomes of it."""

import json

import pytest

from gateway.errors import TransitionRefused
from gateway.ledger.queries import studies as queries
from gateway.ledger.transitions import landmarks, studies
from gateway.model import DerivedRole, Organ
from tests.kept_studies import clock
from tests.summaries import read, received, run, wrapped_study
from tests.unit.summary.pictures import jpeg, mucosa
from workers.summarising import TIMELINE_FILE


@pytest.fixture
def study(tmp_path):
    streams = [jpeg(mucosa(n, depth=0.4, side=128)) for n in range(24)]
    study = wrapped_study(tmp_path / "home", [received(streams)], key_frames=8)
    run(study)
    return study


def correct(study, organ, frame):
    with study.ledger.transaction() as session:
        landmarks.correct(
            session, study.study_id, organ, recording_frame_number=frame,
            elapsed_ms=500 * (frame - 1), now=clock(), actor="anna",
        )  # fmt: skip


def test_a_correction_is_kept_written_down_and_in_the_next_report(study):
    correct(study, Organ.STOMACH, 3)
    correct(study, Organ.SMALL_BOWEL, 11)
    with study.ledger.reading() as session:
        event = queries.events(session, study.study_id)[0]
    assert (event.kind, event.actor) == ("landmark-corrected", "anna")
    assert event.detail == "small bowel: not told, now frame 11"
    with study.ledger.transaction() as session:
        studies.retry(session, study.study_id, now=clock(), actor="anna")
    study.wrap()
    run(study)
    (row,) = study.derived(DerivedRole.REPORT)
    report = read(study, row)
    assert "Gastric transit time" in str(report)
    words = [one.value for one in report.iterall() if one.keyword == "TextValue"]
    assert "Frame 3, +00:00:01, corrected by anna" in words
    strip = json.loads((study.settings.derived_dir / study.row.study_instance_uid / TIMELINE_FILE)
                       .read_text())  # fmt: skip
    assert strip["transit_ms"] == {"stomach": 4000}
    assert [one["first_frame"] for one in study.row.summary["organs"]] == [3, 11]


def test_organs_out_of_order_are_refused(study):
    correct(study, Organ.SMALL_BOWEL, 11)
    for organ, frame in ((Organ.STOMACH, 12), (Organ.COLON, 10), (Organ.COLON, 0)):
        with pytest.raises(TransitionRefused):
            correct(study, organ, frame)


def test_the_coverage_bound_is_written_down(study):
    assert study.row.summary["bound_frames"] > 0
    with study.ledger.reading() as session:
        details = [one.detail for one in queries.events(session, study.study_id)]
    assert any("at least one in any" in detail for detail in details)
