"""What other people's programs make of de-identified objects, and whether our own check passes."""

import pytest

from gateway.deidentify.profile import Profile
from gateway.preflight.check import check
from tests.exports import FULL, Export, exported
from tests.peer.validators import assert_valid, entity_errors

VALIDATORS = ("dciodvfy", "dcmftest", "dcmdump", "dcmj2pnm", "dsrdump", "gdcminfo", "gdcmconv")


@pytest.fixture(scope="module", params=[Profile(), FULL], ids=["basic", "every option"])
def export(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Export:
    made = exported(tmp_path_factory.mktemp("home"), request.param)
    made.prepare()
    return made


@pytest.mark.peer(*VALIDATORS)
def test_every_validator_accepts_every_deidentified_object(export: Export) -> None:
    for row in export.rows():
        assert_valid(export.path(row))


@pytest.mark.peer("dcentvfy")
def test_the_deidentified_objects_agree_about_patient_and_study(export: Export) -> None:
    assert entity_errors(export.path(row) for row in export.rows()) == []


def test_our_own_check_before_sending_passes(export: Export) -> None:
    for row in export.rows():
        report = check(export.path(row))
        assert report.passed, (row.role, report.in_words)
