"""Imports from beginning to end: files in, packs and ledger out, and again nothing new."""

import io
import json
import subprocess
import sys
import zipfile

import cv2
import pytest
from pydicom import dcmread

from gateway.dicom.part10 import encode_file_meta
from gateway.dicom.storage_classes import JPEG_BASELINE, VL_ENDOSCOPIC
from gateway.errors import Interrupted, NothingToImport, OrderIncomplete
from gateway.importing.order import Order
from gateway.ledger import events
from gateway.ledger.queries import associations, due, studies
from gateway.model import AssociationOutcome, SettleRule
from tests import recordings
from tests.instances import frame, jpeg
from tests.recordings import (
    Kept,
    avi_of,
    folder_of,
    frames,
    mov_of,
    picture,
    standard_jpeg,
    without_tables,
    zip_of,
)
from workers.settle import evidence

kept = recordings.kept
ORDER = Order(
    patient_id="P1", patient_name="Wang^XiaoDong=王^小东", patient_birth_date="19700101",
    patient_sex="M", accession_number="ACC1", study_date="20260131", study_time="080000",
)  # fmt: skip


def importing(kept, path, *, order=ORDER, **options):
    return kept.import_from(path, order, **options)


def test_a_folder_of_frames_is_kept_bit_for_bit_in_natural_order(kept, tmp_path):
    wanted = frames(12)
    report = importing(kept, folder_of(tmp_path / "in", wanted))
    assert (report.found_count, report.imported_count, report.is_whole) == (12, 12, True)
    assert kept.streams() == wanted
    (line,) = kept.studies()
    assert (line.study.patient_id, line.study.accession_number) == ("P1", "ACC1")
    assert line.study.patient_name == "Wang^XiaoDong=王^小东"
    assert (line.received_count, line.study.declared_count) == (12, 12)


def test_the_same_import_again_adds_nothing(kept, tmp_path):
    folder = folder_of(tmp_path / "in", frames(5))
    first = importing(kept, folder)
    before = [content for _, content in kept.members()]
    with kept.ledger.reading() as session:
        packs = len(studies.pack_keys(session))
    again = importing(kept, folder)
    assert (again.imported_count, again.already_there_count) == (0, 5)
    assert again.study_instance_uids == first.study_instance_uids
    assert [content for _, content in kept.members()] == before
    with kept.ledger.reading() as session:
        assert len(studies.pack_keys(session)) == packs
        assert events.first_broken(session) is None


def test_a_zip_and_the_folder_it_was_made_of_are_the_same_study(kept, tmp_path):
    wanted = frames(4)
    importing(kept, folder_of(tmp_path / "in", wanted))
    content = {f"export/frame{n}.jpg": data for n, data in enumerate(wanted, start=1)}
    report = importing(kept, zip_of(tmp_path / "in.zip", content))
    assert (report.imported_count, report.already_there_count) == (0, 4)


def test_frames_that_come_later_are_added_and_the_others_stay_as_they_are(kept, tmp_path):
    wanted = frames(6)
    folder_of(tmp_path / "in", wanted[:4])
    importing(kept, tmp_path / "in")
    folder_of(tmp_path / "in", wanted)
    report = importing(kept, tmp_path / "in")
    assert (report.imported_count, report.already_there_count) == (2, 4)
    assert kept.streams() == wanted
    assert kept.studies()[0].study.declared_count == 6


def test_an_import_settles_at_once_because_its_count_is_known(kept, tmp_path):
    importing(kept, folder_of(tmp_path / "in", frames(3)))
    with kept.ledger.reading() as session:
        (facts,) = due.receiving(session)
        (association,) = associations.latest(session)
    rule = evidence(facts, settle_s=1e9, settle_aborted_s=1e9, now=facts.last_received_at)
    assert rule is SettleRule.DECLARED_COUNT
    assert association.outcome is AssociationOutcome.RELEASED
    assert (association.calling_ae_title, association.received_count) == ("IMPORT", 3)


