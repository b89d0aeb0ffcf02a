"""What one reduced decode says about a frame, and which frames it makes usable."""

import cv2
import numpy as np
import pytest

from tests.unit.summary.pictures import (
    SIDE,
    bloody,
    cut_off,
    cut_out,
    features_of,
    foam,
    jpeg,
    mucosa,
    texture,
)
from workers.summary.content_area import content_area
from workers.summary.features import Reduction

SHARES = (
    "luminance", "dark_share", "bright_share", "lost_share", "busy_share", "mucosa_share",
    "redness", "blood_share", "difference", "quality",
)  # fmt: skip


def outside():
    """The room before the capsule is swallowed: grey-green, whatever its structure."""
    return mucosa(3, colour=(150, 150, 140))


@pytest.mark.parametrize(
    "picture",
    [mucosa(1), mucosa(2, light=0.7), mucosa(3, colour=(60, 120, 140)), bloody()],
    ids=["mucosa", "dimmer", "bile", "blood"],
)
def test_what_a_physician_can_judge_is_usable(picture):
    (row,) = features_of([jpeg(picture)])
    assert row["usable"]
    assert row["quality"] > 0.5


@pytest.mark.parametrize(
    "picture",
    [mucosa(1, light=0.05), mucosa(1, light=4), foam(), cut_off(), outside()],
    ids=["dark", "burnt out", "foam", "cut off", "outside the patient"],
)
def test_what_nobody_can_judge_is_unusable(picture):
    (row,) = features_of([jpeg(picture)])
    assert row["decoded"]
    assert not row["usable"]
    assert row["quality"] == 0


@pytest.mark.parametrize(
    "stream",
    [b"", b"no JPEG", jpeg(mucosa(1))[:200], jpeg(mucosa(1, side=128))],
    ids=["empty", "other bytes", "header only", "another size"],
)
def test_a_frame_without_a_picture_is_not_usable_and_all_zero(stream):
    (row,) = features_of([stream])
    assert row.tobytes() == bytes(row.nbytes)


def test_all_shares_lie_between_0_and_1():
    pictures = [mucosa(n) for n in range(5)] + [foam(), bloody(), cut_off(), mucosa(1, light=0)]
    features = features_of([jpeg(one) for one in pictures])
    for name in SHARES:
        assert features[name].min() >= -1e-6, name
        assert features[name].max() <= 1, name


def test_blood_is_seen_and_mucosa_of_other_colours_is_not_taken_for_it():
    shades = [mucosa(n, colour=(40 + 20 * n, 100, 180)) for n in range(4)]
    features = features_of([jpeg(bloody()), *map(jpeg, shades)])
    assert features["blood_share"][0] > 0.1
    assert features["blood_share"][1:].max() < 0.005


def test_a_red_and_a_pale_spot_stand_out_from_their_surroundings():
    red, pale = mucosa(1), mucosa(1)
    cv2.circle(red, (110, 90), 14, (40, 50, 190), -1)
    cv2.circle(pale, (110, 90), 14, (170, 190, 210), -1)
    plain, red_row, pale_row = features_of([jpeg(mucosa(1)), jpeg(red), jpeg(pale)])
    assert red_row["red_spot"] > 2 * plain["red_spot"]
    assert pale_row["pale_spot"] > 2 * plain["pale_spot"]


def test_the_difference_counts_from_the_previous_frame():
    features = features_of([jpeg(mucosa(1)), jpeg(mucosa(1)), jpeg(mucosa(9))])
    assert features["difference"][0] == 0
    assert features["difference"][1] == 0
    assert features["difference"][2] > 0.02


def test_a_blurred_frame_among_sharp_ones_has_less_quality():
    sharp = [mucosa(n) for n in range(20)]
    sharp[10] = cut_out(cv2.GaussianBlur(sharp[10], (0, 0), 9))
    features = features_of([jpeg(one) for one in sharp])
    others = np.delete(features["quality"], 10)
    assert features["quality"][10] < 0.7 * np.median(others)


@pytest.mark.parametrize("side", [64, 128, 224, 256, 320, 336, 512, 576, 1024])
def test_a_frame_is_decoded_as_small_as_its_features_allow(side):
    reduction = Reduction.of(side, side)
    picture = reduction.decode(jpeg(mucosa(1, side=side)))
    assert picture is not None
    assert picture.shape[:2] == reduction.shape
    assert 56 <= min(reduction.shape) <= 128


def test_the_same_scene_has_the_same_features_at_every_frame_size():
    rows = [features_of([jpeg(mucosa(4, side=side))], side)[0] for side in (256, 512)]
    assert rows[0]["mucosa_share"] == pytest.approx(rows[1]["mucosa_share"], abs=0.05)
    assert rows[0]["redness"] == pytest.approx(rows[1]["redness"], abs=0.02)


def with_text(seed):
    """A frame with a device's name in the corner and a time that changes."""
    picture = mucosa(seed)
    for text, at in (("SB3", (2, 12)), (f"{seed:04}", (180, 220))):
        cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1)
    return picture


def test_the_content_area_is_the_field_of_view_without_burned_in_text():
    reduction = Reduction.of(SIDE, SIDE)
    area = content_area(reduction.shape, [reduction.decode(jpeg(with_text(n))) for n in range(12)])
    expected = cv2.resize(cut_out(np.full((SIDE, SIDE, 3), 255, np.uint8))[..., 0], reduction.shape)
    assert (area[expected == 0] == 0).all()
    assert (area == 255).sum() > 0.9 * (expected == 255).sum()


def test_a_lumen_that_is_always_dark_belongs_to_the_content_area():
    def with_lumen(seed):
        picture = mucosa(seed)
        cv2.circle(picture, (SIDE // 2, SIDE // 2), 30, (3, 3, 3), -1)
        return picture

    reduction = Reduction.of(SIDE, SIDE)
    area = content_area(reduction.shape, [reduction.decode(jpeg(with_lumen(n))) for n in range(8)])
    middle = reduction.shape[0] // 2
    assert area[middle, middle] == 255


@pytest.mark.parametrize("samples", [[], [np.zeros((56, 56, 3), np.uint8)]], ids=["none", "black"])
def test_without_anything_to_see_every_pixel_counts(samples):
    assert (content_area((56, 56), samples) == 255).all()


def test_frames_without_a_black_border_count_whole():
    picture = np.clip(np.array([70, 105, 175]) * (1 + 0.2 * texture(1, 6))[..., None], 0, 255)
    reduction = Reduction.of(SIDE, SIDE)
    sample = reduction.decode(jpeg(picture.astype(np.uint8)))
    assert (content_area(reduction.shape, [sample]) == 255).mean() > 0.9
