"""The whole step over real packs and a real ledger: bit for bit, once, whatever happens between."""

import hashlib
import json
from datetime import timedelta

import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames

from gateway.dicom.storage_classes import EXPLICIT_LITTLE
from gateway.errors import IntegrityError, NoFrames, StaleTransition, StorageUnavailable
from gateway.model import DerivedRole, Disposition, StudyState
from gateway.packs import reading
from gateway.packs.multiframe import MultiFrameFile
from gateway.preflight.check import check
from tests.instances import SERIES_UID, data_set, jpeg
from tests.kept_studies import (
    DyingClock,
    Killed,
    clock,
    file_of,
    keep_pack,
    keep_study,
    settle,
)


def frame_file(number, **changes):
    return file_of(data_set(number, **changes))


def frame_files(numbers):
    return [frame_file(number) for number in numbers]


def frames_in(path):
    file = MultiFrameFile(path)
    try:
        return [file.read_frame(index) for index in range(file.frame_count)]
    finally:
        file.close()


def padded(stream):
    return stream + b"\0" * (len(stream) % 2)


def all_frames(study):
    return [frame for path in study.paths() for frame in frames_in(path)]


def files(study):
    return {path.name: path.read_bytes() for path in study.paths()}


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def test_every_received_frame_is_in_the_parts_bit_for_bit_and_in_order(home):
    packs = [frame_files([7, 1, 3]), frame_files([2, 6, 5, 4])]
    study = keep_study(home, packs, part_frames_max=3)
    study.wrap()
    assert all_frames(study) == [padded(jpeg(number)) for number in range(1, 8)]
    assert [row.frame_count for row in study.derived()] == [3, 3, 1]
    assert [row.number for row in study.derived()] == [1, 2, 3]
    assert study.row.state is StudyState.SUMMARISING


def test_the_recorded_digest_and_size_are_those_of_the_file(home):
    study = keep_study(home, [frame_files([1, 2])])
    study.wrap()
    (row,), (path,) = study.derived(), study.paths()
    content = path.read_bytes()
    assert (row.size_bytes, row.digest) == (len(content), hashlib.sha256(content).hexdigest())
    assert path.name == f"{row.sop_instance_uid}.dcm" == f"{dcmread(path).SOPInstanceUID}.dcm"
    assert row.first_frame_at == "2026-03-01T08:00:00.500000"


def test_a_standard_reader_agrees_about_header_and_frames(home):
    study = keep_study(home, [frame_files(range(1, 5))])
    study.wrap()
    ds = dcmread(study.paths()[0])
    assert list(generate_frames(ds.PixelData, number_of_frames=4)) == all_frames(study)
    assert [int(step) for step in ds.FrameTimeVector] == [0, 500, 500, 500]
    assert ds.pixel_array.shape == (4, 64, 64, 3)


def test_the_report_counts_everything_that_came(home):
    members = [
        *frame_files([1, 2, 3, 4]),
        frame_file(6, Rows=32, PixelData=encapsulate([jpeg(6, rows=32)])),
        frame_file(7, PixelData=encapsulate([jpeg(7)[:-40]])),
        frame_file(8, Rows=128),
        frame_file(9, PixelData=encapsulate([b"no jpeg at all  "])),
        *frame_files([20, 21]),
    ]
    again = [frame_file(2), frame_file(3, PatientID="P2")]
    study = keep_study(home, [members, again])
    study.wrap()
    report = study.report
    assert json.loads(json.dumps(report)) == report
    assert {name: value for name, value in report.items() if name != "duration_s"} == {
        "frame_count": 7,
        "received_count": 12,
        "duplicate_count": 1,
        "excluded_count": 3,
        "conflict_count": 1,
        "original_count": 0,
        "set_apart_count": 1,
        "repaired_count": 0,
        "reencoded_count": 0,
        "gap_count": 2,
        "missing_count": 11,
        "gaps": [
            {"recording": 1, "after_frame_number": 4, "missing_count": 1, "duration_ms": 1000},
            {"recording": 1, "after_frame_number": 5, "missing_count": 10, "duration_ms": 7000},
        ],
        "clock_set_back_count": 0,
        "times_estimated": False,
        "corrected_attributes": [],
        "parts": 2,
    }
    assert report["duration_s"] == 10
    notes = study.quarantine()
    assert {(note.code, note.sop_instance_uid, note.disposition) for note in notes} == {
        ("frame.other-size", f"{SERIES_UID}.6", Disposition.SET_APART),
        ("frame.truncated", f"{SERIES_UID}.7", Disposition.EXCLUDED),
        ("frame.size-disagrees", f"{SERIES_UID}.8", Disposition.EXCLUDED),
        ("frame.corrupt", f"{SERIES_UID}.9", Disposition.EXCLUDED),
        ("frame.conflict", f"{SERIES_UID}.3", Disposition.EXCLUDED),
    }  # fmt: skip


