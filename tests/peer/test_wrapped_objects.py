"""What the wrap makes, judged by programs nobody here wrote: validators, decoders, colours."""

import csv
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate

from gateway.simulator.capsule import SyntheticFrame, synthetic_frames
from gateway.simulator.study import SyntheticStudy, part10_bytes
from tests.instances import data_set, jpeg
from tests.kept_studies import file_of, keep_study
from tests.peer.validators import assert_valid, complaints, decoded_by_dcmtk, entity_errors

REAL_FRAMES = Path(__file__).parents[3] / "shared" / "data" / "wce-real"
TOLERANCE = 6
"""Grey levels: decoders differ in their inverse DCT and in how they blow up colour planes."""


def first_and_last(paths):
    """Yield (path, frame number) of the first and last frame of each part."""
    for path in paths:
        count = int(dcmread(path, stop_before_pixels=True).NumberOfFrames)
        yield from ((path, number) for number in sorted({1, count}))


def by_pydicom(path, frame_number):
    """Return a frame in RGB as pydicom decodes it, led by the object's own label."""
    ds = dcmread(path)
    pixels = ds.pixel_array if ds.NumberOfFrames > 1 else ds.pixel_array[None]
    return pixels[frame_number - 1]


def by_dcmtk(path, frame_number, tmp_path):
    target = tmp_path / f"{path.stem}.{frame_number}.ppm"
    assert decoded_by_dcmtk(path, frame_number, target) == ""
    return cv2.cvtColor(cv2.imread(str(target)), cv2.COLOR_BGR2RGB)


def by_cv2(stream):
    picture = cv2.imdecode(np.frombuffer(stream, "u1"), cv2.IMREAD_COLOR)
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def assert_same_picture(found, expected, what):
    assert found.shape == expected.shape, what
    difference = np.abs(found.astype(int) - expected)
    assert difference.mean() < TOLERANCE, f"{what}: {difference.mean():.1f} off on average"


def assert_right_colours(study, streams, tmp_path):
    """Compare first and last frames of all parts with the pictures the source's JPEGs show."""
    number = 0
    for path, row in zip(study.paths(), study.derived(), strict=True):
        for frame_number in sorted({1, row.frame_count}):
            expected = by_cv2(streams[number + frame_number - 1])
            what = f"{path.name}, frame {frame_number}"
            assert_same_picture(by_pydicom(path, frame_number), expected, f"pydicom, {what}")
            found = by_dcmtk(path, frame_number, tmp_path)
            assert_same_picture(found, expected, f"DCMTK, {what}")
        number += row.frame_count


def test_a_synthetic_study_is_valid_and_shows_its_colours(tmp_path):
    told = SyntheticStudy.from_seed(5, declared_count=60, rows=256, columns=256)
    frames = list(synthetic_frames(60, seed=5, rows=256, columns=256))
    packs = [(part10_bytes(told, frame) for frame in frames)]
    study = keep_study(tmp_path / "home", packs, part_frames_max=25)
    study.wrap()
    for path in study.paths():
        assert_valid(path)
    assert entity_errors(study.paths()) == []
    assert_right_colours(study, [frame.jpeg for frame in frames], tmp_path)


def real_frames():
    """Return the JPEG streams of the longest sequence of frames of one size in the test data."""
    sequences = {}
    with (REAL_FRAMES / "manifest.csv").open() as file:
        for row in csv.DictReader(file):
            path = REAL_FRAMES / row["path"]
            if path.suffix.lower() in (".jpg", ".jpeg") and path.exists():
                key = (row["source"], row["seq"], row["h"], row["w"])
                sequences.setdefault(key, []).append(path)
    return [path.read_bytes() for path in max(sequences.values(), key=len)[:80]]


@pytest.mark.skipif(not REAL_FRAMES.is_dir(), reason="the real frames are not on this machine")
def test_real_frames_are_valid_and_show_their_colours(tmp_path):
    streams = real_frames()
    rows, columns = by_cv2(streams[0]).shape[:2]
    files = [
        file_of(
            data_set(
                number, Rows=rows, Columns=columns, PixelData=encapsulate([stream]),
                BodyPartExamined="SMALLINTESTINE", TimezoneOffsetFromUTC="+0100",
            )
        )
        for number, stream in enumerate(streams, 1)
    ]  # fmt: skip
    study = keep_study(tmp_path / "home", [files[::2], files[1::2]], part_frames_max=30)
    study.wrap()
    assert study.report["frame_count"] == len(streams), study.quarantine()
    for path in study.paths():
        assert_valid(path)
    assert_right_colours(study, streams, tmp_path)


