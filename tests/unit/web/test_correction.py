"""Correcting a patient in the console: who may, what it takes, what is shown of it."""

import pytest
from sqlalchemy import select

from gateway.dicom import charsets
from gateway.ledger.queries import registry
from gateway.ledger.schema import Correction, Study
from gateway.ledger.transitions import reception
from gateway.model import SeriesIdentity, StudyIdentity, TextOrigin
from tests.kept_studies import clock

NAME = {"vr": "PN", "Value": [{"Alphabetic": "Wang^Xiao", "Ideographic": "王^小"}]}
ATTRIBUTES = {"00100010": NAME, "00100020": {"vr": "LO", "Value": ["P1"]}}
FIELDS = {
    "PatientName": "Wang^Xiao=王^小", "PatientID": "P1", "PatientBirthDate": "", "PatientSex": "",
    "AccessionNumber": "",
}  # fmt: skip


@pytest.fixture
def study_id(ledger):
    identity = StudyIdentity(
        "1.2.3", patient_id="P1", patient_name="Wang^Xiao=王^小", attributes=ATTRIBUTES,
        text_origin=TextOrigin(
            declared="ISO_IR 100", read_as="GB18030", because="by its bytes",
            originals={"PatientName": "cdf5"}, doubts={"PatientName": "It may be another."},
        ),
    )  # fmt: skip
    with ledger.transaction() as session:
        reception.open_pack(
            session, identity, SeriesIdentity("1.2.3.1"), storage_key="packs/x.tar",
            association_id="a", calling_ae_title="CAPSULE", now=clock(),
        )  # fmt: skip
    return 1


def row(ledger, kind=Study):
    with ledger.reading() as session:
        return session.scalars(select(kind)).first()


def test_a_doubtful_name_and_how_it_was_read_stand_on_the_study_page(viewer, study_id):
    text = viewer.page(f"/studies/{study_id}")
    assert "PatientName: It may be another." in text
    assert "cdf5" in text
    assert "read as GB18030, by its bytes; declared ISO_IR 100" in text
    assert ">Correct<" not in text


def test_an_admin_corrects_and_the_page_says_who_did_it_and_why(admin, ledger, study_id):
    address = f"/studies/{study_id}/identity"
    assert "Wang^Xiao=王^小" in admin.page(address)
    fields = {**FIELDS, "PatientName": "Li^Ming=李^明", "reason": "wrong worklist entry"}
    answer = admin.post(address, **fields)
    assert answer.status_code == 303
    assert row(ledger).patient_name == "Li^Ming=李^明"
    said = row(ledger, Correction)
    assert (said.actor, list(said.changes)) == ("admin", ["PatientName"])
    text = admin.page(f"/studies/{study_id}")
    assert "PatientName by admin" in text
    assert "wrong worklist entry" in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reason": "x y z"}, "Nothing would change"),
        ({"PatientID": "P2", "reason": ""}, "needs a reason"),
        ({"PatientBirthDate": "yesterda", "reason": "typed wrong"}, "no PatientBirthDate"),
    ],
)
def test_a_correction_that_cannot_be_is_shown_again_as_it_was_typed(
    admin, ledger, study_id, changes, words
):
    answer = admin.post(f"/studies/{study_id}/identity", **{**FIELDS, **changes})
    assert answer.status_code == 422
    assert words in answer.text
    assert changes.get("PatientID", "P1") in answer.text
    assert row(ledger, Correction) is None


def test_a_viewer_corrects_nothing(viewer, ledger, study_id):
    for action in ("identity", "merge"):
        answer = viewer.post(f"/studies/{study_id}/{action}", **{**FIELDS, "PatientID": "P2"})
        assert answer.status_code == 403
    assert row(ledger).patient_id == "P1"


def test_all_studies_of_a_patient_are_merged_into_another(admin, ledger, study_id):
    answer = admin.post(f"/studies/{study_id}/merge", into="P9", reason="one person, two cards")
    assert answer.status_code == 303
    assert row(ledger).patient_id == "P9"
    assert "same Patient ID" in admin.post(
        f"/studies/{study_id}/merge", into="P9", reason="again"
    ).text  # fmt: skip


def test_a_source_gets_a_character_set_of_its_own(admin, ledger):
    answer = admin.post("/sources/", ae_title="KOREA", host="", description="", charset="euc-kr")
    assert answer.status_code == 303
    with ledger.reading() as session:
        assert registry.charset_of(session, "KOREA") == "EUC-KR"
    answer = admin.post("/sources/", ae_title="MARS", host="", description="", charset="klingon")
    assert (answer.status_code, charsets.GB18030 in answer.text) == (422, True)
