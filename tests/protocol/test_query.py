"""C-FIND: what is asked for is found, in words the requestor can read, as fast as it reads."""

import threading
from datetime import timedelta

import pytest
from pydicom import Dataset
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelFind,
)
from sqlalchemy import insert

from gateway.ledger import search_keys
from gateway.ledger.schema import Derived, Study
from gateway.model import DerivedRole, StudyState
from tests.archives import add_study, associated, find, keys
from tests.instances import SERIES_UID, STUDY_UID
from tests.kept_studies import clock
from tests.listening import eventually

STUDIES = StudyRootQueryRetrieveInformationModelFind
PATIENTS = PatientRootQueryRetrieveInformationModelFind


def ask(port, identifier: Dataset, *, model: str = STUDIES, extended=None):
    with associated(port, model, extended=extended) as assoc:
        return find(assoc, model, identifier)


def add_many(listener, count: int) -> None:
    """Add studies that look finished, without files."""
    with listener.ledger.transaction() as session:
        session.execute(
            insert(Study),
            [
                {
                    "id": 1000 + n, "study_instance_uid": f"1.2.3.{n}", "state": StudyState.READY,
                    "patient_id": f"M{n}", "patient_name": "Many", "study_date": "20200101",
                    "received_at": clock(), "last_received_at": clock(),
                    "state_changed_at": clock() + timedelta(seconds=n),
                    **search_keys.of_study("Many", {}),
                }
                for n in range(count)
            ],
        )  # fmt: skip
        session.execute(
            insert(Derived),
            [
                {
                    "study_id": 1000 + n, "revision": 1, "role": DerivedRole.FRAMES, "number": 1,
                    "series_instance_uid": f"1.2.3.{n}.1", "sop_class_uid": "1.2",
                    "sop_instance_uid": f"1.2.3.{n}.1.1", "transfer_syntax_uid": "1.2",
                    "storage_key": "none", "size_bytes": 1, "frame_count": 1, "digest": "",
                    "created_at": clock(),
                }
                for n in range(count)
            ],
        )  # fmt: skip


def test_a_study_is_found_with_what_is_counted_about_it(archive):
    listener, _ = archive()
    found = ask(
        listener.port,
        keys(
            "STUDY",
            PatientName="WANG*",
            StudyDate="20260101-20261231",
            StudyInstanceUID="",
            StudyID="",
            AccessionNumber="ACC?",
            ModalitiesInStudy="",
            SOPClassesInStudy="",
            NumberOfStudyRelatedSeries="",
            NumberOfStudyRelatedInstances="",
        ),
    )
    (study,) = found.matches
    assert found.statuses == [0xFF00, 0x0000]
    assert (study.StudyInstanceUID, study.StudyID, study.AccessionNumber) == (
        STUDY_UID, "1", "ACC1",
    )  # fmt: skip
    assert (study.NumberOfStudyRelatedSeries, study.NumberOfStudyRelatedInstances) == (3, 3)
    assert list(study.ModalitiesInStudy) == ["ES", "KO"]
    assert len(study.SOPClassesInStudy) == 3
    assert (study.RetrieveAETitle, study.InstanceAvailability) == ("CAPSULEGW", "ONLINE")


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientName", "Wang"),  # a single value is the whole name
        ("PatientID", "p1"),  # only names forget about case
        ("StudyDate", "20260302-"),
        ("ModalitiesInStudy", "CT"),
        ("StudyInstanceUID", "1.2.3"),
        ("StudyID", "2"),
        ("ReferringPhysicianName", "Somebody"),
    ],
)
def test_what_does_not_match_is_not_found(archive, keyword, value):
    listener, _ = archive()
    found = ask(listener.port, keys("STUDY", **{"StudyInstanceUID": "", keyword: value}))
    assert (found.statuses, found.matches) == ([0x0000], [])


