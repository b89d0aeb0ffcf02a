"""The whole step over wrapped studies and a real ledger."""

import hashlib
from datetime import timedelta

import cv2
import numpy as np
import pytest
from pydicom.encaps import generate_frames

from gateway.dicom.storage_classes import (
    COMPREHENSIVE_SR,
    EXPLICIT_LITTLE,
    KEY_OBJECT_SELECTION,
    SECONDARY_CAPTURE,
    VIDEO_ENDOSCOPIC,
    VL_ENDOSCOPIC,
)
from gateway.errors import IntegrityError, ObjectMissing, StaleTransition
from gateway.ledger.transitions import studies
from gateway.model import DerivedRole, KeyFrameReason, StudyState
from tests.instances import SERIES_UID, STUDY_UID, data_set
from tests.kept_studies import clock, file_of, keep_pack, settle
from tests.summaries import (
    STARTED_AT,
    key_frames,
    made,
    path_of,
    read,
    received,
    run,
    wrapped_study,
)
from tests.unit.summary.pictures import bloody, foam, jpeg, mucosa
from workers.summarising import FEATURES_FILE
from workers.summary.features import FEATURES

SIDE = 128


def streams(count=24, *, first=0):
    return [jpeg(mucosa(n, depth=0.4, side=SIDE)) for n in range(first, first + count)]


@pytest.fixture
def study(tmp_path):
    """24 frames in three parts; the budget asks for less."""
    packs = [received(streams())]
    return wrapped_study(tmp_path / "home", packs, part_frames_max=10, key_frames=8)


def frame_of(ds):
    (fragment,) = generate_frames(ds.PixelData, number_of_frames=1)
    return fragment


def test_a_summarised_study_is_ready_and_has_every_kind_of_summary_object(study):
    run(study)
    assert study.row.state is StudyState.READY
    assert 1 <= len(key_frames(study)) <= 8
    kinds = {row.role: (row.sop_class_uid, row.frame_count) for row in made(study)}
    assert kinds == {
        DerivedRole.KEY_FRAME: (VL_ENDOSCOPIC, 1),
        DerivedRole.CONTACT_SHEET: (SECONDARY_CAPTURE, 1),
        DerivedRole.KEY_OBJECTS: (KEY_OBJECT_SELECTION, 0),
        DerivedRole.REPORT: (COMPREHENSIVE_SR, 0),
        DerivedRole.PREVIEW: (VIDEO_ENDOSCOPIC, len(key_frames(study))),
    }


def test_what_is_recorded_of_a_file_is_what_lies_there(study):
    run(study)
    for row in made(study):
        content = path_of(study, row).read_bytes()
        assert (row.size_bytes, row.digest) == (len(content), hashlib.sha256(content).hexdigest())
        ds = read(study, row)
        assert ds.SOPInstanceUID == row.sop_instance_uid == path_of(study, row).stem
        assert ds.file_meta.TransferSyntaxUID == row.transfer_syntax_uid
        assert (ds.SeriesInstanceUID, ds.InstanceNumber) == (row.series_instance_uid, row.number)
    assert {row.transfer_syntax_uid for row in study.derived(DerivedRole.KEY_OBJECTS)} == {
        EXPLICIT_LITTLE
    }


def test_the_bytes_of_a_key_frame_are_those_that_were_received(study):
    sent = [stream + b"\0" * (len(stream) % 2) for stream in streams()]
    run(study)
    for row, key_frame in zip(study.derived(DerivedRole.KEY_FRAME), key_frames(study), strict=True):
        assert frame_of(read(study, row)) == sent[key_frame.recording_frame_number - 1]


def test_a_key_frame_says_where_and_when_it_was_taken(study):
    run(study)
    parts = {row.id: row for row in study.derived()}
    for row, key_frame in zip(study.derived(DerivedRole.KEY_FRAME), key_frames(study), strict=True):
        ds, part = read(study, row), parts[key_frame.part_derived_id]
        (source,) = ds.SourceImageSequence
        assert source.ReferencedSOPClassUID == VIDEO_ENDOSCOPIC
        assert source.ReferencedSOPInstanceUID == part.sop_instance_uid
        assert source.ReferencedFrameNumber == key_frame.frame_number
        before = 10 * (part.number - 1)
        assert key_frame.recording_frame_number == before + key_frame.frame_number
        assert key_frame.elapsed_ms == 500 * (key_frame.recording_frame_number - 1)
        at = STARTED_AT + timedelta(milliseconds=key_frame.elapsed_ms)
        assert ds.AcquisitionDateTime == f"{at:%Y%m%d%H%M%S.%f}"
        assert (ds.ContentDate, ds.ContentTime) == (f"{at:%Y%m%d}", f"{at:%H%M%S.%f}")
        assert row.first_frame_at == at.isoformat(timespec="microseconds")
        seconds = key_frame.elapsed_ms // 1000
        words = f"Frame {key_frame.recording_frame_number}, +00:00:{seconds:02}"
        assert ds.ImageComments == f"{words}, {key_frame.reason}"
    ranks = [key_frame.rank for key_frame in key_frames(study)]
    assert ranks == list(range(1, len(ranks) + 1))


