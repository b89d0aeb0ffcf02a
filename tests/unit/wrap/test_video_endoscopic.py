"""The header of a part says what is true of its frames, and its UID follows from that."""

import dataclasses
from datetime import UTC, datetime
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from gateway.dicom import identity, times
from gateway.dicom.storage_classes import EXPLICIT_LITTLE, JPEG_BASELINE, VL_ENDOSCOPIC
from gateway.model import FrameEncoding
from tests.instances import data_set, encoded
from tests.unit.wrap.indexes import member, pack
from workers import dicom_objects
from workers.dicom_objects import SourceStudy
from workers.wrap import video_endoscopic
from workers.wrap.recording import recordings
from workers.wrap.segment import Limits, split
from workers.wrap.timing import timeline

START = times.from_date_time("20260301235959.750000")
ORIGIN = video_endoscopic.Origin((VL_ENDOSCOPIC, VL_ENDOSCOPIC))


def source_of(members, *, number=1, tenant="default", **attributes):
    """Return a recording; attributes: of its study, set or (None) removed."""
    said, _ = identity.read(encoded(data_set(1, **attributes)), EXPLICIT_LITTLE)
    received_at = datetime(2026, 3, 2, 7, 0, tzinfo=UTC)
    study = SourceStudy(tenant, "1.2.3", received_at, said.attributes)
    (recording,) = recordings([pack(members)])
    when = timeline(recording.frames["acquired_us"], fallback_us=START)
    return video_endoscopic.Source(study, number, recording, when)


def members(count=4, **columns):
    return [
        member(n, **{"acquired_us": START + (n - 1) * 333_333, **columns})
        for n in range(1, count + 1)
    ]


def parts_of(source, frames_max=2_000):
    limits = Limits(frames_max, 1 << 30)
    return split(source.recording.frames, source.timeline.elapsed_us, limits)


def header_of(source, number=1, frames_max=2_000):
    """Return a header as a reader finds it."""
    ds = video_endoscopic.header(source, parts_of(source, frames_max)[number - 1], ORIGIN)
    return dcmread(BytesIO(dicom_objects.encode_head(ds, JPEG_BASELINE)))


def test_the_first_frame_says_when_and_the_vector_says_how_long():
    ds = header_of(source_of(members()))
    assert [int(step) for step in ds.FrameTimeVector] == [0, 333, 334, 333]
    assert (ds.ContentDate, ds.ContentTime) == ("20260301", "235959.750000")
    assert ds.AcquisitionDateTime == "20260301235959.750000"
    assert ds.EffectiveDuration == 1
    assert ds.FrameIncrementPointer == 0x00181065
    assert "FrameTime" not in ds


def test_a_part_after_midnight_has_the_new_date_and_the_series_the_old_one():
    ds = header_of(source_of(members()), number=2, frames_max=2)
    assert (ds.ContentDate, ds.ContentTime) == ("20260302", "000000.416666")
    assert (ds.SeriesDate, ds.SeriesTime) == ("20260301", "235959.750000")
    assert [int(step) for step in ds.FrameTimeVector] == [0, 333]
    assert (ds.InstanceNumber, ds.NumberOfFrames) == (2, 2)
    assert ds.ImageComments == "Part 2, frames 3-4, +00:00:00"


def test_the_zone_of_the_study_is_on_the_acquisition_time_if_it_is_one():
    zoned = header_of(source_of(members(), TimezoneOffsetFromUTC="+0800"))
    assert zoned.AcquisitionDateTime.endswith("+0800")
    wrong = header_of(source_of(members(), TimezoneOffsetFromUTC="Beijing"))
    assert wrong.AcquisitionDateTime == "20260301235959.750000"


def test_times_nobody_knows_are_not_claimed():
    source = source_of(members(acquired_us=times.UNKNOWN))
    ds = header_of(source)
    assert "AcquisitionDateTime" not in ds
    assert "AcquisitionDate" not in ds
    assert ds.ContentDate == "20260301"
    assert [int(step) for step in ds.FrameTimeVector] == [0, 500, 500, 500]
    assert (0x0029, 0x1002) not in ds
    assert video_endoscopic.first_frame_at(source, parts_of(source)[0]) == ""


