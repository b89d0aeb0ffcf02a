"""Which frames are chosen: promises that hold for any recording."""

import numpy as np
import pytest

from gateway.model import KeyFrameReason
from tests.unit.summary.pictures import bloody, features_of, jpeg, made_up, mucosa
from workers.summary.selection import Selection, select


def chosen(features, budget=25) -> Selection:
    return select(features, np.arange(len(features)) * 250, budget=budget)


def indices(selection):
    return np.array([choice.frame_index for choice in selection.choices])


@pytest.mark.parametrize("unusable", [0.05, 0.5, 0.99])
@pytest.mark.parametrize("budget", [1, 10, 100])
def test_no_unusable_frame_is_chosen_while_there_is_a_usable_one(unusable, budget):
    features = made_up(600, seed=budget, unusable=unusable)
    assert features["usable"][indices(chosen(features, budget))].all()


def test_decodable_frames_are_shown_if_none_is_usable():
    features = made_up(100, unusable=1)
    features["decoded"][:50] = False
    picked = chosen(features)
    assert len(picked.choices) > 0
    assert indices(picked).min() >= 50
    assert {choice.reason for choice in picked.choices} == {KeyFrameReason.COVERAGE}
    assert picked.usable_count == 0


def test_nothing_is_chosen_where_nothing_can_be_decoded():
    features = made_up(100)
    features["decoded"] = features["usable"] = False
    picked = chosen(features)
    assert picked.choices == ()
    assert picked.longest_gap_frames == 100


def test_a_study_without_frames_has_no_key_frames():
    assert chosen(made_up(1)[:0]).choices == ()


@pytest.mark.parametrize("count", [1, 2, 7, 30, 1000])
@pytest.mark.parametrize("budget", [1, 2, 3, 4, 5, 6, 7, 9, 25, 100, 800])
def test_never_more_than_the_budget_nor_than_there_are_usable_frames(count, budget):
    features = made_up(count, seed=count, unusable=0.3, still=0.0)
    features["usable"][0] = True
    picked = indices(chosen(features, budget))
    assert 1 <= len(picked) <= min(budget, features["usable"].sum())
    assert len(set(picked.tolist())) == len(picked)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("budget", [1, 3, 8, 25, 100])
def test_the_stated_coverage_bound_holds(seed, budget):
    features = made_up(1500, seed=seed, unusable=0.2, still=0.9)
    # Everything of interest lies at the beginning: coverage must not depend on it.
    features["blood_share"][:300] = 0.2
    features["red_spot"][:300] = np.random.default_rng(seed).random(300)
    picked = chosen(features, budget)
    usable = np.flatnonzero(features["usable"])
    positions = np.searchsorted(usable, indices(picked))
    runs_without = np.diff([-1, *positions.tolist(), len(usable)]) - 1
    assert runs_without.max() < picked.bound_frames


def test_the_longest_gap_counts_frames_and_time_to_both_ends():
    features = made_up(200, unusable=0)
    elapsed_ms = np.arange(200) * 100
    elapsed_ms[150:] += 3_600_000  # the recorder paused for an hour
    picked = select(features, elapsed_ms, budget=10)
    shown = [0, *indices(picked).tolist(), 199]
    assert picked.longest_gap_frames == np.diff(shown).max()
    assert picked.longest_gap_ms >= 3_600_000


@pytest.mark.parametrize("seed", range(3))
def test_the_same_recording_gives_the_same_choice(seed):
    features = made_up(2000, seed=seed)
    before = features.tobytes()
    assert chosen(features.copy()) == chosen(features)
    assert features.tobytes() == before


def test_key_frames_come_in_time_order():
    picked = indices(chosen(made_up(3000), 100))
    assert (np.diff(picked) > 0).all()


def test_a_capsule_at_rest_gives_what_coverage_asks_for_and_no_more():
    features = made_up(1000, unusable=0, still=1)
    features["redness"] = 0.35
    picked = chosen(features, 100)
    assert picked.bound_frames == 50
    assert 20 <= len(picked.choices) <= 2 * 1000 / 50
    reasons = [choice.reason for choice in picked.choices]
    assert reasons.count(KeyFrameReason.REPRESENTATIVE) <= 1
    assert {choice.neighbour_count for choice in picked.choices} == {1000}


def test_near_duplicates_are_collapsed_and_what_differs_is_shown():
    """Forty views of 25 frames each, and a budget that would allow all of them twice."""
    views = np.repeat(np.arange(40), 25)
    features = features_of([jpeg(mucosa(view, depth=0.4)) for view in range(40)])[views]
    choices = chosen(features, 100).choices
    wanted = [views[one.frame_index] for one in choices if one.reason != KeyFrameReason.COVERAGE]
    assert len(set(wanted)) == len(wanted)
    assert len(set(wanted)) >= 35


