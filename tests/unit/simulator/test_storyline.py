"""The plan of a recording: covers every frame, keeps its promises about episodes and times."""

from itertools import pairwise

import pytest

from gateway.simulator.storyline import Organ, moments, plan

COUNTS = [1, 2, 9, 10, 59, 60, 300, 4000]


@pytest.mark.parametrize("count", COUNTS)
def test_scenes_cover_every_frame_once_and_in_order(count: int) -> None:
    covered = [s.first + i for s in plan(count, seed=4).scenes for i in range(s.count)]
    assert covered == list(range(count))


@pytest.mark.parametrize("count", COUNTS)
def test_a_moment_is_planned_for_every_frame(count: int) -> None:
    assert [moment.index for moment in moments(plan(count, seed=4))] == list(range(count))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("count", [60, 300, 4000])
def test_bleedings_last_3_to_40_frames_and_do_not_overlap(count: int, seed: int) -> None:
    bleedings = plan(count, seed=seed).bleedings
    assert len(bleedings) >= 2
    assert all(3 <= run.count <= 40 for run in bleedings)
    assert all(a.first + a.count <= b.first for a, b in pairwise(bleedings))
    assert bleedings[-1].first + bleedings[-1].count <= count


@pytest.mark.parametrize("seed", range(8))
def test_blood_is_never_hidden_by_an_unusable_stretch(seed: int) -> None:
    story = plan(4000, seed=seed)
    assert story.unusable_frame_numbers()
    assert story.bleeding_frame_numbers().isdisjoint(story.unusable_frame_numbers())


def test_the_frame_rate_moves_between_2_and_6_per_second() -> None:
    times = [moment.acquired_at for moment in moments(plan(3000, seed=2))]
    intervals = [(b - a).total_seconds() for a, b in pairwise(times)]
    assert min(intervals) >= 1 / 6 - 1e-6
    assert max(intervals) <= 1 / 2 + 1e-6
    assert max(intervals) > 1.5 * min(intervals)
    assert times[0].tzinfo is None


def test_the_organs_follow_one_another() -> None:
    organs = [scene.organ for scene in plan(3000, seed=2).scenes]
    assert organs == sorted(organs, key=list(Organ).index)
    assert set(organs) == set(Organ)


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert plan(500, seed=1) == plan(500, seed=1)
    assert plan(500, seed=1) != plan(500, seed=2)