def test_summary_objects_belong_to_the_patient_and_the_study_but_not_to_its_series(study):
    run(study)
    numbers = {900: "KO", 901: "ES", 902: "ES", 903: "ES", 904: "SR"}
    for row in made(study):
        ds = read(study, row)
        assert ds.StudyInstanceUID == STUDY_UID
        assert str(ds.PatientName) == "Wang^XiaoDong=王^小东"
        assert (ds.PatientID, ds.AccessionNumber, ds.Manufacturer) == ("P1", "ACC1", "TESTMAKER")
        assert ds.SpecificCharacterSet == "ISO_IR 192"
        assert ds.Modality == numbers.pop(ds.SeriesNumber, ds.Modality)
        assert ds.SeriesInstanceUID != SERIES_UID
    assert numbers == {}
    assert len({row.series_instance_uid for row in made(study)}) == 5


def test_the_features_of_every_frame_lie_beside_the_objects(study):
    run(study)
    path = study.settings.derived_dir / STUDY_UID / FEATURES_FILE
    features = np.load(path)
    assert features.dtype == FEATURES
    assert features["usable"].sum() == 24


def test_summarising_again_gives_the_same_uids_and_bytes(study):
    run(study)
    first = {row.sop_instance_uid: row.digest for row in made(study)}
    files = {path: path.read_bytes() for path in study.settings.derived_dir.glob("*/*.*")}
    for path in files:
        path.unlink()
    with study.ledger.transaction() as session:
        studies.retry(session, study.study_id, now=clock(), actor="test")
    study.wrap()
    run(study)
    assert {row.sop_instance_uid: row.digest for row in made(study)} == first
    assert {path: path.read_bytes() for path in files} == files


def test_a_corrected_patient_id_gives_other_uids_everywhere(tmp_path):
    """Archives keep the first object of a UID: the same one under another patient is lost."""
    uids = []
    for patient_id in ("P1", "P2"):
        packs = [received(streams(), PatientID=patient_id)]
        study = wrapped_study(tmp_path / patient_id, packs)
        run(study)
        uids.append({row.sop_instance_uid for row in made(study)})
    assert uids[0].isdisjoint(uids[1])


def test_a_late_frame_gives_a_new_selection_and_supersedes_what_it_no_longer_holds(study):
    run(study)
    before = {row.sop_instance_uid for row in made(study)}
    late = list(received(streams(30)))[24:]
    keep_pack(study, late)
    settle(study)
    study.wrap()
    run(study)
    after = {row.sop_instance_uid for row in made(study)}
    assert study.row.revision == 2
    assert key_frames(study)[-1].recording_frame_number <= 30
    assert len(study.derived(DerivedRole.KEY_OBJECTS)) == 1
    assert before != after


def test_unusable_frames_are_no_key_frames_and_blood_is(tmp_path):
    pictures = [mucosa(n, depth=0.4) for n in range(20)]
    pictures[3:9] = [foam(n) for n in range(6)]
    pictures[14] = bloody(14)
    packs = [received([jpeg(one) for one in pictures])]
    study = wrapped_study(tmp_path / "home", packs, key_frames=10)
    run(study)
    reasons = {one.recording_frame_number: one.reason for one in key_frames(study)}
    assert not set(range(4, 10)) & set(reasons)
    assert reasons[15] is KeyFrameReason.POSSIBLE_BLOOD


def test_a_study_without_frames_to_wrap_becomes_ready_without_key_frames(tmp_path):
    ds = data_set(1, PhotometricInterpretation="RGB", LossyImageCompression=None)
    ds.PixelData = bytes(64 * 64 * 3)
    ds["PixelData"].is_undefined_length = False
    content = file_of(ds, EXPLICIT_LITTLE)
    study = wrapped_study(tmp_path / "home", [[content]], keep_lossless=True)
    run(study)
    assert study.row.state is StudyState.READY
    assert made(study) == []
    assert len(study.derived(DerivedRole.ORIGINAL)) == 1


