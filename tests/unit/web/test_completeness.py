"""The verdict over a study's frames: never better than its report."""

from gateway.web.completeness import GAPS_IN_WORDS_MAX, judge


def test_nothing_is_said_before_the_wrap_has_counted():
    assert judge({}).level == "unknown"


def test_a_whole_study_is_good():
    found = judge({"frame_count": 60_000, "received_count": 60_000, "duplicate_count": 0})
    assert found.level == "good"
    assert found.verdict == "60,000 of 60,000 received frames, 0 gaps, 0 duplicates."
    assert not found.remarks


def test_duplicates_alone_are_no_fault():
    found = judge({"frame_count": 10, "received_count": 10, "duplicate_count": 1})
    assert found.level == "good"
    assert found.verdict.endswith("0 gaps, 1 duplicate.")


def test_what_is_missing_excluded_or_contradicted_wants_attention():
    for key in ("gap_count", "excluded_count", "conflict_count"):
        assert judge({"frame_count": 10, "received_count": 10, key: 1}).level == "attention", key


def test_a_gap_count_without_its_gaps_is_still_told():
    found = judge({"frame_count": 10, "gap_count": 2})
    assert found.remarks == ["And 2 more gaps."]


def test_gaps_without_a_count_are_counted():
    found = judge({"frame_count": 10, "gaps": [{"after_frame_number": 3, "missing_count": 2}]})
    assert found.counts["gap"] == 1
    assert found.missing_count == 2
    assert found.remarks == ["2 frames are missing after frame 3."]


def test_many_gaps_are_not_all_listed():
    gaps = [{"after_frame_number": number} for number in range(1, 41)]
    found = judge({"frame_count": 100, "gap_count": 40, "gaps": gaps})
    assert len(found.remarks) == GAPS_IN_WORDS_MAX + 1
    assert found.remarks[0] == "An unknown number are missing after frame 1."
    assert found.remarks[-1] == f"And {40 - GAPS_IN_WORDS_MAX} more gaps."


def test_values_that_are_none_count_as_nothing_said():
    report = {"frame_count": 5, "received_count": None, "gaps": None, "duration_s": None}
    assert judge(report).level == "good"
