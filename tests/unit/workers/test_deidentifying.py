"""De-identification of a whole study for a destination, on a real ledger and real files."""

import csv
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from pydicom import dcmread

from gateway.deidentify.profile import Profile
from gateway.errors import CannotDeidentify
from gateway.ledger.transitions import registry
from gateway.model import DerivedRole
from gateway.packs.multiframe import MultiFrameFile
from tests.exports import COMMENT, EXIF, FULL, SECRETS, Export, exported
from tests.kept_studies import clock
from workers.deliver.deidentifying import Clearance, sheet_keys


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    made = exported(tmp_path_factory.mktemp("home"), FULL)
    made.clearance = made.prepare()
    return made


def test_no_identifier_of_the_source_is_anywhere_in_the_bytes(export: Export) -> None:
    source = dcmread(export.study.paths()[0])
    values = {str(value).split("=")[0] for value in SECRETS.values()}
    values |= {"Zyxwv", "Quentin", "秦王", "小东", "Operatov", "Referov", "20260301", "20260302"}
    values |= {str(source.StudyInstanceUID), str(source.SeriesInstanceUID)}
    values |= {str(source.SOPInstanceUID), "1.2.826.0.1.3680043.9.7433"}
    assert len(export.rows()) > 6
    for row in export.rows():
        content = export.path(row).read_bytes()
        found = [one for one in values if one.encode() in content]
        assert found == [], row.role


def test_the_sources_did_hold_what_is_searched_for(export: Export) -> None:
    content = export.study.paths()[0].read_bytes()
    for text in ("Zyxwv", "PID-778899", "SN-102938", "Exif"):
        assert text.encode() in content


def test_references_between_the_objects_lead_to_objects_of_the_export(export: Export) -> None:
    uids = {row.sop_instance_uid for row in export.rows()}
    series = {row.series_instance_uid for row in export.rows()}
    (document,) = export.objects(DerivedRole.KEY_OBJECTS)
    (report,) = export.objects(DerivedRole.REPORT)
    for one in (document, report):
        (evidence,) = one.CurrentRequestedProcedureEvidenceSequence
        assert evidence.StudyInstanceUID == one.StudyInstanceUID
        assert {item.SeriesInstanceUID for item in evidence.ReferencedSeriesSequence} <= series
        named = {
            sop.ReferencedSOPInstanceUID
            for item in evidence.ReferencedSeriesSequence
            for sop in item.ReferencedSOPSequence
        }
        assert named
        assert named <= uids
    for image in export.objects(DerivedRole.KEY_FRAME):
        assert image.SourceImageSequence[0].ReferencedSOPInstanceUID in uids


def test_one_patient_one_study_one_shift_and_the_same_times(export: Export) -> None:
    originals = [dcmread(path) for path in export.study.paths()]
    parts = export.objects(DerivedRole.FRAMES)
    everything = [dcmread(export.path(row)) for row in export.rows()]
    assert len({(str(ds.PatientName), ds.PatientID, ds.StudyInstanceUID) for ds in everything}) == 1
    assert everything[0].PatientID.startswith("CG")
    for before, after in zip(originals, parts, strict=True):
        assert after.AcquisitionDateTime[8:] == before.AcquisitionDateTime[8:26]
        assert after.FrameTimeVector == before.FrameTimeVector
        shift = int(after.StudyDate) - int(before.StudyDate)
        assert shift < 0
    assert {ds.StudyDate for ds in everything} == {parts[0].StudyDate}
    assert parts[0].LongitudinalTemporalInformationModified == "MODIFIED"