def test_what_cannot_be_imported_is_named_and_stops_nothing(kept, tmp_path):
    folder = folder_of(tmp_path / "in", frames(4))
    (folder / "frame2.jpg").write_bytes(b"this is no picture")
    (folder / "frame3.jpg").write_bytes(jpeg(2)[:-50])
    (folder / "frame4.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("hello")
    (folder / "nested.zip").write_bytes(b"PK\x03\x04")
    report = importing(kept, folder)
    assert {name for name, _ in report.refused} == {"frame2.jpg", "frame4.jpg", "nested.zip"}
    assert [name for name, _ in report.damaged] == ["frame3.jpg"]
    assert (report.ignored, report.is_whole) == (["notes.txt"], False)
    assert [int(row["instance_number"]) for row, _ in kept.members()] == [1, 3]
    (line,) = kept.studies()
    assert (line.study.declared_count, line.quarantine_count) == (4, 3)
    again = importing(kept, folder)
    assert (again.imported_count, again.refused_count) == (0, 3)
    assert kept.studies()[0].quarantine_count == 3  # stands once, however often it is tried


def test_times_come_from_names_lists_rates_or_nowhere(kept, tmp_path):
    def first_two(name, **changes):
        values = {"study_instance_uid": f"1.2.3.{name}"}
        order = ORDER.model_copy(update=values | changes.pop("order", {}))
        importing(kept, tmp_path / name, order=order, **changes)
        rows = [row for row, content in kept.members() if f"1.2.3.{name}".encode() in content]
        return [int(row["acquired_us"]) for row in rows][:2]

    start = 20_484 * 86_400_000_000 + 8 * 3_600_000_000  # 2026-01-31 08:00
    folder_of(tmp_path / "1", frames(2), "20260131_0801{:02d}.500.jpg")
    assert first_two("1") == [start + 61_500_000, start + 62_500_000]
    folder_of(tmp_path / "2", frames(2))
    assert first_two("2", order={"fps": 2}) == [start, start + 500_000]
    folder_of(tmp_path / "3", frames(2))
    (tmp_path / "3" / "times.csv").write_text("file,ms\nframe1.jpg,0\nframe2.jpg,40\n")
    assert first_two("3") == [start, start + 40_000]
    folder_of(tmp_path / "4", frames(2))
    assert first_two("4") == [-1, -1]


@pytest.mark.parametrize("whole", [avi_of, mov_of])
def test_motion_jpeg_is_taken_out_bit_for_bit_with_its_times(kept, tmp_path, whole):
    wanted = frames(5)
    (tmp_path / "v.bin").write_bytes(whole(wanted))
    report = importing(kept, tmp_path / "v.bin")
    assert (report.imported_count, report.is_whole) == (5, True)
    assert kept.streams() == wanted
    times = [int(row["acquired_us"]) for row, _ in kept.members()]
    assert [time - times[0] for time in times] == [n * 200_000 for n in range(5)]
    assert "ORIGINAL" in dcmread(io.BytesIO(kept.members()[0][1])).ImageType


def test_motion_jpeg_without_tables_gets_the_standard_ones_and_nothing_else_changes(kept, tmp_path):
    bare = [without_tables(standard_jpeg(seed)) for seed in range(3)]
    (tmp_path / "v.avi").write_bytes(avi_of(bare, rows=48, columns=64))
    importing(kept, tmp_path / "v.avi")
    assert [without_tables(one) for one in kept.streams()] == bare


def test_a_video_that_was_cut_off_gives_its_whole_pictures_and_names_the_last(kept, tmp_path):
    (tmp_path / "v.avi").write_bytes(avi_of(frames(4))[:-60])
    report = importing(kept, tmp_path / "v.avi")
    assert report.imported_count == 3
    assert report.refused == [("v.avi #4", "The video file ends inside this picture.")]


def test_any_other_video_is_decoded_once_and_says_so(kept, tmp_path):
    path = tmp_path / "v.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 4, (64, 48))
    for seed in range(6):
        writer.write(picture(seed))
    writer.release()
    report = importing(kept, path)
    assert (report.imported_count, report.is_whole) == (6, True)
    ds = dcmread(io.BytesIO(kept.members()[2][1]))
    assert list(ds.ImageType) == ["DERIVED", "PRIMARY"]
    assert "ISO_10918_1" in str(ds.LossyImageCompressionMethod)
    assert "quality 95 4:4:4" in ds.DerivationDescription
    assert float(ds.LossyImageCompressionRatio) > 1
    times = [int(row["acquired_us"]) for row, _ in kept.members()]
    assert [time - times[0] for time in times] == [n * 250_000 for n in range(6)]
    assert importing(kept, path).already_there_count == 6


def test_a_video_inside_a_zip_is_unpacked_and_cleaned_up(kept, tmp_path, monkeypatch):
    spool = tmp_path / "spool"
    spool.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(spool))
    wanted = frames(3)
    path = zip_of(tmp_path / "v.zip", {"a/v.avi": avi_of(wanted)})
    assert importing(kept, path).imported_count == 3
    assert kept.streams() == wanted
    assert list(spool.iterdir()) == []