def alternating(count, length):
    """Two views in turn, each for `length` frames, no two frames quite the same."""
    features = made_up(count, unusable=0)
    features["quality"] = 0.8
    rng = np.random.default_rng(5)
    views = rng.integers(40, 140, (2, 8, 8, 3))
    flicker = rng.integers(-2, 3, (count, 8, 8, 3))
    features["layout"] = views[np.arange(count) // length % 2] + flicker
    return features


def test_a_budget_is_not_spent_on_what_is_shown_already():
    picked = chosen(alternating(400, 4), 400)
    assert len(picked.choices) <= 2 * 400 / 8


def test_brighter_light_alone_makes_no_other_view():
    features = features_of([jpeg(mucosa(1, light=0.7 + 0.2 * (n % 3))) for n in range(30)])
    assert {choice.neighbour_count for choice in chosen(features, 20).choices} == {30}


def test_the_best_frame_of_a_view_stands_for_it():
    features = made_up(40, unusable=0, still=1)
    features["quality"] = 0.6
    features["quality"][23] = 0.9
    assert chosen(features, 1).choices[0].frame_index == 23


def test_a_few_bloody_frames_in_a_long_recording_are_chosen_and_say_so():
    features = made_up(4000, unusable=0)
    features[2002:2005] = features_of([jpeg(bloody(n)) for n in range(3)])
    picked = [one for one in chosen(features, 20).choices if 2002 <= one.frame_index < 2005]
    assert [one.reason for one in picked] == [KeyFrameReason.POSSIBLE_BLOOD]
    assert picked[0].score > 0.5


def test_whatever_step_chose_it_a_plainly_bloody_frame_says_so():
    features = features_of([jpeg(bloody(n, radius=60)) for n in range(60)])
    reasons = {choice.reason for choice in chosen(features, 30).choices}
    assert reasons == {KeyFrameReason.POSSIBLE_BLOOD}


def test_a_frame_unlike_all_around_it_is_chosen_as_rare():
    features = made_up(4000, unusable=0)
    features["quality"] = 0.8
    features["pale_spot"] = np.random.default_rng(3).normal(0.1, 0.01, 4000)
    features["pale_spot"][1234] = 0.4
    picked = {one.frame_index: one for one in chosen(features, 20).choices}
    assert picked[1234].reason is KeyFrameReason.RARE


def with_odds(count, seed=1, **odd):
    """Frames with log odds of an odd spot; a few of them high, `odd`: f123=4.0 for frame 123."""
    features = made_up(count, seed=seed, unusable=0)
    features["quality"] = 0.9
    features["odd"] = np.random.default_rng(seed).normal(-2, 0.3, count)
    for name, value in odd.items():
        features["odd"][int(name[1:])] = value
    return features


def test_the_oddest_spots_are_chosen_first_and_called_rare():
    features = with_odds(4000, f777=4.0, f2222=3.0)
    picked = {one.frame_index: one for one in chosen(features, 20).choices}
    assert {777, 2222} <= set(picked)
    assert picked[777].reason is KeyFrameReason.RARE
    assert picked[777].score > picked[2222].score > 0.9


def test_what_looks_like_a_landmark_is_chosen_and_called_so():
    features = with_odds(4000)
    features["landmark"] = -3
    features["landmark"][1500] = 2
    picked = {one.frame_index: one.reason for one in chosen(features, 50).choices}
    assert picked[1500] is KeyFrameReason.LANDMARK


def test_every_organ_is_shown():
    organs = [(0, 40), (40, 60), (60, 500), (500, 3000), (3000, 4000)]
    picked = select(with_odds(4000), np.arange(4000) * 250, budget=25, organs=organs)
    shown = indices(picked)
    for first, end in organs:
        assert ((shown >= first) & (shown < end)).any()


@pytest.mark.parametrize("budget", [25, 100, 400, 800])
def test_no_interval_of_the_recording_is_longer_than_the_bound(budget):
    """All that is odd lies at the beginning: coverage must not depend on it."""
    features = with_odds(20000)
    features["odd"][:3000] += 5
    features["usable"][np.random.default_rng(1).random(20000) < 0.08] = False
    picked = chosen(features, budget)
    assert len(picked.choices) <= budget
    assert picked.longest_gap_frames <= picked.bound_frames
    assert picked.bound_frames <= 5 * 20000 / budget


def test_views_that_were_chosen_for_what_they_show_are_apart():
    features = with_odds(4000)
    features["odd"][100:140] = 4  # forty frames in a row, all odd
    near = [one for one in chosen(features, 100).choices if 100 <= one.frame_index < 140]
    assert 1 <= len(near) <= 7
