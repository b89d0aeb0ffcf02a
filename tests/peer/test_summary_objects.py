"""What other people's programs make of the summary objects."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence

from gateway.ledger.transitions.studies import SUMMARY_ROLES
from gateway.model import DerivedRole
from gateway.simulator import synthetic_frames
from tests.kept_studies import KeptStudy
from tests.peer.validators import assert_valid
from tests.summaries import made, path_of, received, run, wrapped_study

VALIDATORS = ("dciodvfy", "dcmftest", "dcmdump", "dcmj2pnm", "dsrdump", "gdcminfo", "gdcmconv")
Program = Callable[[str], str]


def order() -> Sequence:
    item = Dataset()
    item.RequestedProcedureID, item.ScheduledProcedureStepID = "RP7", "SPS7"
    item.RequestedProcedureDescription = "Capsule endoscopy"
    item.ScheduledProcedureStepDescription = "Small bowel"
    return Sequence([item])


SOURCES: dict[str, dict[str, object]] = {
    "bare": {"Manufacturer": None, "AccessionNumber": None, "StudyID": None},
    "rich": {
        "PatientName": "Wang^XiaoDong=王^小东",
        "IssuerOfPatientID": "HOSPITAL",
        "PatientAge": "056Y",
        "StudyDescription": "胶囊内镜",
        "TimezoneOffsetFromUTC": "+0800",
        "ManufacturerModelName": "Capsule 3",
        "DeviceSerialNumber": "A1B2C3",
        "SoftwareVersions": "9.0",
        "InstitutionName": "医院",
        "BodyPartExamined": "SMALLINTESTINE",
        "ProtocolName": "Small bowel",
        "BurnedInAnnotation": "NO",
        "RequestAttributesSequence": order(),
    },
}
"""What a workstation says about patient, order and equipment: next to nothing, and everything."""


@pytest.fixture(scope="module", params=list(SOURCES))
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> KeptStudy:
    streams = [frame.jpeg for frame in synthetic_frames(60, seed=5, rows=128, columns=128)]
    files = received(streams, **SOURCES[request.param])
    study = wrapped_study(
        tmp_path_factory.mktemp("home"), [files], part_frames_max=40, key_frames=9
    )
    run(study)
    return study


@pytest.mark.peer(*VALIDATORS)
def test_every_validator_accepts_every_summary_object(study: KeptStudy) -> None:
    roles = [row.role for row in made(study)]
    assert roles.count(DerivedRole.KEY_FRAME) >= 3
    assert set(roles) == set(SUMMARY_ROLES)
    for row in made(study):
        assert_valid(path_of(study, row))


@pytest.mark.peer("dciodvfy")
def test_no_summary_object_holds_what_its_iod_does_not_have(study: KeptStudy) -> None:
    for row in made(study):
        done = subprocess.run(
            ["dciodvfy", "-new", path_of(study, row)], capture_output=True, text=True, check=False
        )
        said = (done.stdout + done.stderr).splitlines()
        foreign = [line for line in said if "not present in standard" in line]
        assert foreign == []


@pytest.mark.peer("dsrdump")
def test_a_report_reader_finds_every_key_frame_in_the_document(study: KeptStudy) -> None:
    (row,) = study.derived(DerivedRole.KEY_OBJECTS)
    done = subprocess.run(
        ["dsrdump", path_of(study, row)], capture_output=True, text=True, check=True
    )
    count = len(study.derived(DerivedRole.KEY_FRAME))
    assert done.stdout.count("<contains IMAGE:=") == 2 * count
    assert done.stdout.count("(VVe image,,") == count  # with a frame number
    assert "Key Object Description" in done.stdout


@pytest.mark.peer("dcentvfy")
def test_all_instances_agree_about_patient_study_and_series(
    study: KeptStudy, program: Program
) -> None:
    paths: list[Path] = [*study.paths(), *(path_of(study, row) for row in made(study))]
    done = subprocess.run(
        [program("dcentvfy"), *paths], capture_output=True, text=True, check=False
    )
    said = (done.stdout + done.stderr).splitlines()
    assert [line for line in said if line.startswith("Error")] == []