def test_a_playlist_is_no_video(kept, tmp_path):
    (tmp_path / "v.mp4").write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    with pytest.raises(NothingToImport, match="not what its name says"):
        importing(kept, tmp_path / "v.mp4")


def test_two_cameras_become_two_series_of_one_study(kept, tmp_path):
    folder_of(tmp_path / "in" / "front", frames(2))
    folder_of(tmp_path / "in" / "back", frames(3)[1:])
    importing(kept, tmp_path / "in")
    (line,) = kept.studies()
    assert line.received_count == 4
    assert len(list(kept.settings.packs_dir.glob("*/*"))) == 2


def dicom(number, **changes):
    head = encode_file_meta(
        sop_class_uid=VL_ENDOSCOPIC,
        sop_instance_uid=f"1.2.826.0.1.3680043.9.7433.1.1.{number}",
        transfer_syntax_uid=JPEG_BASELINE,
    )
    return head + frame(number, **changes)


def test_dicom_files_keep_their_own_identity_and_bytes(kept, tmp_path):
    folder = tmp_path / "in" / "DICOM"
    folder.mkdir(parents=True)
    for number in range(1, 4):
        (folder / f"IM{number}").write_bytes(dicom(number))
    (folder / "IM4").write_bytes(dicom(4)[:600])
    report = importing(kept, tmp_path / "in", order=Order())
    assert report.imported_count == 3
    assert [name for name, _ in report.refused] == ["DICOM/IM4"]
    assert report.study_instance_uids == ["1.2.826.0.1.3680043.9.7433.1"]
    assert [content.partition(b"DICM")[2][-500:] for _, content in kept.members()] == [
        dicom(number)[-500:] for number in range(1, 4)
    ]
    again = importing(kept, tmp_path / "in", order=Order())
    assert (again.imported_count, again.already_there_count) == (0, 3)


