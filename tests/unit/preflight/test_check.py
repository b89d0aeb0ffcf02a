"""Each defect that public validators let pass, made on purpose, and what the preflight says."""

import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.dicom.storage_classes import KEY_OBJECT_SELECTION, VL_ENDOSCOPIC
from gateway.preflight import decoders
from gateway.preflight.check import EVERY, check
from gateway.preflight.report import LISTED_MAX, Severity
from tests.instances import jpeg
from tests.unit.preflight.objects import FRAMES, part, write

FOUR = [jpeg(number) for number in range(1, FRAMES + 1)]
ADOBE_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"


def picture(seed: int = 1) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(jpeg(seed), np.uint8), cv2.IMREAD_COLOR)


def rgb_jpeg(seed: int = 1) -> bytes:
    """Return a frame whose components are R, G and B, with the marker that says so."""
    # Coded from values that are taken for YCbCr: the encoder's transform and its inverse cancel.
    as_coded = cv2.cvtColor(cv2.cvtColor(picture(seed), cv2.COLOR_BGR2RGB), cv2.COLOR_YCrCb2BGR)
    coded = cv2.imencode(".jpg", as_coded, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    length = int.from_bytes(coded[4:6], "big")  # of the JFIF marker, which would say YCbCr
    return coded[:2] + ADOBE_RGB + coded[4 + length :]


def progressive(seed: int = 1) -> bytes:
    flags = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    return cv2.imencode(".jpg", picture(seed), flags)[1].tobytes()


def grey(seed: int = 1) -> bytes:
    flat = cv2.cvtColor(picture(seed), cv2.COLOR_BGR2GRAY)
    return cv2.imencode(".jpg", flat)[1].tobytes()


def without_tables(frame: bytes) -> bytes:
    """Return a frame without its Huffman tables, as Motion JPEG has them."""
    pieces, position = [frame[:2]], 2
    while frame[position + 1] != 0xDA:
        end = position + 2 + int.from_bytes(frame[position + 2 : position + 4], "big")
        if frame[position + 1] != 0xC4:
            pieces.append(frame[position:end])
        position = end
    return b"".join((*pieces, frame[position:]))


def with_third(frame: bytes) -> list[bytes]:
    return [*FOUR[:2], frame, FOUR[3]]


def errors(path: Path, **options: int) -> list[tuple[str, int | None]]:
    report = check(path, **options)
    return [
        (one.rule, one.frame_number) for one in report.findings if one.severity is Severity.ERROR
    ]


def test_a_sound_instance_passes_and_its_ends_are_decoded_twice(tmp_path):
    report = check(write(tmp_path))
    assert report.passed, report.findings
    assert (report.frame_count, report.decoded_count) == (FRAMES, 2)


# The nine: each passes dciodvfy and dcmftest without an error, and breaks some receiver.


def test_rgb_frames_that_are_labelled_ycbcr_are_named(tmp_path):
    path = write(tmp_path, frames=[rgb_jpeg(number) for number in range(FRAMES)])
    assert errors(path) == [("colour-label", number) for number in range(1, FRAMES + 1)]
    assert "RGB" in check(path).in_words


def test_one_rgb_frame_among_others_is_named(tmp_path):
    assert errors(write(tmp_path, frames=with_third(rgb_jpeg()))) == [("colour-label", 3)]


def test_ycbcr_frames_that_are_labelled_rgb_are_named(tmp_path):
    path = write(tmp_path, part(PhotometricInterpretation="RGB"))
    assert ("colour-label", 1) in errors(path)


def test_a_progressive_frame_under_baseline_is_named(tmp_path):
    path = write(tmp_path, frames=with_third(progressive()))
    assert errors(path) == [("process", 3)]
    assert "progressive" in check(path).in_words


def test_a_frame_of_another_size_is_named(tmp_path):
    path = write(tmp_path, frames=with_third(jpeg(3, 32, 48)))
    assert errors(path) == [("other-size", 3)]
    assert "48x32" in check(path).in_words


def test_a_grey_frame_among_coloured_ones_is_named(tmp_path):
    assert errors(write(tmp_path, frames=with_third(grey()))) == [("samples", 3)]


def test_fragments_that_nothing_tells_apart_are_an_error(tmp_path):
    path = write(tmp_path, pieces=2, table=False)
    assert errors(path) == [("no-offset-table", None)]
    assert "frame 2" in check(path).in_words


def test_a_truncated_frame_is_named(tmp_path):
    assert errors(write(tmp_path, frames=with_third(FOUR[2][:-200]))) == [("truncated", 3)]


def test_a_frame_without_huffman_tables_is_named(tmp_path):
    path = write(tmp_path, frames=with_third(without_tables(FOUR[2])))
    assert errors(path) == [("no-tables", 3)]


def test_a_frame_time_vector_that_does_not_begin_with_zero_is_an_error(tmp_path):
    path = write(tmp_path, part(FrameTimeVector=["500"] * FRAMES))
    assert errors(path) == [("time-vector-first", None)]


@pytest.mark.parametrize("count", [FRAMES - 1, FRAMES + 1])
def test_a_frame_time_vector_of_another_length_is_an_error(tmp_path, count):
    path = write(tmp_path, part(FrameTimeVector=["0", *["500"] * (count - 1)]))
    assert errors(path) == [("time-vector-count", None)]
    assert f"{count} values for {FRAMES} frames" in check(path).in_words


# What else no validator minds.


def test_a_concatenation_is_no_part_of_a_video_endoscopic_image(tmp_path):
    assert errors(write(tmp_path, part(ConcatenationUID="1.2.3"))) == [("concatenation", None)]


def test_both_kinds_of_frame_time_at_once_are_an_error(tmp_path):
    assert errors(write(tmp_path, part(FrameTime="500"))) == [("frame-time", None)]


def test_text_that_is_not_in_the_declared_set_is_an_error(tmp_path):
    path = write(tmp_path, part(SpecificCharacterSet="ISO_IR 192", PatientName="Wang=XX"))
    path.write_bytes(path.read_bytes().replace(b"Wang=XX", b"Wang=\xcd\xf5"))
    assert ("charset", None) in errors(path)


def test_question_marks_instead_of_characters_are_worth_a_look(tmp_path):
    report = check(write(tmp_path, part(PatientName="Wang^Xiao=??")))
    assert report.passed
    assert [one.rule for one in report.findings] == ["text"]


@pytest.mark.parametrize(
    ("change", "frame_number"),
    [
        (lambda offsets: [one + 2 for one in offsets], 1),
        (lambda offsets: [*offsets[:2], offsets[2] + 8, offsets[3]], 3),
        (lambda offsets: offsets[:-1], None),
        (lambda offsets: [offsets[0], offsets[0], *offsets[2:]], None),
    ],
)
def test_an_offset_table_that_points_elsewhere_is_an_error(tmp_path, change, frame_number):
    assert ("offset-table", frame_number) in errors(write(tmp_path, change=change))


def test_no_offset_table_is_fine_with_a_fragment_for_each_frame(tmp_path):
    assert check(write(tmp_path, table=False)).passed


def test_pixel_data_that_is_not_closed_is_an_error(tmp_path):
    assert errors(write(tmp_path, end=b"")) == [("not-closed", None)]


def test_fewer_frames_than_said_are_an_error(tmp_path):
    assert ("frame-count", None) in errors(write(tmp_path, part(5), FOUR))


@pytest.mark.parametrize(
    "keyword",
    ["PatientName", "StudyID", "AnatomicRegionSequence", "LossyImageCompression", "SeriesNumber",
     "FrameIncrementPointer", "PatientOrientation", "AcquisitionContextSequence", "ImageType"],
)  # fmt: skip
def test_a_required_attribute_that_is_missing_is_named(tmp_path, keyword):
    ds = part()
    if keyword == "LossyImageCompression":
        del ds.LossyImageCompression
    else:
        ds = part(**{keyword: None})
    report = check(write(tmp_path, ds))
    assert any(keyword in one.message or "differ" in one.message for one in report.findings)
    assert not report.passed


def test_several_frames_in_a_single_frame_class_are_an_error(tmp_path):
    ds = part(SOPClassUID=VL_ENDOSCOPIC)
    assert ("multi-frame", None) in errors(write(tmp_path, ds))


def test_a_value_its_vr_does_not_allow_is_an_error(tmp_path):
    assert errors(write(tmp_path, part(PatientSex="female"))) == [("value", None)]


def test_a_document_is_checked_against_its_evidence(tmp_path):
    ds = part(SOPClassUID=KEY_OBJECT_SELECTION, Modality="KO")
    assert ("missing", None) in errors(write(tmp_path, ds))


# The check itself.


def test_a_wrong_label_shows_in_the_pixels_too():
    assert not decoders.disagreement(FOUR[0], "YBR_FULL_422")
    assert not decoders.disagreement(rgb_jpeg(), "RGB")
    assert not decoders.disagreement(grey(), "MONOCHROME2")
    assert "YBR_FULL_422 shows other colours" in decoders.disagreement(rgb_jpeg(), "YBR_FULL_422")
    assert "RGB shows other colours" in decoders.disagreement(FOUR[0], "RGB")
    assert "cannot decode" in decoders.disagreement(b"\xff\xd8\xff\xd9", "RGB")


def test_the_same_fault_in_every_frame_is_listed_a_few_times_and_counted(tmp_path):
    frames = [rgb_jpeg()] * 30
    report = check(write(tmp_path, part(30), frames))
    assert (len(report.findings), report.error_count) == (LISTED_MAX, 30)
    assert report.in_words.endswith("And 29 more.")


@pytest.mark.parametrize(("every", "decoded"), [(1, 9), (3, 4), (EVERY, 2)])
def test_every_so_many_frames_one_is_decoded(tmp_path, every, decoded):
    path = write(tmp_path, part(9), [*FOUR, *FOUR, FOUR[0]])
    assert check(path, every=every).decoded_count == decoded


def test_a_large_part_is_checked_in_little_memory(tmp_path):
    import tracemalloc

    path = write(tmp_path, part(2000), FOUR * 500)
    padded = path.read_bytes()
    path.write_bytes(padded)
    del padded
    tracemalloc.start()
    assert check(path).passed
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 << 20


@given(st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_file_holds_a_report_comes_of_it(tmp_path, data):
    content = bytearray(write(tmp_path, frames=FOUR).read_bytes())
    for _ in range(data.draw(st.integers(1, 12))):
        position = data.draw(st.integers(132, len(content) - 1))
        content[position] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)) | st.just(len(content)))
    path = tmp_path / "broken.dcm"
    path.write_bytes(content[:cut])
    report = check(path, every=1)
    assert report.passed == (report.error_count == 0)


@pytest.mark.peer("dciodvfy")
def test_public_validators_see_none_of_the_nine(tmp_path):
    """If they ever do, this preflight can become smaller."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed")
    for index, frames in enumerate(
        (with_third(progressive()), with_third(grey()), with_third(FOUR[2][:-200]))
    ):
        folder = tmp_path / str(index)
        folder.mkdir()
        path = write(folder, frames=frames)
        said = subprocess.run([program, path], capture_output=True, text=True, check=False)
        assert "Error" not in said.stderr, said.stderr
        assert not check(path).passed


def test_a_file_cut_inside_its_meta_information_is_told(tmp_path):
    path = tmp_path / "cut.dcm"
    path.write_bytes(write(tmp_path).read_bytes()[:150])
    assert not check(path).passed