def encoded_as(picture, *, sampling):
    options = [cv2.IMWRITE_JPEG_QUALITY, 90, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    return cv2.imencode(".jpg", picture, options)[1].tobytes()


@pytest.mark.parametrize(
    "sampling",
    [
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
    ],
)
def test_every_subsampling_is_valid_and_shows_its_colours(tmp_path, sampling):
    picture = np.full((64, 64, 3), (63, 107, 178), "u1")  # blue, green, red of mucosa
    streams = [encoded_as(picture, sampling=sampling), encoded_as(picture // 2, sampling=sampling)]
    files = [
        file_of(data_set(number, PixelData=encapsulate([stream])))
        for number, stream in enumerate(streams, 1)
    ]
    study = keep_study(tmp_path / "home", [files])
    study.wrap()
    assert_valid(study.paths()[0])
    assert_right_colours(study, streams, tmp_path)


def without_colour_transform(stream):
    """Return a stream whose components are said to be R, G and B by an Adobe marker (APP14)."""
    assert stream[2:4] == b"\xff\xe0"
    jfif_end = 4 + int.from_bytes(stream[4:6], "big")
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
    return stream[:2] + adobe + stream[jfif_end:]


def test_frames_in_rgb_are_labelled_so_and_show_their_colours_everywhere(tmp_path):
    picture = np.full((64, 64, 3), (63, 107, 178), "u1")
    # Encode channels as if they were luma and chroma, then tell the truth in APP14.
    channels = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    as_if = cv2.cvtColor(channels[..., [0, 2, 1]], cv2.COLOR_YCrCb2BGR)
    plain = encoded_as(as_if, sampling=cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
    stream = without_colour_transform(plain)
    assert np.abs(by_cv2(stream).astype(int) - channels).max() < 40  # as libjpeg sees it
    files = [file_of(data_set(number, PixelData=encapsulate([stream]))) for number in (1, 2)]
    study = keep_study(tmp_path / "home", [files])
    study.wrap()
    (path,) = study.paths()
    assert dcmread(path).PhotometricInterpretation == "RGB"
    assert_right_colours(study, [stream, stream], tmp_path)
    # PS3.5 Table 8.2.1-1 allows RGB in JPEG Baseline; dciodvfy of 2022 does not know that yet.
    assert all("PhotometricInterpretation" in line for line in complaints(path))


def test_a_study_that_says_little_is_still_valid(tmp_path):
    absent = dict.fromkeys(
        ["StudyID", "Manufacturer", "PatientBirthDate", "PatientSex", "AccessionNumber",
         "ReferringPhysicianName", "AcquisitionDateTime", "ContentDate", "ContentTime",
         "StudyDate", "StudyTime", "PatientName", "InstanceNumber"]
    )  # fmt: skip
    study = keep_study(tmp_path / "home", [[file_of(data_set(n, **absent)) for n in (1, 2, 3)]])
    study.wrap()
    assert_valid(study.paths()[0])


def test_a_study_that_says_things_dicom_forbids_is_still_valid(tmp_path):
    said = {
        "PatientSex": "male",
        "PatientBirthDate": "00000000",
        "StudyTime": "08:05",
        "Manufacturer": ["ONE", "TWO"],
        "StationName": "a name that is far too long",
        "BodyPartExamined": "small bowel, somewhere",
    }
    study = keep_study(tmp_path / "home", [[file_of(data_set(n, **said)) for n in (1, 2)]])
    study.wrap()
    assert_valid(study.paths()[0])
    assert study.report["corrected_attributes"] == sorted(said)


def test_a_full_part_and_a_single_frame_are_valid(tmp_path):
    count = 3_854  # the most a Frame Time Vector can hold whatever it says
    told = SyntheticStudy.from_seed(6, declared_count=count, rows=64, columns=64)
    frames = (
        SyntheticFrame(n + 1, told.started_at + timedelta(seconds=n * 7.1), jpeg(n % 50))
        for n in range(count)
    )
    packs = [(part10_bytes(told, frame) for frame in frames)]
    study = keep_study(tmp_path / "home", packs, part_frames_max=count)
    study.wrap()
    assert [row.frame_count for row in study.derived()] == [count]
    lone = keep_study(tmp_path / "lone", [[file_of(data_set(1))]])
    lone.wrap()
    for path in (*study.paths(), *lone.paths()):
        assert_valid(path)


def test_the_validators_object_to_what_is_wrong(tmp_path):
    """Otherwise the tests above prove nothing."""
    study = keep_study(tmp_path / "home", [[file_of(data_set(n)) for n in (1, 2)]])
    study.wrap()
    (path,) = study.paths()
    ds = dcmread(path)
    ds.FrameTime = 100
    del ds.AnatomicRegionSequence
    ds.save_as(tmp_path / "wrong.dcm")
    (tmp_path / "cut.dcm").write_bytes(path.read_bytes()[:-300])
    wrong = complaints(tmp_path / "wrong.dcm")
    assert any("FrameTime" in line for line in wrong)
    assert any("AnatomicRegion" in line for line in wrong)
    assert complaints(tmp_path / "cut.dcm") != []
    ds.SOPInstanceUID, ds.PatientBirthDate = "1.2.3.4", "19011231"
    ds.save_as(tmp_path / "other.dcm")
    assert entity_errors([path, tmp_path / "other.dcm"]) != []