def test_the_same_dicom_file_twice_on_a_medium_counts_once(kept, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.dcm", "b.dcm"):
        (tmp_path / "in" / name).write_bytes(dicom(1))
    report = importing(kept, tmp_path / "in", order=Order())
    assert (report.imported_count, report.already_there_count) == (1, 1)


def test_a_dicom_file_with_other_contents_under_a_known_uid_is_refused(kept, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "1.dcm").write_bytes(dicom(1))
    (tmp_path / "b" / "1.dcm").write_bytes(dicom(1, PatientID="P2"))
    importing(kept, tmp_path / "a", order=Order())
    report = importing(kept, tmp_path / "b", order=Order())
    assert report.refused == [("1.dcm", "It could not be kept: receive.conflict.")]
    with kept.ledger.reading() as session:
        assert [row.code for row in studies.quarantine(session)] == ["receive.conflict"]


def test_a_dicomdir_tells_what_is_missing(kept, tmp_path):
    from pydicom.fileset import FileSet

    medium = FileSet()
    for number in (1, 2):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(dicom(number, StudyID="1"))
        medium.add(path)
    medium.write(tmp_path / "medium")
    gone = max(path for path in (tmp_path / "medium").rglob("*") if path.is_file())
    gone.unlink()
    report = importing(kept, tmp_path / "medium" / "DICOMDIR", order=Order())
    assert report.imported_count == 1
    assert report.refused == [
        (str(gone.relative_to(tmp_path / "medium")), "The DICOMDIR names it, but it is not there.")
    ]


def test_frames_of_nobody_are_not_imported(kept, tmp_path):
    folder = folder_of(tmp_path / "in", frames(2))
    with pytest.raises(OrderIncomplete, match="whose"):
        importing(kept, folder, order=Order())
    (folder / "capsule.json").write_text(json.dumps({"patient_id": "P7", "fps": 2}))
    assert importing(kept, folder, order=Order()).imported_count == 2
    assert kept.studies()[0].study.patient_id == "P7"


def test_an_order_beside_a_file_is_found(kept, tmp_path):
    (tmp_path / "v.avi").write_bytes(avi_of(frames(2)))
    (tmp_path / "v.json").write_text(json.dumps({"patient_id": "P8"}))
    importing(kept, tmp_path / "v.avi", order=Order())
    assert kept.studies()[0].study.patient_id == "P8"


def test_frames_never_join_another_patients_study(kept, tmp_path):
    order = ORDER.model_copy(update={"study_instance_uid": "1.2.3"})
    importing(kept, folder_of(tmp_path / "a", frames(1)), order=order)
    other = order.model_copy(update={"patient_id": "P2"})
    with pytest.raises(OrderIncomplete, match="another Patient ID"):
        importing(kept, folder_of(tmp_path / "b", frames(2)), order=other)


def test_a_folder_without_frames_says_so(kept, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("x")
    with pytest.raises(NothingToImport):
        importing(kept, tmp_path / "in")
    assert kept.studies() == []


def test_a_full_disk_interrupts_and_the_next_run_goes_on(tmp_path):
    folder = folder_of(tmp_path / "in", frames(3))
    full = Kept(tmp_path / "home", disk_refuse_bytes=1 << 60)
    with pytest.raises(Interrupted):
        importing(full, folder)
    full.ledger.dispose()
    roomy = Kept(tmp_path / "home")
    assert importing(roomy, folder).imported_count == 3
    roomy.ledger.dispose()


def command(kept, *words, environ):
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "import", *map(str, words)],
        env={**environ, "CAPSULE_HOME": str(kept.settings.home)},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_the_command_says_what_it_did_to_people_and_to_programs(kept, tmp_path, project_environ):
    folder = folder_of(tmp_path / "in", frames(3))
    code, out, _ = command(kept, folder, "--patient-id", "P1", "--json", environ=project_environ)
    assert (code, json.loads(out)["imported"]) == (0, 3)
    (folder / "frame9.png").write_bytes(b"junk")
    code, out, _ = command(kept, folder, "--patient-id", "P1", environ=project_environ)
    assert code == 1
    assert "0 of 4 imported" in out
    assert "frame9.png" in out
    code, out, _ = command(kept, tmp_path / "no", "--json", environ=project_environ)
    assert (code, json.loads(out)["error"]) == (2, "import.nothing")
    code, _, said = command(kept, folder, environ=project_environ)
    assert code == 2
    assert "--patient-id" in said


def test_a_zip_of_many_small_folders_is_one_recording(kept, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as made:
        for number in range(40):
            made.writestr(f"export/{number // 10:03d}/{number}.jpg", jpeg(number))
    importing(kept, tmp_path / "x.zip")
    assert kept.streams() == [jpeg(number) for number in range(40)]