def test_two_cameras_are_one_summary_in_the_order_of_the_clock(tmp_path):
    second = f"{SERIES_UID}.2"
    packs = [
        received(streams(20)),
        received(streams(20, first=20), series_instance_uid=second, SeriesNumber=2),
    ]
    study = wrapped_study(tmp_path / "home", packs, key_frames=10)
    run(study)
    shown = key_frames(study)
    assert [one.elapsed_ms for one in shown] == sorted(one.elapsed_ms for one in shown)
    assert len({one.part_derived_id for one in shown}) == 2
    assert all(one.elapsed_ms == 500 * (one.recording_frame_number - 1) for one in shown)


def test_frames_of_another_size_are_looked_at_as_well(tmp_path):
    small, large = streams(12), [jpeg(mucosa(n, depth=0.4, side=256)) for n in range(50, 62)]
    study = wrapped_study(tmp_path / "home", [received(small + large)], key_frames=20)
    run(study)
    sizes = {read(study, row).Rows for row in study.derived(DerivedRole.KEY_FRAME)}
    assert sizes == {SIDE, 256}


def test_many_key_frames_share_several_contact_sheets(tmp_path):
    packs = [received(streams(60))]
    study = wrapped_study(tmp_path / "home", packs, key_frames=60)
    run(study)
    sheets = [read(study, row) for row in study.derived(DerivedRole.CONTACT_SHEET)]
    shown = [item.ReferencedSOPInstanceUID for ds in sheets for item in ds.SourceImageSequence]
    assert len(sheets) == 2
    assert shown == [row.sop_instance_uid for row in study.derived(DerivedRole.KEY_FRAME)]
    for ds in sheets:
        assert max(ds.Rows, ds.Columns) <= 4096
        picture = cv2.imdecode(np.frombuffer(frame_of(ds), np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (ds.Rows, ds.Columns, 3)


def test_the_lease_is_renewed_at_least_every_third_of_it(study):
    """A clock that moves a second with every look at it, and a lease of 30 seconds."""
    study.settings = study.settings.model_copy(update={"lease_s": 30.0})
    attempt, start, looks, left = study.claim(), clock(), 0, []

    def slow_clock():
        nonlocal looks
        looks += 1
        at = start + timedelta(seconds=looks)
        lease_until = study.row.lease_until
        if lease_until is not None and looks > 2:
            left.append((lease_until - at).total_seconds())
        return at

    run(study, attempt, now=slow_clock)
    files = len(made(study)) + 2
    assert len(left) >= 24 + 2 * files  # it looks at every frame, and at every file twice
    assert min(left) >= 30 * 2 / 3 - 2


def test_a_worker_that_lost_its_lease_stops_records_nothing_and_leaves_no_drafts(study):
    stale = study.claim()
    study.claim(now=clock() + timedelta(hours=1))
    with pytest.raises(StaleTransition):
        run(study, stale)
    assert made(study) == []
    assert list(study.settings.derived_dir.rglob("*.draft")) == []


def test_a_lease_lost_while_looking_leaves_no_files(study):
    attempt, start, looks = study.claim(), clock(), 0

    def clock_of_a_stalled_worker():
        nonlocal looks
        looks += 1
        if looks == 10:
            study.claim(now=start + timedelta(hours=2))
        return start + timedelta(hours=looks >= 10)

    with pytest.raises(StaleTransition):
        run(study, attempt, now=clock_of_a_stalled_worker)
    files = {path.name for path in study.settings.derived_dir.rglob("*") if path.is_file()}
    assert files == {path.name for path in study.paths()}
    assert study.row.state is StudyState.SUMMARISING


def test_the_same_message_twice_changes_nothing_the_second_time(study):
    attempt = study.claim()
    run(study, attempt)
    before = [row.id for row in made(study)]
    with pytest.raises(StaleTransition):
        run(study, attempt)
    assert [row.id for row in made(study)] == before


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda path: path.unlink(), ObjectMissing),
        (lambda path: path.write_bytes(path.read_bytes()[:4000]), IntegrityError),
    ],
    ids=["missing", "cut off"],
)
def test_a_part_that_is_not_there_any_more_is_told_as_such(study, damage, error):
    damage(study.paths()[1])
    with pytest.raises(error):
        run(study)
    assert made(study) == []