def test_identity_is_repeated_and_what_the_source_does_not_say_is_empty():
    ds = header_of(source_of(members(), StudyID=None, Manufacturer=None))
    assert ds.PatientName == "Wang^XiaoDong=王^小东"
    assert ds.SpecificCharacterSet == "ISO_IR 192"
    assert (ds.StudyID, ds.Manufacturer) == ("", "")
    purposes = [
        item.PurposeOfReferenceCodeSequence[0].CodeValue
        for item in ds.ContributingEquipmentSequence
    ]
    assert purposes == ["109103"]  # who acquired is not invented


def test_the_exact_source_of_every_frame_is_in_the_private_block():
    block = header_of(source_of(members()), 2, 2).private_block(0x0029, "CAPSGW 1.0")
    assert block[0x01].value.split("\n") == ["1.2.3.4.3", "1.2.3.4.4"]
    assert np.frombuffer(block[0x02].value, "<u8").tolist() == [666_666, 999_999]
    assert len(block[0x03].value) <= 64


def test_first_and_last_source_instances_are_referenced_once_each():
    ds = header_of(source_of(members()))
    uids = [item.ReferencedSOPInstanceUID for item in ds.SourceImageSequence]
    assert uids == ["1.2.3.4.1", "1.2.3.4.4"]
    assert len(header_of(source_of(members(1))).SourceImageSequence) == 1


@pytest.mark.parametrize(
    ("body_part", "code"),
    [
        ("COLON", "71854001"),
        ("SMALLINTESTINE", "30315005"),
        ("ABDOMEN", "122865005"),
        (None, "122865005"),
    ],
)  # fmt: skip
def test_the_region_is_the_organ_the_source_names_or_the_whole_tract(body_part, code):
    changes = {"BodyPartExamined": body_part} if body_part else {}
    ds = header_of(source_of(members(), **changes))
    assert ds.AnatomicRegionSequence[0].CodeValue == code
    assert "Laterality" not in ds


@pytest.mark.parametrize(("said", "shown"), [("NO", "NO"), ("YES", "YES"), (None, "YES")])
def test_frames_count_as_burned_in_unless_the_source_says_no(said, shown):
    changes = {"BurnedInAnnotation": said} if said else {}
    assert header_of(source_of(members(), **changes)).BurnedInAnnotation == shown


@pytest.mark.parametrize(
    ("encoding", "label"),
    [(FrameEncoding.JPEG_YBR, "YBR_FULL_422"), (FrameEncoding.JPEG_RGB, "RGB")],
)
def test_the_label_follows_the_stream(encoding, label):
    ds = header_of(source_of(members(encoding=encoding)))
    assert ds.PhotometricInterpretation == label


def head_of(source):
    return dicom_objects.encode_head(header_of(source, frames_max=3_854), JPEG_BASELINE)


def test_the_same_input_gives_the_same_bytes():
    assert head_of(source_of(members())) == head_of(source_of(members()))


CHANGES = {
    "a frame's bytes": {"members": [*members(3), member(4, content="x", acquired_us=START + 9)]},
    "a frame's time": {"members": [*members(3), member(4, acquired_us=START + 5_000_000)]},
    "the patient": {"PatientID": "P2"},
    "the tenant": {"tenant": "another hospital"},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_anything_else_gives_another_uid(change):
    plain = header_of(source_of(members()))
    other = header_of(source_of(**{"members": members(), **change}))
    assert plain.SOPInstanceUID != other.SOPInstanceUID


def test_series_of_two_cameras_differ():
    first = source_of(members())
    camera = dataclasses.replace(first.recording, series_instance_uid="1.2.3.2")
    second = dataclasses.replace(first, number=2, recording=camera)
    one, two = header_of(first), header_of(second)
    assert one.SeriesInstanceUID != two.SeriesInstanceUID
    assert (one.SeriesNumber, two.SeriesNumber) == (1, 2)
    assert two.SeriesDescription == "Capsule frames 2"


def test_a_long_vector_is_still_decimal_strings_for_a_strict_reader():
    count = 3_854
    far = [member(n, acquired_us=START + n * 599_999_000) for n in range(count)]
    head = head_of(source_of(far))
    ds = dcmread(DicomBytesIO(head))
    assert ds["FrameTimeVector"].VR == "DS"
    assert len(ds.FrameTimeVector) == count
