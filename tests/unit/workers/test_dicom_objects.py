"""What all made instances have in common."""

from datetime import UTC, datetime

import pytest
from pydicom import dcmread
from pydicom.encaps import generate_frames
from pydicom.filebase import DicomBytesIO

from gateway.dicom.storage_classes import KEY_OBJECT_SELECTION, VL_ENDOSCOPIC
from workers import dicom_objects
from workers.dicom_objects import Placement, SourceStudy

PLACE = Placement("key-frame", VL_ENDOSCOPIC, "ES", 901, "Key frames", 4)


def study(tenant="hospital", uid="1.2.3", **attributes) -> SourceStudy:
    json = {tag: {"vr": vr, "Value": [value]} for tag, (vr, value) in attributes.items()}
    return SourceStudy(tenant, uid, datetime(2026, 3, 1, 20, 30, 5, 250_000, UTC), json)


def named(source, *contents, **changes):
    ds = dicom_objects.common(source, PLACE)
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return dicom_objects.name(ds, source, PLACE.role, *contents)


def test_the_same_contents_have_the_same_uid_and_any_others_another():
    uids = [
        named(study()),
        named(study(tenant="other")),
        named(study(uid="1.2.4")),
        named(study(), "digest of pixel data"),
        named(study(), ImageComments="Frame 1"),
        named(study(**{"00100020": ("LO", "P2")})),
    ]
    assert named(study()) == uids[0]
    assert len(set(uids)) == len(uids)


def test_what_the_source_does_not_say_is_empty_not_invented():
    ds = dicom_objects.common(study(), PLACE)
    for keyword in ("PatientName", "PatientID", "StudyDate", "AccessionNumber", "Manufacturer"):
        assert ds[keyword].is_empty


@pytest.mark.parametrize(
    ("offset", "date", "time"),
    [
        (None, "20260301", "203005"),
        ("+0800", "20260302", "043005"),
        ("-0330", "20260301", "170005"),
        ("nonsense", "20260301", "203005"),
    ],
)
def test_instance_creation_is_the_reception_in_the_zone_of_the_data_set(offset, date, time):
    given = {"00080201": ("SH", offset)} if offset else {}
    ds = dicom_objects.common(study(**given), PLACE)
    assert (ds.InstanceCreationDate, ds.InstanceCreationTime) == (date, time)


@pytest.mark.parametrize("fragment", [b"\xff\xd8 odd\xff\xd9", b"\xff\xd8 even\xff\xd9"])
def test_a_frame_lies_untouched_in_one_fragment(fragment):
    source = study()
    ds = dicom_objects.common(source, PLACE)
    made = dicom_objects.single_frame_image(ds, source, PLACE, fragment)
    read = dcmread(DicomBytesIO(made.contents))
    (frame,) = generate_frames(read.PixelData, number_of_frames=1)
    assert frame == fragment + b"\0" * (len(fragment) % 2)
    assert read.SOPInstanceUID == read.file_meta.MediaStorageSOPInstanceUID
    assert made.reference.sop_instance_uid == read.SOPInstanceUID


def test_a_document_says_nothing_that_only_images_have():
    source = study(**{"00180015": ("CS", "ABDOMEN"), "00280301": ("CS", "YES")})
    place = Placement("key-objects", KEY_OBJECT_SELECTION, "KO", 900, "Key objects", 1)
    ds = dicom_objects.without_image_attributes(dicom_objects.common(source, place))
    made = dicom_objects.document(ds, source, place)
    read = dcmread(DicomBytesIO(made.contents))
    for keyword in ("BodyPartExamined", "BurnedInAnnotation", "ImageLaterality", "PixelData"):
        assert keyword not in read
