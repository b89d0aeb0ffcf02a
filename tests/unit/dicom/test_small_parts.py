"""UIDs, times and identities."""

from datetime import datetime

import pytest

from gateway.dicom import identity, times, uids
from gateway.dicom.storage_classes import JPEG_BASELINE
from tests.instances import data_set, encoded


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2", "2.25.0", "0.1", "1." + "9" * 62])
def test_a_uid_is_accepted(uid):
    assert uids.is_valid(uid)


@pytest.mark.parametrize(
    "uid", ["", "1", "1..2", "1.02", "../../etc/passwd", "1.2/3", "1.2\n", "1.2 ", "1." + "9" * 63]
)
def test_what_is_no_uid_is_refused(uid):
    assert not uids.is_valid(uid)


def test_derived_uids_follow_from_their_names_and_nothing_else():
    assert uids.derived("a", 1) == uids.derived("a", 1)
    assert uids.derived("a", "b|c") != uids.derived("a|b", "c")
    assert uids.is_valid(uids.derived("x"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("20260301", datetime(2026, 3, 1)),
        ("20260301081530", datetime(2026, 3, 1, 8, 15, 30)),
        ("20260301081530.25+0800", datetime(2026, 3, 1, 8, 15, 30, 250000)),
        ("20261231235960", datetime(2026, 12, 31, 23, 59, 59)),
    ],
)
def test_a_date_time_is_read_to_the_microsecond(text, expected):
    assert times.to_datetime(times.from_date_time(text)) == expected


@pytest.mark.parametrize("text", ["", "2026", "20261301", "yesterday", "20260301T08"])
def test_what_is_no_date_time_is_unknown(text):
    assert times.from_date_time(text) == times.UNKNOWN


def test_identity_is_decoded_by_the_declared_character_set():
    data = encoded(data_set(1, SpecificCharacterSet="GB18030", PatientName="Wang^X=王^小东"))
    study, series = identity.read(data, JPEG_BASELINE)
    assert study.patient_name == "Wang^X=王^小东"
    assert series.modality == "ES"
    assert str(identity.as_dataset(study.attributes).PatientName) == "Wang^X=王^小东"


def test_a_declared_count_that_is_no_number_is_no_count():
    ds = data_set(1)
    ds.add_new(0x00201002, "LO", "many")
    study, _ = identity.read(encoded(ds), JPEG_BASELINE)
    assert study.declared_count is None
