"""What is made Baseline shows the picture it showed before, value for value."""

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dicom import jpeg, jpeg_coefficients, jpeg_repair, jpeg_sequential, jpeg_tables
from gateway.model import FrameTreatment
from tests.instances import jpeg as frame

SAMPLINGS = {
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "4:1:1": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
    "4:4:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
}


def noise(rows, columns, *, grey=False, seed=1):
    shape = (rows, columns) if grey else (rows, columns, 3)
    return np.random.default_rng(seed).integers(0, 255, shape, "u1")


def progressive(picture, *, sampling=SAMPLINGS["4:2:0"], quality=88, restart=0):
    options = [
        cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_QUALITY, quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling, cv2.IMWRITE_JPEG_RST_INTERVAL, restart,
    ]  # fmt: skip
    return cv2.imencode(".jpg", picture, options)[1].tobytes()


def shown(stream):
    return cv2.imdecode(np.frombuffer(stream, "u1"), cv2.IMREAD_UNCHANGED)


def without(stream, marker):
    """Return the stream without the segments of a kind."""
    kept, end = stream[:2], 2
    for found, body, length in jpeg_repair.segments(stream):
        if found != marker:
            kept += stream[body - 4 : body + length]
        end = body + length
    return kept + stream[end:]


def renamed(stream, marker):
    at = stream.index(b"\xff\xc0")
    return stream[: at + 1] + bytes([marker]) + stream[at + 2 :]


def test_a_baseline_stream_is_left_alone():
    assert jpeg_repair.repaired(frame(1)) == jpeg_repair.Repaired(frame(1), FrameTreatment.NONE)
    padded = frame(1) + b"\0"
    assert jpeg_repair.repaired(padded).stream == padded


def test_padding_behind_the_image_goes():
    found = jpeg_repair.repaired(frame(1) + bytes(7))
    assert found == jpeg_repair.Repaired(frame(1), FrameTreatment.TRIMMED)


def test_the_standard_tables_are_those_an_encoder_uses():
    tables = {}
    for marker, body, length in jpeg_repair.segments(frame(1)):
        if marker == jpeg.DHT:
            tables |= jpeg_tables.read_segment(frame(1)[body : body + length])
    standard = {(0, at): one for at, one in enumerate(jpeg_tables.STANDARD_DC)}
    standard |= {(1, at): one for at, one in enumerate(jpeg_tables.STANDARD_AC)}
    assert tables == standard


def test_missing_huffman_tables_are_inserted():
    found = jpeg_repair.repaired(without(frame(2), jpeg.DHT))
    assert found.treatment == FrameTreatment.TABLES_INSERTED
    assert (shown(found.stream) == shown(frame(2))).all()
    assert jpeg.scan(found.stream).has_tables


def test_without_quantisation_tables_nothing_can_be_done():
    assert jpeg_repair.repaired(without(frame(2), jpeg.DQT)) is None


def test_extended_that_is_baseline_in_all_but_name_is_renamed():
    found = jpeg_repair.repaired(renamed(frame(3), 0xC1))
    assert found == jpeg_repair.Repaired(frame(3), FrameTreatment.RELABELLED)


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC9, 0xCA])
def test_lossless_hierarchical_and_arithmetic_are_not_touched(marker):
    assert jpeg_repair.repaired(renamed(frame(3), marker)) is None


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)
@pytest.mark.parametrize("restart", [0, 3])
def test_a_progressive_stream_becomes_sequential_with_the_same_picture(sampling, restart):
    stream = progressive(noise(61, 77), sampling=sampling, restart=restart)
    found = jpeg_repair.repaired(stream)
    assert found.treatment == FrameTreatment.SEQUENTIAL
    assert jpeg.scan(found.stream).frame_marker == jpeg.SOF0_BASELINE
    assert np.array_equal(shown(found.stream), shown(stream))


def test_its_coefficients_are_the_same_numbers():
    stream = progressive(noise(64, 48))
    before = jpeg_coefficients.read(stream)
    after = jpeg_coefficients.read(jpeg_sequential.to_baseline(stream))
    for one, other in zip(before.components, after.components, strict=True):
        assert one.values == other.values


def test_grey_and_extreme_pictures_survive_too():
    for picture in (noise(33, 17, grey=True), noise(40, 40), np.zeros((16, 24, 3), "u1")):
        for quality in (1, 100):
            stream = progressive(picture, quality=quality, sampling=SAMPLINGS["4:4:4"])
            assert np.array_equal(shown(jpeg_repair.repaired(stream).stream), shown(stream))


def test_what_markers_say_beside_the_picture_is_carried_over():
    adobe = b"\xff\xee" + struct.pack(">H", 14) + b"Adobe\x00\x64\x00\x00\x00\x00\x01"
    stream = progressive(noise(16, 16))
    stream = stream[:2] + adobe + stream[2:]
    assert adobe in jpeg_repair.repaired(stream).stream


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 70),
    columns=st.integers(1, 70),
    quality=st.integers(1, 100),
    sampling=st.sampled_from(list(SAMPLINGS.values())),
    grey=st.booleans(),
    seed=st.integers(0, 9),
)
def test_any_picture_survives(rows, columns, quality, sampling, grey, seed):
    picture = noise(rows, columns, grey=grey, seed=seed)
    stream = progressive(picture, quality=quality, sampling=sampling)
    assert np.array_equal(shown(jpeg_repair.repaired(stream).stream), shown(stream))


STREAM = progressive(noise(40, 40))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_is_an_answer_and_not_a_crash(data):
    damaged = bytearray(STREAM)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(2, len(STREAM) - 3))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 200))
    found = jpeg_repair.repaired(bytes(damaged[: len(damaged) - cut]) + b"\xff\xd9")
    assert found is None or found.stream.endswith(b"\xff\xd9")


def test_a_stream_that_claims_a_huge_picture_is_not_decoded():
    at = STREAM.index(b"\xff\xc2")
    huge = STREAM[: at + 5] + struct.pack(">HH", 65_500, 65_500) + STREAM[at + 9 :]
    assert jpeg_repair.repaired(huge) is None


def test_a_stream_of_endless_scans_is_not_decoded():
    first = STREAM.index(b"\xff\xda")
    following = STREAM.index(b"\xff\xda", first + 2)
    again = STREAM[:following] + STREAM[first:following] * 100 + STREAM[following:]
    assert jpeg_repair.repaired(again) is None