def test_patients_are_found_once_each_with_their_counts(archive):
    listener, study = archive()
    add_study(study, f"{STUDY_UID}7")
    found = ask(
        listener.port,
        keys(
            "PATIENT",
            PatientName="",
            PatientID="P*",
            PatientSex="",
            NumberOfPatientRelatedStudies="",
            NumberOfPatientRelatedInstances="",
        ),
        model=PATIENTS,
    )
    (patient,) = found.matches
    assert (patient.PatientID, patient.PatientSex) == ("P1", "O")
    assert patient.NumberOfPatientRelatedStudies == 2
    assert patient.NumberOfPatientRelatedInstances == 6


def test_received_frames_are_found_only_by_the_uid_of_their_series(archive):
    listener, _study = archive(frames=4)
    every = ask(listener.port, keys("SERIES", StudyInstanceUID=STUDY_UID, SeriesInstanceUID=""))
    named = ask(
        listener.port,
        keys(
            "SERIES",
            StudyInstanceUID=STUDY_UID,
            SeriesInstanceUID=SERIES_UID,
            NumberOfSeriesRelatedInstances="",
            Manufacturer="",
        ),
    )
    frames = ask(
        listener.port,
        keys(
            "IMAGE",
            StudyInstanceUID=STUDY_UID,
            SeriesInstanceUID=SERIES_UID,
            SOPInstanceUID="",
            InstanceNumber="",
            Rows="",
            AcquisitionDateTime="20260301080000.4-",
        ),
    )
    assert SERIES_UID not in [one.SeriesInstanceUID for one in every.matches]
    (series,) = named.matches
    assert (series.NumberOfSeriesRelatedInstances, series.Manufacturer) == (4, "TESTMAKER")
    assert [one.SOPInstanceUID for one in frames.matches] == [
        f"{SERIES_UID}.{number}" for number in (1, 2, 3, 4)
    ]
    assert {one.Rows for one in frames.matches} == {64}


def test_received_series_are_listed_where_that_is_set(archive):
    listener, _ = archive(query_received=True)
    found = ask(listener.port, keys("SERIES", StudyInstanceUID=STUDY_UID, SeriesInstanceUID=""))
    assert SERIES_UID in [one.SeriesInstanceUID for one in found.matches]


def test_an_instance_says_how_many_frames_it_has(archive):
    listener, study = archive(frames=6)
    (part,) = study.derived()
    found = ask(
        listener.port,
        keys(
            "IMAGE",
            StudyInstanceUID=STUDY_UID,
            SeriesInstanceUID=part.series_instance_uid,
            SOPInstanceUID="",
            SOPClassUID="",
            NumberOfFrames="",
            InstanceNumber="1",
            Rows="",
        ),
    )
    (instance,) = found.matches
    assert (instance.SOPInstanceUID, instance.NumberOfFrames, instance.Rows) == (
        part.sop_instance_uid, 6, 64,
    )  # fmt: skip


def test_a_query_in_gb18030_finds_what_came_in_utf_8_and_is_answered_in_gb18030(archive):
    listener, _ = archive()
    identifier = keys("STUDY", StudyInstanceUID="")
    identifier.SpecificCharacterSet = "GB18030"
    identifier.PatientName = "=王^小*"
    (study,) = ask(listener.port, identifier).matches
    assert study.SpecificCharacterSet == "GB18030"
    assert study.PatientName.ideographic == "王^小东"


def test_a_query_in_utf_8_finds_what_came_in_gb18030(archive):
    listener, _ = archive(text={"SpecificCharacterSet": "GB18030", "PatientName": "王^小东"})
    identifier = keys("STUDY", StudyInstanceUID="")
    identifier.SpecificCharacterSet = "ISO_IR 192"
    identifier.PatientName = "王小东"
    (study,) = ask(listener.port, identifier).matches
    assert (study.SpecificCharacterSet, str(study.PatientName)) == ("ISO_IR 192", "王^小东")


def test_who_cannot_write_a_name_is_answered_in_utf_8(archive):
    listener, _ = archive()
    identifier = keys("STUDY", StudyInstanceUID="", PatientName="wang*")
    identifier.SpecificCharacterSet = "ISO_IR 100"
    (study,) = ask(listener.port, identifier).matches
    assert study.SpecificCharacterSet == "ISO_IR 192"
    assert study.PatientName.ideographic == "王^小东"


