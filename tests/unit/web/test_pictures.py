"""Pictures come out of the instances as they lie there, and only for who may see them."""

import cv2
import numpy as np
import pytest

from gateway.ledger.queries import studies as queries


@pytest.fixture
def study_id(filling):
    return filling.ready("1.2.3", 30, key_frame_count=3)


def test_a_key_frame_is_the_jpeg_stream_of_its_instance(admin, filling, study_id):
    answer = admin.get(f"/studies/{study_id}/key-frames/2.jpg")
    assert answer.mimetype == "image/jpeg"
    assert answer.data == filling.picture(2)
    assert cv2.imdecode(np.frombuffer(answer.data, np.uint8), cv2.IMREAD_COLOR) is not None


def test_the_contact_sheet_is_a_picture_too(admin, filling, study_id):
    assert admin.get(f"/studies/{study_id}/contact-sheet.jpg").data == filling.contact_sheet(3)


def test_only_the_address_of_this_very_version_may_be_kept(admin, ledger, study_id):
    with ledger.reading() as session:
        study = queries.get(session, study_id)
        frame = queries.key_frames(session, study)[0]
        digest = queries.derived_one(session, frame.derived_id).digest
    address = f"/studies/{study_id}/key-frames/1.jpg"
    kept = admin.get(f"{address}?v={digest[:12]}").headers["Cache-Control"]
    assert kept == "private, max-age=86400, immutable"
    assert admin.get(f"{address}?v=other").headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize("name", ["key-frames/4.jpg", "key-frames/0.jpg"])
def test_a_picture_that_does_not_exist_is_a_404(admin, study_id, name):
    assert admin.get(f"/studies/{study_id}/{name}").status_code == 404


def test_a_study_without_contact_sheet_says_so(admin, filling):
    study_id = filling.receive("1.2.4", 3)
    assert admin.get(f"/studies/{study_id}/contact-sheet.jpg").status_code == 404


def test_a_file_that_is_gone_is_a_404(admin, settings, study_id):
    for file in (settings.home / "derived" / str(study_id)).iterdir():
        file.unlink()
    assert admin.get(f"/studies/{study_id}/key-frames/1.jpg").status_code == 404


def test_a_file_that_is_cut_off_is_not_shown(admin, settings, study_id):
    for file in (settings.home / "derived" / str(study_id)).iterdir():
        file.write_bytes(file.read_bytes()[:-10])
    assert admin.get(f"/studies/{study_id}/key-frames/1.jpg").status_code == 404


def test_a_key_that_leads_out_of_the_data_directory_is_not_followed(
    admin, ledger, settings, study_id
):
    outside = settings.home.parent / "outside.dcm"
    outside.write_bytes(b"secret" * 1000)
    with ledger.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE derived SET storage_key = '../outside.dcm'")
    assert admin.get(f"/studies/{study_id}/key-frames/1.jpg").status_code == 404


def test_a_stranger_sees_no_picture(stranger, study_id):
    assert stranger.get(f"/studies/{study_id}/key-frames/1.jpg").status_code == 302
