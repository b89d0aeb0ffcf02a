"""What a source says in a form DICOM forbids is repeated in a legal one, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement

from gateway.dicom.legal import make_legal


def said(keyword, value):
    ds = Dataset()
    tag = tag_for_keyword(keyword)
    ds[tag] = DataElement(tag, dictionary_VR(tag), value, validation_mode=0)
    return ds


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientBirthDate", "19700131"),
        ("StudyTime", "0805"),
        ("StudyTime", "235960.123"),
        ("PatientAge", "056Y"),
        ("PatientSex", "F"),
        ("PatientName", "Wang^XiaoDong=王^小东"),
        ("StationName", "x" * 16),
        ("StudyDescription", "描" * 64),
        ("SoftwareVersions", ["1.0", "2.0"]),
        ("TimezoneOffsetFromUTC", "-0330"),
        ("StudyDescription", ""),
    ],
)
def test_legal_values_stay_as_they_are(keyword, value):
    ds = said(keyword, value)
    assert make_legal(ds) == []
    assert ds == said(keyword, value)


@pytest.mark.parametrize(
    ("keyword", "value", "legal"),
    [
        ("PatientBirthDate", "00000000", None),
        ("PatientBirthDate", "1970-01-31", None),
        ("StudyDate", "20260231", None),
        ("StudyTime", "08:05:00", None),
        ("StudyTime", "250000", None),
        ("PatientAge", "56", None),
        ("PatientSex", "male", None),
        ("PatientSex", "m", "M"),
        ("BurnedInAnnotation", "MAYBE", None),
        ("BodyPartExamined", "Colon", "COLON"),
        ("BodyPartExamined", ["COLON", "STOMACH"], "COLON"),
        ("BodyPartExamined", "x" * 17, None),
        ("Manufacturer", ["A", "B"], "A"),
        ("StationName", "x" * 17, "x" * 16),
        ("StudyDescription", "描" * 65, "描" * 64),
        ("StudyDescription", "two\nlines\x07", "twolines"),
        ("TimezoneOffsetFromUTC", "+9999", None),
        ("PatientName", "A" * 65 + "=" + "B" * 65, "A" * 64 + "=" + "B" * 64),
        ("PatientName", "a=b=c=d", "a=b=c"),
    ],
)
def test_what_is_not_legal_is_cut_or_left_out_and_told(keyword, value, legal):
    ds = said(keyword, value)
    assert make_legal(ds) == [keyword]
    assert ds.get(keyword) == legal


@pytest.mark.parametrize("keyword", ["PatientID", "AccessionNumber", "StudyID"])
def test_identifiers_are_never_changed(keyword):
    ds = said(keyword, "x" * 100)
    assert make_legal(ds) == []
    assert ds[keyword].value == "x" * 100


def test_items_of_sequences_are_checked_too():
    ds = Dataset()
    ds.RequestAttributesSequence = [said("RequestedProcedureDescription", "x" * 65)]
    assert make_legal(ds) == ["RequestedProcedureDescription"]
    assert len(ds.RequestAttributesSequence[0].RequestedProcedureDescription) == 64


KEYWORDS = (
    "PatientName",
    "PatientBirthDate",
    "StudyTime",
    "PatientSex",
    "StationName",
    "PatientAge",
)


@given(st.sampled_from(KEYWORDS), st.text(max_size=80))
def test_legal_once_is_legal_for_ever(keyword, value):
    ds = said(keyword, value)
    make_legal(ds)
    assert make_legal(ds) == []
