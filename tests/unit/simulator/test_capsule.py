"""Synthetic frames: reproducible, JPEG Baseline 4:2:0, and like capsule endoscopy in numbers."""

from itertools import islice

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from gateway.simulator.capsule import SyntheticFrame, synthetic_frames
from gateway.simulator.storyline import Hindrance, Organ, plan

COUNT, SEED = 400, 7


@pytest.fixture(scope="module")
def recording() -> list[SyntheticFrame]:
    return list(synthetic_frames(COUNT, seed=SEED))


def decoded(frame: SyntheticFrame) -> npt.NDArray[np.uint8]:
    picture = cv2.imdecode(np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture, np.uint8)


def mean_colour(frame: SyntheticFrame) -> npt.NDArray[np.float64]:
    """Mean blue, green, red of the middle of the field."""
    return np.asarray(decoded(frame)[80:240, 80:240].mean(axis=(0, 1)))


def segments(jpeg: bytes) -> dict[int, bytes]:
    """Marker segments before the scan, by marker code (ITU-T T.81 B.1.1)."""
    assert jpeg[:2] == b"\xff\xd8"
    found, at = {}, 2
    while jpeg[at + 1] != 0xDA:
        assert jpeg[at] == 0xFF
        length = int.from_bytes(jpeg[at + 2 : at + 4], "big")
        found[jpeg[at + 1]] = jpeg[at + 4 : at + 2 + length]
        at += 2 + length
    return found


def test_the_same_count_and_seed_give_the_same_bytes(recording: list[SyntheticFrame]) -> None:
    assert list(islice(synthetic_frames(COUNT, seed=SEED), 40)) == recording[:40]


def test_another_seed_gives_other_frames(recording: list[SyntheticFrame]) -> None:
    other = next(synthetic_frames(COUNT, seed=SEED + 1))
    assert other.jpeg != recording[0].jpeg
    assert other.acquired_at != recording[0].acquired_at


def test_frames_are_numbered_from_one_in_time_order(recording: list[SyntheticFrame]) -> None:
    assert [frame.frame_number for frame in recording] == list(range(1, COUNT + 1))
    times = [frame.acquired_at for frame in recording]
    assert times == sorted(set(times))


def test_frames_are_jpeg_baseline_420(recording: list[SyntheticFrame]) -> None:
    for frame in recording[::25]:
        found = segments(frame.jpeg)
        assert {m for m in found if 0xC0 <= m <= 0xCF and m not in (0xC4, 0xC8, 0xCC)} == {0xC0}
        precision, rows, columns, components = (
            found[0xC0][0],
            int.from_bytes(found[0xC0][1:3], "big"),
            int.from_bytes(found[0xC0][3:5], "big"),
            found[0xC0][5],
        )
        assert (precision, rows, columns, components) == (8, 320, 320, 3)
        assert [found[0xC0][7 + 3 * i] for i in range(3)] == [0x22, 0x11, 0x11]
        assert 0xC4 in found  # Huffman tables are in the stream
        assert 0xDB in found
        assert frame.jpeg.endswith(b"\xff\xd9")


def test_most_frames_have_10_to_30_kilobytes(recording: list[SyntheticFrame]) -> None:
    sizes = [len(frame.jpeg) for frame in recording]
    assert np.mean([10_000 <= size <= 30_000 for size in sizes]) > 0.9


def test_the_field_is_round_on_black(recording: list[SyntheticFrame]) -> None:
    for frame in recording[::40]:
        picture = decoded(frame)
        corners = [picture[:30, :30], picture[:30, -30:], picture[-30:, :30], picture[-30:, -30:]]
        assert max(int(corner.max()) for corner in corners) < 16
    usable = recording[0]
    assert decoded(usable)[60:260, 60:260].mean() > 40


def test_bleeding_frames_are_redder_than_all_others(recording: list[SyntheticFrame]) -> None:
    bleeding = plan(COUNT, seed=SEED).bleeding_frame_numbers()

    def blood_share(frame: SyntheticFrame) -> float:
        blue, green, red = (decoded(frame)[..., i].astype(float) for i in range(3))
        return float(((red > 50) & (red > 3 * green) & (red > 3 * blue)).mean())

    with_blood = [blood_share(f) for f in recording if f.frame_number in bleeding]
    without = [blood_share(f) for f in recording if f.frame_number not in bleeding]
    assert np.median(with_blood) > 0.03
    assert np.percentile(without, 95) < 0.01


def test_hindered_frames_are_dark_or_blurred() -> None:
    story = next(
        story
        for story in (plan(2000, seed=seed) for seed in range(50))
        if {run.hindrance for run in story.unusable if run.first < 500} == set(Hindrance)
    )
    seed = next(seed for seed in range(50) if plan(2000, seed=seed) == story)
    frames = list(islice(synthetic_frames(2000, seed=seed), 600))
    middle = {r.hindrance: frames[r.first + r.count // 2] for r in story.unusable if r.first < 500}
    clear = [f for f in frames if f.frame_number not in story.unusable_frame_numbers()][::10]

    def sharpness(frame: SyntheticFrame) -> float:
        grey = cv2.cvtColor(decoded(frame), cv2.COLOR_BGR2GRAY)[80:240, 80:240]
        return float(cv2.Laplacian(grey, cv2.CV_64F).var())

    assert mean_colour(middle[Hindrance.DARK]).max() < 40
    assert sharpness(middle[Hindrance.BLURRED]) < 0.3 * np.median([sharpness(f) for f in clear])
    assert sharpness(middle[Hindrance.BUBBLES]) > np.median([sharpness(f) for f in clear])


def test_each_organ_has_its_colour(recording: list[SyntheticFrame]) -> None:
    story = plan(COUNT, seed=SEED)
    apart = story.bleeding_frame_numbers() | story.unusable_frame_numbers()
    colours = {
        organ: np.mean(
            [
                mean_colour(recording[index])
                for scene in story.scenes
                if scene.organ is organ
                for index in range(scene.first, scene.first + scene.count, 5)
                if index + 1 not in apart
            ],
            axis=0,
        )
        for organ in Organ
    }
    blue_to_red = {organ: colour[0] / colour[2] for organ, colour in colours.items()}
    green_to_red = {organ: colour[1] / colour[2] for organ, colour in colours.items()}
    assert blue_to_red[Organ.STOMACH] > 1.3 * blue_to_red[Organ.SMALL_BOWEL]  # pinker
    assert green_to_red[Organ.COLON] > green_to_red[Organ.SMALL_BOWEL]  # yellower


@pytest.mark.parametrize(("rows", "columns"), [(64, 64), (256, 320), (577, 576)])
def test_frames_come_in_any_size(rows: int, columns: int) -> None:
    for frame in synthetic_frames(14, seed=1, rows=rows, columns=columns):
        assert decoded(frame).shape == (rows, columns, 3)


@pytest.mark.parametrize(("count", "rows"), [(0, 320), (-1, 320), (10, 63)])
def test_an_impossible_recording_is_refused_at_once(count: int, rows: int) -> None:
    with pytest.raises(ValueError, match="cannot be drawn"):
        synthetic_frames(count, seed=1, rows=rows)