def test_of_conflicting_instances_the_first_kept_is_delivered(home):
    other = frame_file(1, PixelData=encapsulate([jpeg(99)]))
    study = keep_study(home, [frame_files([1]), [other]])
    study.wrap()
    assert all_frames(study) == [padded(jpeg(1))]


def test_what_holds_no_frames_is_delivered_as_it_came(home):
    report = data_set(5, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", Modality="SR")
    for keyword in ("PixelData", "Rows", "Columns"):
        delattr(report, keyword)
    original = file_of(report, EXPLICIT_LITTLE)
    study = keep_study(home, [[frame_file(1), original]])
    study.wrap()
    (row,) = study.derived(DerivedRole.ORIGINAL)
    stored = reading.read_range(home / row.storage_key, row.offset_bytes, row.size_bytes)
    assert stored == original
    assert row.digest == hashlib.sha256(original).hexdigest()
    assert (row.number, row.frame_count, row.transfer_syntax_uid) == (5, 0, EXPLICIT_LITTLE)
    assert row.series_instance_uid == SERIES_UID
    assert study.report["original_count"] == 1


def test_images_no_endoscope_makes_are_delivered_as_they_came_with_their_frames(home):
    many = data_set(2, NumberOfFrames=3, PixelData=encapsulate([jpeg(1), jpeg(2), jpeg(3)]))
    many.SOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"  # Ultrasound Multi-frame
    study = keep_study(home, [[file_of(many)]])
    study.wrap()
    assert [row.frame_count for row in study.derived(DerivedRole.ORIGINAL)] == [3]
    assert study.derived() == []


def test_two_cameras_become_two_series(home):
    second = f"{SERIES_UID}2"
    other = [
        frame_file(number, SeriesInstanceUID=second, SOPInstanceUID=f"{second}.{number}")
        for number in (1, 2)
    ]
    study = keep_study(home, [frame_files([1, 2]), other])
    study.wrap()
    assert len({row.series_instance_uid for row in study.derived()}) == 2
    assert [dcmread(path).SeriesNumber for path in study.paths()] == [1, 2]
    assert study.report["gap_count"] == 0


def test_nothing_that_can_be_shown_is_an_error_for_an_operator(home):
    study = keep_study(home, [[frame_file(1, PixelData=encapsulate([b"no jpeg at all  "]))]])
    with pytest.raises(NoFrames):
        study.wrap()
    assert study.row.state is StudyState.WRAPPING


def test_frames_without_times_are_reported_as_estimated(home):
    none = {"AcquisitionDateTime": None, "ContentDate": None, "ContentTime": None}
    study = keep_study(home, [[frame_file(number, **none) for number in (1, 2, 3)]])
    study.wrap()
    assert study.report["times_estimated"] is True
    ds = dcmread(study.paths()[0])
    assert (ds.ContentDate, ds.ContentTime) == ("20260301", "080000.000000")  # of the study
    assert study.derived()[0].first_frame_at == ""


def test_wrapping_again_gives_the_same_uids_and_bytes_and_writes_nothing(home):
    study = keep_study(home, [frame_files(range(1, 8))], part_frames_max=3)
    study.wrap()
    before = files(study)
    written_at = {path: path.stat().st_mtime_ns for path in study.paths()}
    study.start_again()
    study.wrap()
    assert files(study) == before
    assert {path: path.stat().st_mtime_ns for path in study.paths()} == written_at
    assert study.row.revision == 2
    assert len(study.derived()) == 3


def test_lost_files_are_made_again_as_they_were(home):
    study = keep_study(home, [frame_files(range(1, 8))], part_frames_max=3)
    study.wrap()
    before = files(study)
    paths = study.paths()
    paths[0].unlink()
    damaged = bytearray(paths[1].read_bytes())
    damaged[-100] ^= 1
    paths[1].write_bytes(damaged)
    paths[2].write_bytes(paths[2].read_bytes()[:-10])
    study.start_again()
    study.wrap()
    assert files(study) == before


def test_a_wrap_that_dies_at_any_frame_is_finished_by_the_next_attempt(home, tmp_path):
    calls = count_calls(keep_study(home, [frame_files(range(1, 8))], part_frames_max=3))
    whole = None
    for dies_at in range(1, calls + 1, 3):
        study = keep_study(
            tmp_path / f"home{dies_at}", [frame_files(range(1, 8))], part_frames_max=3
        )
        set_received_at(study)
        attempt = study.claim()
        with pytest.raises(Killed):
            study.wrap(attempt, now=DyingClock(dies_at))
        assert study.derived() == []
        study.wrap(study.claim(clock() + timedelta(hours=1)))
        assert list(study.settings.derived_dir.rglob("*.draft")) == []
        whole = whole or files(study)
        assert files(study) == whole
    assert all_frames(study) == [padded(jpeg(number)) for number in range(1, 8)]


def count_calls(study):
    counting = DyingClock(0)
    study.wrap(now=counting)
    return counting.calls


def set_received_at(study):
    """Give studies of several homes the same first instance time: it is part of their bytes."""
    with study.ledger.transaction() as session:
        row = session.get(type(study.row), study.study_id)
        row.received_at = clock().replace(year=2026, month=3, day=2, hour=0, minute=0, second=0)


def test_a_late_frame_makes_new_parts_where_something_changed_and_keeps_the_others(home):
    study = keep_study(home, [frame_files(range(1, 11))], part_frames_max=5)
    study.wrap()
    first, second = study.derived()
    keep_pack(study, frame_files([11]))
    settle(study)
    study.wrap()
    current = study.derived()
    assert current[0].sop_instance_uid == first.sop_instance_uid
    assert second.sop_instance_uid in {row.sop_instance_uid for row in current}
    assert sum(row.frame_count for row in current) == 11
    assert study.row.revision == 2


def test_a_frame_that_changed_on_disk_stops_the_wrap_and_leaves_no_file(home):
    study = keep_study(home, [frame_files([1, 2, 3])])
    (tar,) = study.settings.packs_dir.rglob("*.tar")
    damaged = bytearray(tar.read_bytes())
    damaged[damaged.index(jpeg(2)) + 300] ^= 1
    tar.write_bytes(damaged)
    with pytest.raises(IntegrityError, match=rf"pack .* {SERIES_UID}\.2 "):
        study.wrap()
    assert list(study.settings.derived_dir.rglob("*.dcm*")) == []
    assert study.derived() == []


def test_a_pack_that_was_cut_off_stops_the_wrap(home):
    study = keep_study(home, [frame_files([1, 2, 3])])
    (tar,) = study.settings.packs_dir.rglob("*.tar")
    tar.write_bytes(tar.read_bytes()[:5_000])
    with pytest.raises(IntegrityError):
        study.wrap()


def test_a_directory_that_cannot_be_written_is_told_as_a_storage_error(home):
    study = keep_study(home, [frame_files([1])])
    study.settings.derived_dir.write_text("in the way")
    with pytest.raises(StorageUnavailable):
        study.wrap()


class PassingClock:
    """A clock that goes on a second with every look."""

    def __init__(self):
        self.at = clock()

    def __call__(self):
        self.at += timedelta(seconds=1)
        return self.at


def test_the_lease_is_renewed_while_frames_are_written(home):
    study = keep_study(home, [frame_files(range(1, 40))], lease_s=9)
    passing = PassingClock()
    attempt = study.claim(passing())
    began = study.row.lease_until
    ends = []

    def now():
        ends.append(study.row.lease_until)
        at = passing()
        # Whoever looks at the ledger never finds the lease run out.
        assert ends[-1] is None or ends[-1] > at
        return at

    study.wrap(attempt, now=now)
    renewed = {end for end in ends if end is not None and end > began}
    assert len(renewed) > 5


def test_a_worker_that_lost_its_lease_stops_and_records_nothing(home):
    study = keep_study(home, [frame_files(range(1, 8))])
    old = study.claim()
    new = study.claim(clock() + timedelta(hours=1))
    with pytest.raises(StaleTransition):
        study.wrap(old)
    assert study.derived() == []
    study.wrap(new)
    assert len(study.derived()) == 1


def test_the_same_message_twice_changes_nothing_the_second_time(home):
    study = keep_study(home, [frame_files([1, 2])])
    attempt = study.claim()
    study.wrap(attempt)
    with pytest.raises(StaleTransition):
        study.wrap(attempt)
    assert study.row.lease_until is None
    assert len(study.derived()) == 1


def test_what_a_source_says_of_its_pixels_stays_true_of_the_part(home):
    profile = b"\x00\x00\x02\x00" + b"icc profile of a camera".ljust(508)
    said = {
        "ImageType": ["DERIVED", "PRIMARY"], "LossyImageCompression": "01",
        "LossyImageCompressionRatio": ["12", "20"], "ICCProfile": profile, "ColorSpace": "SRGB",
        "LossyImageCompressionMethod": ["ISO_15444_1", "ISO_10918_1"],
    }  # fmt: skip
    study = keep_study(home, [[frame_file(number, **said) for number in range(1, 4)]])
    study.wrap()
    (path,) = study.paths()
    ds = dcmread(path)
    assert ds.ImageType[0] == "DERIVED"
    assert ds.LossyImageCompressionMethod == ["ISO_15444_1", "ISO_10918_1"]
    assert ds.LossyImageCompressionRatio[0] == 12
    assert (ds.ICCProfile, ds.ColorSpace) == (profile, "SRGB")
    assert check(path).passed


def test_a_source_that_contradicts_itself_is_not_repeated(home):
    said = {"LossyImageCompressionRatio": ["12", "20", "3"], "ImageType": ""}
    study = keep_study(home, [[frame_file(number, **said) for number in range(1, 4)]])
    study.wrap()
    ds = dcmread(study.paths()[0])
    assert ds.LossyImageCompressionMethod == "ISO_10918_1"
    assert ds.ImageType[0] == "ORIGINAL"
