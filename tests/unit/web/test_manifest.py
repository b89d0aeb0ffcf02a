"""The manifest that can be downloaded says of every frame delivered where it came from."""

import csv
import hashlib
import io

import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames

from gateway.errors import IntegrityError
from gateway.packs import manifest
from gateway.settings import Settings
from gateway.web.application import create_app
from tests.browser.people import ADMIN, SECRET_KEY, prepare
from tests.instances import SERIES_UID, data_set, jpeg
from tests.kept_studies import file_of, keep_study
from tests.unit.web.conftest import known


@pytest.fixture
def study(tmp_path):
    many = data_set(
        9, NumberOfFrames=2, SOPClassUID="1.2.840.10008.5.1.4.1.1.7.4", FrameTime=40,
        PixelData=encapsulate([jpeg(9), jpeg(10)]),
    )  # fmt: skip
    files = [file_of(data_set(number)) for number in (1, 2, 3)]
    study = keep_study(tmp_path / "home", [[*files, file_of(many)]], part_frames_max=2)
    study.wrap()
    return study


def downloaded(study):
    settings = Settings(home=study.settings.home, secret_key=SECRET_KEY)
    visitor = known(create_app(settings, study.ledger), prepare(settings)[ADMIN])
    answer = visitor.get(f"/studies/{study.study_id}/manifest.csv")
    assert answer.mimetype == "text/csv"
    assert "attachment" in answer.headers["Content-Disposition"]
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_there_is_a_line_for_every_frame_with_its_source_time_and_checksum(study):
    rows = downloaded(study)
    assert [
        (row["source_sop_instance_uid"], row["source_frame_number"], row["frame_number"])
        for row in rows
    ] == [
        (f"{SERIES_UID}.1", "0", "1"),
        (f"{SERIES_UID}.2", "0", "2"),
        (f"{SERIES_UID}.3", "0", "1"),
        (f"{SERIES_UID}.9", "1", "2"),
        (f"{SERIES_UID}.9", "2", "1"),
    ]
    assert rows[0]["acquired_at"] == "2026-03-01T08:00:00.500000"
    assert rows[1]["elapsed_us"] == "500000"
    fragments = [
        fragment
        for path in study.paths()
        for fragment in generate_frames(
            dcmread(path).PixelData, number_of_frames=dcmread(path).NumberOfFrames
        )
    ]
    digests = [hashlib.sha256(fragment).hexdigest() for fragment in fragments]
    assert [row["digest"] for row in rows] == digests
    assert {row["treatment"] for row in rows} == {"unchanged"}


def test_a_study_that_was_not_wrapped_has_none(admin, filling):
    study_id = filling.receive("1.2.4", 3)
    assert admin.get(f"/studies/{study_id}/manifest.csv").status_code == 404


def test_a_stranger_gets_nothing(stranger, filling):
    study_id = filling.receive("1.2.4", 3)
    assert stranger.get(f"/studies/{study_id}/manifest.csv").status_code == 302


def test_a_block_of_other_frames_is_an_error(study, tmp_path):
    ds = dcmread(study.paths()[0])
    ds.private_block(0x0029, "CAPSGW 1.0")[0x04].value = bytes(32)
    ds.save_as(tmp_path / "wrong.dcm")
    with pytest.raises(IntegrityError):
        list(manifest.lines(tmp_path / "wrong.dcm"))