def test_the_options_used_are_said_by_code(export: Export) -> None:
    (part, *_) = export.objects(DerivedRole.FRAMES)
    codes = [item.CodeValue for item in part.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113101", "113105", "113107", "113108"]
    assert (part.PatientIdentityRemoved, part.BurnedInAnnotation) == ("YES", "NO")
    assert part.SeriesDescription == "Capsule frames"
    (document,) = export.objects(DerivedRole.KEY_OBJECTS)
    assert [item.CodeValue for item in document.DeidentificationMethodCodeSequence] == codes
    assert "key frames of 24 frames" in str(document.ContentSequence[-1].TextValue)


def test_only_the_blocks_of_the_region_change(export: Export) -> None:
    before = MultiFrameFile(export.study.paths()[0])
    (row,) = [row for row in export.rows() if row.role is DerivedRole.FRAMES]
    after = MultiFrameFile(export.path(row))
    assert after.frame_count == before.frame_count == 24
    for index in (0, 7, 23):
        old, new = (
            cv2.imdecode(np.frombuffer(one.read_frame(index), np.uint8), cv2.IMREAD_COLOR)
            for one in (before, after)
        )
        # At the border of the last block decoders interpolate colours, on both sides.
        assert new[:11, :38].max() <= 2
        assert np.array_equal(new[18:], old[18:])
        assert np.array_equal(new[:, 50:], old[:, 50:])
        assert b"Exif" not in after.read_frame(index)


def test_the_contact_sheet_is_left_out_where_frames_had_to_be_blanked(export: Export) -> None:
    assert export.objects(DerivedRole.CONTACT_SHEET) == []
    sheet = json.loads((export.study.settings.home / sheet_keys(export.transfer_id)[0]).read_text())
    (left_out,) = [one for one in sheet["instances"] if one["left_out"]]
    assert left_out["role"] == "contact-sheet"


def test_the_proof_sheet_tells_what_was_done_without_a_value(export: Export) -> None:
    json_path, csv_path = (
        export.study.settings.home / key for key in sheet_keys(export.transfer_id)
    )
    text = json_path.read_text() + csv_path.read_text()
    assert not [value for value in SECRETS.values() if value in text]
    sheet = json.loads(json_path.read_text())
    (part,) = [one for one in sheet["instances"] if one["role"] == "frames"]
    assert part["frames"] == part["frames_blanked"] == 24
    assert part["metadata_bytes_removed"] >= 24 * (len(EXIF) + len(COMMENT))
    assert "PatientID" in part["changed"]
    assert {"InstitutionName", "OperatorsName", "AccessionNumber"} <= {
        *part["removed"], *part["changed"],
    }  # fmt: skip
    assert any(name.startswith("(0029,") for name in part["removed"])
    rows = {row[0]: row[1:] for row in csv.reader(csv_path.open()) if row}
    assert rows["FrameTimeVector"] == ["1", "0", "0"]


def test_made_twice_the_bytes_are_the_same(export: Export, tmp_path) -> None:
    first = {row.role: row for row in export.rows() if row.role is DerivedRole.FRAMES}
    row = first[DerivedRole.FRAMES]
    content = export.path(row).read_bytes()
    export.path(row).unlink()  # lost: made again
    export.prepare()
    (again,) = [one for one in export.rows() if one.role is DerivedRole.FRAMES]
    assert again.sop_instance_uid == row.sop_instance_uid
    assert export.path(again).read_bytes() == content


def test_what_is_made_is_not_made_again(export: Export) -> None:
    before = {row.storage_key: export.path(row).stat().st_mtime_ns for row in export.rows()}
    export.prepare()
    assert {row.storage_key: export.path(row).stat().st_mtime_ns for row in export.rows()} == before


def test_nothing_but_what_was_made_for_it_is_cleared(export: Export) -> None:
    for row in export.rows():
        export.clearance.require(row)
    (row, *_) = export.rows()
    for purpose in ("", "deidentified:another", "+multi-frame-sc"):
        with pytest.raises(CannotDeidentify):
            export.clearance.require(replace(row, purpose=purpose))
    with pytest.raises(CannotDeidentify):
        Clearance().require(row)


def test_what_was_made_for_export_is_no_part_of_the_study(export: Export) -> None:
    made = {row.sop_instance_uid for row in export.rows()}
    assert not made & {row.sop_instance_uid for row in export.study.derived(DerivedRole.FRAMES)}


def test_without_options_nothing_of_time_or_person_stays(tmp_path) -> None:
    export = exported(tmp_path, Profile())
    export.prepare()
    for row in export.rows():
        ds = dcmread(export.path(row), stop_before_pixels=True)
        assert (ds.StudyDate, ds.StudyTime, ds.PatientSex, ds.PatientBirthDate) == ("", "", "", "")
        assert "AcquisitionDateTime" not in ds
        assert "SeriesDescription" not in ds
        assert ds.LongitudinalTemporalInformationModified == "REMOVED"
    assert export.objects(DerivedRole.CONTACT_SHEET) != []


def test_another_key_stops_the_export_and_says_why(tmp_path) -> None:
    export = exported(tmp_path, Profile())
    export.prepare()
    (tmp_path / "pseudonym-keys" / "trial.key").write_text("ab" * 32)
    with pytest.raises(CannotDeidentify, match="key of the pseudonym domain trial"):
        export.prepare()


def test_a_key_others_may_read_is_not_used(tmp_path) -> None:
    export = exported(tmp_path, Profile())
    export.prepare()
    (tmp_path / "pseudonym-keys" / "trial.key").chmod(0o644)
    with pytest.raises(CannotDeidentify, match="chmod 600"):
        export.prepare()


def test_a_profile_that_is_gone_sends_nothing(tmp_path) -> None:
    export = exported(tmp_path, Profile())
    with export.study.ledger.transaction() as session:
        registry.edit_destination(
            session, "partner", now=clock(), actor="test", deidentification_profile="gone"
        )
    with pytest.raises(CannotDeidentify, match="gone"):
        export.prepare()