def test_keys_we_do_not_know_are_left_out_and_said_to_be(archive):
    listener, _ = archive()
    identifier = keys("STUDY", StudyInstanceUID="", PatientWeight="", RequestAttributesSequence=[])
    item = Dataset()
    item.RequestedProcedureID = "never looked at"
    identifier.RequestAttributesSequence = [item]
    found = ask(listener.port, identifier)
    assert found.statuses == [0xFF01, 0x0000]
    assert "PatientWeight" not in found.matches[0]
    assert "RequestAttributesSequence" not in found.matches[0]


@pytest.mark.parametrize(
    "identifier",
    [
        keys("SERIES", SeriesInstanceUID=""),  # no study above it
        keys("IMAGE", StudyInstanceUID=STUDY_UID, SOPInstanceUID=""),
        keys("SERIES", StudyInstanceUID=[STUDY_UID, "1.2.3"], SeriesInstanceUID=""),
        keys("PATIENT", PatientID=""),  # not in Study Root
        keys("", StudyInstanceUID=""),
    ],
)
def test_a_query_outside_the_model_is_refused(archive, identifier):
    listener, _ = archive()
    assert ask(listener.port, identifier).statuses == [0xA900]


def test_relational_queries_are_answered_where_they_were_negotiated(archive):
    listener, _ = archive()
    identifier = keys("IMAGE", PatientID="P1", SOPClassUID="1.2.840.10008.5.1.4.1.1.77.1.1")
    found = ask(listener.port, identifier, extended={STUDIES: b"\1"})
    assert [one.SOPInstanceUID for one in found.matches] == [f"{STUDY_UID}.901.1"]


def test_date_and_time_are_one_moment_only_where_that_was_negotiated(archive):
    listener, _ = archive()  # on 2026-03-01 at 08:00
    identifier = keys("STUDY", StudyInstanceUID="", StudyTime="2000-0700")
    identifier.StudyDate = "20260228-20260302"
    assert ask(listener.port, identifier).matches == []
    assert len(ask(listener.port, identifier, extended={STUDIES: b"\0\1"}).matches) == 1


def test_more_matches_than_allowed_end_with_a_warning(archive):
    listener, _ = archive(query_matches_max=7)
    add_many(listener, 20)
    found = ask(listener.port, keys("STUDY", StudyInstanceUID="", PatientName="many"))
    assert (len(found.matches), found.final) == (7, 0xB001)


def test_a_query_is_cancelled_while_it_answers(archive):
    listener, _ = archive()
    add_many(listener, 3000)
    identifier = keys("STUDY", StudyInstanceUID="", PatientName="", ModalitiesInStudy="")
    statuses = []
    with associated(listener.port, STUDIES) as assoc:
        for status, _match in assoc.send_c_find(identifier, STUDIES, msg_id=9):
            statuses.append(status.Status)
            if len(statuses) == 1:
                assoc.send_c_cancel(9, query_model=STUDIES)
        assert statuses[-1] == 0xFE00
        assert len(statuses) < 3000
        assert find(assoc, STUDIES, keys("STUDY", StudyInstanceUID=STUDY_UID)).final == 0x0000


def test_a_requestor_that_goes_away_stops_its_query(archive):
    listener, _ = archive()
    add_many(listener, 3000)
    with associated(listener.port, STUDIES) as assoc:
        responses = assoc.send_c_find(
            keys("STUDY", StudyInstanceUID="", PatientName=""), STUDIES, msg_id=9
        )
        next(responses)
        assoc.abort()
    listener.wait_until_closed()
    eventually(lambda: not [one for one in threading.enumerate() if "Acceptor" in one.name])


def test_a_corrected_study_goes_by_its_delivered_uid(archive):
    listener, study = archive()
    with listener.ledger.transaction() as session:
        session.get(Study, study.study_id).delivered_uid = "1.2.3.4"
    by_old = ask(listener.port, keys("STUDY", StudyInstanceUID=STUDY_UID))
    by_new = ask(listener.port, keys("STUDY", StudyInstanceUID="1.2.3.4"))
    assert (len(by_old.matches), len(by_new.matches)) == (0, 1)
