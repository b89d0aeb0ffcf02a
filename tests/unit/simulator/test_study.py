"""Instances of a synthetic study: what a DICOM reader sees in them."""

from dataclasses import replace
from io import BytesIO
from itertools import pairwise

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames, parse_basic_offsets
from pydicom.uid import UID

from gateway.simulator.capsule import SyntheticFrame, synthetic_frames
from gateway.simulator.study import SyntheticStudy, instance_bytes, part10_bytes

STUDY = SyntheticStudy.from_seed(3, declared_count=12)


@pytest.fixture(scope="module")
def frame() -> SyntheticFrame:
    return list(synthetic_frames(12, seed=3))[7]


@pytest.fixture(scope="module")
def ds(frame: SyntheticFrame) -> Dataset:
    return dcmread(BytesIO(part10_bytes(STUDY, frame)))


def test_the_frame_comes_out_bit_for_bit(ds: Dataset, frame: SyntheticFrame) -> None:
    (fragment,) = generate_frames(ds.PixelData, number_of_frames=1)
    assert fragment[: len(frame.jpeg)] == frame.jpeg
    assert fragment[len(frame.jpeg) :] in (b"", b"\0")
    assert parse_basic_offsets(ds.PixelData) == [0]


@pytest.mark.parametrize("length", [1000, 1001])
def test_a_fragment_has_even_length(frame: SyntheticFrame, length: int) -> None:
    data = part10_bytes(STUDY, replace(frame, jpeg=b"\xff" * length))
    (fragment,) = generate_frames(dcmread(BytesIO(data)).PixelData, number_of_frames=1)
    assert len(fragment) == length + length % 2


def test_elements_are_in_ascending_tag_order(ds: Dataset) -> None:
    with BytesIO(part10_bytes(STUDY, next(synthetic_frames(12, seed=3)))) as file:
        tags = [element.tag for element in dcmread(file)]
    assert all(a < b for a, b in pairwise(tags))
    assert len(tags) == len(list(ds))


def test_an_instance_says_which_frame_it_is_and_when(ds: Dataset, frame: SyntheticFrame) -> None:
    assert ds.InstanceNumber == 8
    assert ds.SOPInstanceUID == STUDY.sop_instance_uid(8)
    assert ds.AcquisitionDateTime == f"{frame.acquired_at:%Y%m%d%H%M%S.%f}"
    assert ds.AcquisitionDate + ds.AcquisitionTime == ds.AcquisitionDateTime
    assert ds.ContentDate + ds.ContentTime == ds.AcquisitionDateTime
    assert ds.ImagesInAcquisition == 12


def test_the_patient_is_plainly_synthetic_with_an_ideographic_name(ds: Dataset) -> None:
    assert ds.SpecificCharacterSet == "ISO_IR 192"
    assert ds.PatientName.alphabetic == "Synthetic^Patient"
    assert ds.PatientName.ideographic == "合成^患者"
    assert ds.PatientID.startswith("SYN-")


def test_the_file_is_the_data_set_with_a_head(ds: Dataset, frame: SyntheticFrame) -> None:
    whole, data_set = part10_bytes(STUDY, frame), instance_bytes(STUDY, frame)
    assert whole.endswith(data_set)
    assert whole[128:132] == b"DICM"
    assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.50"


def test_the_same_seed_gives_the_same_study() -> None:
    assert SyntheticStudy.from_seed(3, declared_count=12) == STUDY


@pytest.mark.parametrize(
    "other",
    [
        SyntheticStudy.from_seed(4, declared_count=12),
        SyntheticStudy.from_seed(3, declared_count=13),
        SyntheticStudy.from_seed(3, declared_count=12, rows=256),
    ],
)
def test_other_frames_never_get_the_same_uids(other: SyntheticStudy) -> None:
    assert other.study_instance_uid != STUDY.study_instance_uid
    assert other.series_instance_uid != STUDY.series_instance_uid
    assert other.sop_instance_uid(1) != STUDY.sop_instance_uid(1)


def test_uids_are_valid_and_differ() -> None:
    uids = [STUDY.sop_instance_uid(number) for number in range(1, 2001)]
    uids += [STUDY.study_instance_uid, STUDY.series_instance_uid]
    assert all(UID(uid).is_valid for uid in uids)
    assert len(set(uids)) == 2002
