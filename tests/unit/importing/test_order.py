"""Whose frames these are: what may be said, and what contradicts."""

import json

import pytest
from pydicom import Dataset

from gateway.errors import OrderIncomplete
from gateway.importing import clock, order, plan
from gateway.importing.order import Order
from gateway.importing.source import Folder, Item


def test_dates_times_and_sexes_are_written_as_dicom_writes_them():
    made = order.checked({"patient_birth_date": "1970-01-31", "study_date": "20260131",
                          "study_time": "08:15:00", "patient_sex": "female"})  # fmt: skip
    assert (made.patient_birth_date, made.study_date) == ("19700131", "20260131")
    assert (made.study_time, made.patient_sex) == ("081500", "F")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("patient_id", "A\\B"), ("patient_id", "x" * 65), ("patient_name", "A\x00B"),
        ("patient_birth_date", "31.1.1970"), ("study_date", "20260231"), ("study_time", "25:00"),
        ("patient_sex", "X"), ("accession_number", "x" * 17), ("study_instance_uid", "1.02"),
        ("fps", -1), ("fps", "fast"), ("no_such_thing", "1"), ("timezone_offset_from_utc", "CET"),
    ],
)  # fmt: skip
def test_a_value_dicom_cannot_hold_is_refused_by_name_and_not_repeated(name, value):
    with pytest.raises(OrderIncomplete, match=name) as caught:
        order.checked({name: value})
    assert len(str(value)) < 4 or str(value) not in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{", b"\xff\xfe", b'{"patient_id": 1}', b"[" * 100_000, b" " * (2 << 20)]
)
def test_a_file_that_is_no_order_is_refused(data):
    with pytest.raises(OrderIncomplete):
        order.from_json(data)


def test_a_file_with_a_byte_order_mark_is_read():
    data = b"\xef\xbb\xbf" + json.dumps({"patient_name": "王^小东"}).encode()
    assert order.from_json(data).patient_name == "王^小东"


def test_what_is_stated_goes_over_what_the_worklist_says():
    made = order.merged(Order(patient_name="A"), Order(patient_name="B", patient_id="1"))
    assert (made.patient_name, made.patient_id) == ("A", "1")


@pytest.mark.parametrize("name", ["patient_id", "patient_birth_date", "study_instance_uid"])
def test_two_different_patients_are_never_merged(name):
    values = {"patient_id": ("1", "2"), "patient_birth_date": ("19700101", "19710101"),
              "study_instance_uid": ("1.2", "1.3")}[name]  # fmt: skip
    with pytest.raises(OrderIncomplete, match=name):
        order.merged(Order(**{name: values[0]}), Order(**{name: values[1]}))


def test_a_worklist_item_becomes_an_order():
    step = Dataset()
    step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepID = "20260131", "SPS1"
    item = Dataset()
    item.PatientID, item.PatientName, item.PatientSex = "P1", "A^B", "U"
    item.StudyInstanceUID, item.AccessionNumber = "1.2.3", "ACC"
    item.RequestedProcedureDescription = "Capsule endoscopy"
    item.ScheduledProcedureStepSequence = [step]
    made = order.from_worklist(item)
    assert (made.patient_id, made.patient_sex, made.study_date) == ("P1", "", "20260131")
    assert made.study_description == "Capsule endoscopy"


def test_a_study_without_a_date_takes_its_frames_or_says_that_it_only_guesses():
    known, remark = clock.dated(Order(), first_us=86_400_000_000, modified_us=0)
    assert (known.study_date, known.study_time, remark) == ("19700102", "000000", "")
    known, remark = clock.dated(Order(), first_us=-1, modified_us=0)
    assert (known.study_date, known.study_time) == ("19700101", "")
    assert "nothing else says it" in remark


def planned(names):
    return plan.make(Folder.__new__(_Fake)._with(names))


class _Fake(Folder):
    """A folder of pictures known by name only; none is read."""

    def _with(self, names):
        self.items, self.refused = [Item(name, 1, 0) for name in names], []
        return self


@pytest.mark.parametrize(
    ("names", "recordings"),
    [
        (["b2.jpg", "b10.jpg", "b1.jpg"], {"": ["b1.jpg", "b2.jpg", "b10.jpg"]}),
        (["top/1.jpg", "top/2.jpg"], {"": ["top/1.jpg", "top/2.jpg"]}),
        (["s/000/1.jpg", "s/001/1.jpg"], {"": ["s/000/1.jpg", "s/001/1.jpg"]}),
        (["s/front/1.jpg", "s/back/1.jpg"], {"back": ["s/back/1.jpg"], "front": ["s/front/1.jpg"]}),
        (["1.jpg", "extra/1.jpg"], {"": ["1.jpg"], "extra": ["extra/1.jpg"]}),
    ],
)
def test_folders_are_cameras_unless_they_are_only_numbered(names, recordings):
    made = planned(names).recordings
    assert {one.name: [item.name for item in one.items] for one in made} == recordings
