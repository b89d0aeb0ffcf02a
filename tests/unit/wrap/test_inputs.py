"""Whatever form a frame comes in, it becomes a frame of a legal part, in its colours."""

import hashlib
import struct
from datetime import timedelta

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames

from gateway.correcting import Warrant, correct_study
from gateway.dicom.storage_classes import EXPLICIT_LITTLE, MULTI_FRAME_TRUE_COLOR_SC
from gateway.errors import IntegrityError, NoFrames
from gateway.ledger.transitions import studies
from gateway.model import DerivedRole, FrameTreatment
from gateway.packs import manifest, reading
from tests import images
from tests.images import GREY_FORMS, LOSSLESS_FORMS, LOSSY_FORMS, REPAIRABLE_FORMS, picture
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

FORMS = {**LOSSLESS_FORMS, **LOSSY_FORMS}


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def wrapped(home, files, **settings):
    study = keep_study(home, [files], **settings)
    study.wrap()
    return study


def pictures_in(study):
    """Return all frames of all parts in RGB or grey, as their own JPEG streams show them."""
    found = []
    for path in study.paths():
        ds = dcmread(path)
        for stream in generate_frames(ds.PixelData, number_of_frames=ds.NumberOfFrames):
            shown = cv2.imdecode(np.frombuffer(stream, "u1"), cv2.IMREAD_UNCHANGED)
            found.append(shown[..., ::-1] if shown.ndim == 3 else shown)
    return found


def difference(one, other):
    return np.abs(one.astype(int) - other).mean()


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_colour_becomes_a_frame_in_its_colours(home, form):
    study = wrapped(home, [form(n, picture(n)) for n in (1, 2)])
    assert study.report["reencoded_count"] == study.report["frame_count"] == 2
    for number, shown in enumerate(pictures_in(study), 1):
        assert difference(shown, picture(number)) < 5  # wrong colours are tens away
    (path,) = study.paths()
    assert dcmread(path, stop_before_pixels=True).PhotometricInterpretation == "YBR_FULL_422"


@pytest.mark.parametrize("form", GREY_FORMS.values(), ids=GREY_FORMS)
def test_grey_stays_grey_and_white_stays_white(home, form):
    study = wrapped(home, [form(1, picture(1))])
    (shown,) = pictures_in(study)
    assert difference(shown, images.grey(picture(1))) < 2
    ds = dcmread(study.paths()[0])
    assert (ds.PhotometricInterpretation, ds.SamplesPerPixel) == ("MONOCHROME2", 1)
    assert "PlanarConfiguration" not in ds


def test_a_palette_is_looked_up(home):
    study = wrapped(home, [images.palette(1, picture(1))])
    (shown,) = pictures_in(study)
    assert difference(shown, images.palette_colours(picture(1))) < 3


@pytest.mark.parametrize("form", REPAIRABLE_FORMS.values(), ids=REPAIRABLE_FORMS)
def test_what_can_be_made_baseline_loses_nothing_and_stays_original(home, form):
    source = form(1, picture(1))
    study = wrapped(home, [source])
    (shown,) = pictures_in(study)
    expected = cv2.imdecode(np.frombuffer(images.compressed(picture(1)), "u1"), cv2.IMREAD_COLOR)
    assert np.array_equal(shown, expected[..., ::-1])
    ds = dcmread(study.paths()[0])
    assert list(ds.ImageType) == ["ORIGINAL", "PRIMARY"]
    assert "DerivationDescription" not in ds
    assert (study.report["repaired_count"], study.report["reencoded_count"]) == (1, 0)
    (line,) = manifest.lines(study.paths()[0])
    assert line.treatment != "unchanged"


def test_grey_jpeg_passes_through(home):
    stream = images.compressed(images.grey(picture(1)))
    study = wrapped(home, [file_of(data_set(1, Rows=48, PixelData=encapsulate([stream])))])
    ds = dcmread(study.paths()[0])
    assert next(generate_frames(ds.PixelData, number_of_frames=1)).startswith(stream)
    assert ds.PhotometricInterpretation == "MONOCHROME2"
    assert study.report["repaired_count"] == study.report["reencoded_count"] == 0


def test_a_frame_compressed_again_says_so(home):
    study = wrapped(home, [LOSSLESS_FORMS["RLE"](1, picture(1))])
    ds = dcmread(study.paths()[0])
    assert list(ds.ImageType) == ["DERIVED", "PRIMARY"]
    assert "quality 95" in ds.DerivationDescription
    assert ds.DerivationCodeSequence[0].CodeValue == "113040"
    assert (ds.LossyImageCompression, ds.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    purpose = ds.SourceImageSequence[0].PurposeOfReferenceCodeSequence[0]
    assert purpose.CodeMeaning == "Uncompressed predecessor"
    assert "1 compressed again" in ds.ContributingEquipmentSequence[-1].ContributionDescription


def test_every_lossy_step_has_its_ratio_and_method(home):
    study = wrapped(home, [LOSSY_FORMS["JPEG 2000, ICT"](1, picture(1))])
    ds = dcmread(study.paths()[0])
    assert list(ds.LossyImageCompressionMethod) == ["ISO_15444_1", "ISO_10918_1"]
    assert len(ds.LossyImageCompressionRatio) == 2
    purpose = ds.SourceImageSequence[0].PurposeOfReferenceCodeSequence[0]
    assert purpose.CodeValue == "121330"


def test_frames_of_different_histories_are_in_parts_of_their_own(home):
    files = [
        file_of(data_set(1, Rows=48, PixelData=encapsulate([images.compressed(picture(1))]))),
        LOSSLESS_FORMS["RLE"](2, picture(2)),
        LOSSY_FORMS["JPEG 2000, ICT"](3, picture(3)),
        REPAIRABLE_FORMS["progressive"](4, picture(4)),
        GREY_FORMS["MONOCHROME2"](5, picture(5)),
    ]
    study = wrapped(home, files)
    assert [row.frame_count for row in study.derived()] == [2, 1, 1, 1]
    kinds = [dcmread(path).ImageType[0] for path in study.paths()]
    assert kinds == ["ORIGINAL", "DERIVED", "DERIVED", "DERIVED"]


def test_lossless_images_can_be_kept_as_they_came(home):
    plain = LOSSLESS_FORMS["RGB"](1, picture(1))
    files = [plain, REPAIRABLE_FORMS["progressive"](2, picture(2))]
    study = wrapped(home, files, keep_lossless=True)
    (row,) = study.derived(DerivedRole.ORIGINAL)
    assert reading.read_range(home / row.storage_key, row.offset_bytes, row.size_bytes) == plain
    assert study.report["frame_count"] == 1


def multi_frame(streams, **changes):
    changes = {"NumberOfFrames": len(streams), "SOPClassUID": MULTI_FRAME_TRUE_COLOR_SC, **changes}
    return data_set(1, **{"PixelData": encapsulate(streams), **changes})


def streams_of(path):
    ds = dcmread(path)
    return list(generate_frames(ds.PixelData, number_of_frames=ds.NumberOfFrames))


def padded(stream):
    return stream + b"\0" * (len(stream) % 2)


def test_the_frames_of_a_multi_frame_instance_pass_through_bit_for_bit(home):
    streams = [jpeg(n) for n in range(1, 8)]
    steps = [0, 100, 200, 100, 400, 100, 100]
    study = wrapped(home, [file_of(multi_frame(streams, FrameTimeVector=steps))])
    (path,) = study.paths()
    assert streams_of(path) == [padded(one) for one in streams]
    ds = dcmread(path)
    assert [int(step) for step in ds.FrameTimeVector] == steps
    assert study.report["received_count"] == study.report["frame_count"] == 7
    assert study.report["gap_count"] == 0
    first, *_ = lines = list(manifest.lines(path))
    assert (first.source_sop_instance_uid, first.source_frame_number) == (f"{SERIES_UID}.1", 1)
    assert lines[3].elapsed_us == 400_000
    numbers = [item.ReferencedFrameNumber for item in ds.SourceImageSequence]
    assert numbers == [1, 7]


@pytest.mark.parametrize(
    ("said", "steps"),
    [
        ({"FrameTime": 250}, [0, 250, 250]),
        ({"CineRate": 4}, [0, 250, 250]),
        ({"FrameTimeVector": [0, 3]}, [0, 500, 500]),  # of another length: nobody knows
        ({}, [0, 500, 500]),
    ],
)
def test_frames_are_as_far_apart_as_their_instance_says(home, said, steps):
    study = wrapped(home, [file_of(multi_frame([jpeg(1), jpeg(2), jpeg(3)], **said))])
    ds = dcmread(study.paths()[0])
    assert [int(step) for step in ds.FrameTimeVector] == steps


def test_a_multi_frame_instance_without_a_date_still_says_how_far_its_frames_are_apart(home):
    none = {"AcquisitionDateTime": None, "ContentDate": None, "ContentTime": None}
    ds = multi_frame([jpeg(1), jpeg(2), jpeg(3)], FrameTime=100, **none)
    study = wrapped(home, [file_of(ds)])
    ds = dcmread(study.paths()[0])
    assert [int(step) for step in ds.FrameTimeVector] == [0, 100, 100]
    assert "AcquisitionDateTime" not in ds
    assert study.report["times_estimated"] is False


def test_bad_frames_of_a_multi_frame_instance_are_named_and_their_time_stays(home):
    streams = [jpeg(1), jpeg(2)[:-30], b"no jpeg at all", jpeg(4), jpeg(5, rows=32)]
    study = wrapped(home, [file_of(multi_frame(streams, FrameTime=100))])
    (path,) = study.paths()
    assert [int(step) for step in dcmread(path).FrameTimeVector] == [0, 300]
    assert study.report["excluded_count"] == 3
    assert study.report["received_count"] == 5
    assert {(note.code, note.reason.split(" cannot")[0]) for note in study.quarantine()} == {
        ("frame.truncated", "Frame 2 of the instance with Instance Number 1"),
        ("frame.corrupt", "Frame 3 of the instance with Instance Number 1"),
        ("frame.size-disagrees", "Frame 5 of the instance with Instance Number 1"),
    }


def test_frames_an_instance_says_it_has_and_has_not_are_told(home):
    study = wrapped(home, [file_of(multi_frame([jpeg(1), jpeg(2)], NumberOfFrames=55))])
    (note,) = study.quarantine()
    assert (note.code, study.report["frame_count"]) == ("frame.missing", 2)


@pytest.mark.parametrize("declared", [None, "0", "-4"])
def test_a_number_of_frames_that_is_none_is_counted(home, declared):
    ds = multi_frame([jpeg(1), jpeg(2)])
    del ds.NumberOfFrames
    if declared is not None:
        ds.NumberOfFrames = declared
    assert wrapped(home, [file_of(ds)]).report["frame_count"] == 2


def test_frames_in_several_fragments_are_joined(home):
    streams = [padded(jpeg(1)), padded(jpeg(2))]
    whole = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, 0) for _ in range(1))
    for stream in streams:
        for part in (stream[:300], stream[300:]):
            whole += struct.pack("<HHL", 0xFFFE, 0xE000, len(part)) + part
    whole += struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    study = wrapped(home, [file_of(multi_frame(streams, PixelData=whole))])
    assert streams_of(study.paths()[0]) == streams


def test_uncompressed_multi_frame_instances_are_read_frame_by_frame(home):
    shown = [picture(n) for n in (1, 2, 3)]
    content = images.instance(
        1, b"".join(one.tobytes() for one in shown), EXPLICIT_LITTLE, NumberOfFrames=3,
        SOPClassUID=MULTI_FRAME_TRUE_COLOR_SC, **images.RGB,
    )  # fmt: skip
    study = wrapped(home, [content])
    for found, expected in zip(pictures_in(study), shown, strict=True):
        assert difference(found, expected) < 3


def test_pixel_data_that_ends_early_is_told(home):
    content = images.instance(
        1, picture(1).tobytes(), EXPLICIT_LITTLE, NumberOfFrames=3,
        SOPClassUID=MULTI_FRAME_TRUE_COLOR_SC, **images.RGB,
    )  # fmt: skip
    study = wrapped(home, [content])
    assert study.report["frame_count"] == 1
    assert [note.code for note in study.quarantine()] == ["frame.missing"]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_damaged_bytes_are_a_named_fault_or_a_frame_and_never_a_crash(home, form):
    whole = form(1, picture(1))
    damaged = bytearray(whole)
    for at in range(len(whole) - 700, len(whole) - 20, 7):
        damaged[at] ^= 0x5A
    try:
        study = wrapped(home, [file_of(data_set(9)), bytes(damaged)])
    except NoFrames as error:
        pytest.fail(str(error))
    report = study.report
    told = report["frame_count"] + report["excluded_count"] + report["original_count"]
    assert told == report["received_count"] == 2


def test_an_instance_none_of_whose_frames_can_be_shown_says_why(home):
    study = keep_study(home, [[file_of(multi_frame([jpeg(1), jpeg(2)], Rows=512))]])
    with pytest.raises(NoFrames, match="2: the JPEG stream has another size"):
        study.wrap()
    assert [note.code for note in study.quarantine()] == ["frame.size-disagrees"]


def legal_video(**changes):
    """Return the part of another gateway, as a source may send it."""
    said = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.1.1",
        "FrameIncrementPointer": 0x00181065,
        "FrameTimeVector": [0, 500, 500],
        "AnatomicRegionSequence": [data_set(1)[0:0x00080019]],
        "AcquisitionContextSequence": [],
        "PatientOrientation": "",
        "ImageLaterality": "U",
        "LossyImageCompressionRatio": "12",
        "LossyImageCompressionMethod": "ISO_10918_1",
        **changes,
    }
    return multi_frame([padded(jpeg(n)) for n in (1, 2, 3)], **said)


def test_a_legal_video_is_delivered_untouched_under_its_own_uid(home):
    source = file_of(legal_video())
    study = wrapped(home, [source])
    (row,) = study.derived()
    assert study.paths()[0].read_bytes() == source
    assert (row.sop_instance_uid, row.frame_count) == (f"{SERIES_UID}.1", 3)
    assert row.series_instance_uid == SERIES_UID
    assert (study.report["frame_count"], study.report["parts"]) == (3, 1)
    lines = list(manifest.lines(study.paths()[0]))
    assert [line.digest for line in lines] == [
        hashlib.sha256(padded(jpeg(n))).hexdigest() for n in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"FrameTime": 500},
        {"FrameTimeVector": [5, 500, 500]},
        {"FrameTimeVector": [0, 500]},
        {"PhotometricInterpretation": "RGB"},
        {"SpecificCharacterSet": "GB18030"},
        {"AnatomicRegionSequence": None},
        {"Modality": "OT"},
        {"ImageLaterality": None},
    ],
    ids=str,
)
def test_a_video_that_is_not_quite_legal_is_wrapped_anew(home, changes):
    ds = legal_video()
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
        if value is None:
            delattr(ds, keyword)
    study = wrapped(home, [file_of(ds)])
    (path,) = study.paths()
    assert dcmread(path).SOPInstanceUID != f"{SERIES_UID}.1"
    assert streams_of(path) == [padded(jpeg(n)) for n in (1, 2, 3)]


def test_a_legal_video_of_a_patient_who_was_corrected_is_wrapped_anew(home):
    study = wrapped(home, [file_of(legal_video())])
    finish(study)
    warrant = Warrant("admin", "wrong worklist entry", clock())
    correct_study(study.ledger, "default", study.study_id, {"PatientID": "P2"}, warrant)
    study.wrap()
    (path,) = study.paths()
    ds = dcmread(path)
    assert (ds.PatientID, ds.SOPInstanceUID != f"{SERIES_UID}.1") == ("P2", True)
    assert streams_of(path) == [padded(jpeg(n)) for n in (1, 2, 3)]


def finish(study):
    attempt = study.claim()
    with study.ledger.transaction() as session:
        studies.finish_summary(session, study.study_id, attempt, [], [], now=clock())


def test_the_same_input_gives_the_same_bytes_however_often(home, tmp_path):
    files = [form(n, picture(n)) for n, form in enumerate(FORMS.values(), 1)]
    study = keep_study(home, [files], part_frames_max=5)
    study.wrap()
    before = {path.name: path.read_bytes() for path in study.paths()}
    for path in study.paths()[::2]:
        path.unlink()
    study.start_again()
    study.wrap()
    assert {path.name: path.read_bytes() for path in study.paths()} == before
    assert list(study.settings.derived_dir.rglob("*.draft")) == []


def test_a_wrap_that_dies_while_frames_are_treated_is_finished_by_the_next_attempt(home):
    files = [form(n, picture(n)) for n, form in enumerate(FORMS.values(), 1)]
    packs = [files, [images.palette(50, picture(5))]]
    counting = DyingClock(0)
    keep_study(home / "counted", packs).wrap(now=counting)
    study = keep_study(home, packs, attempts_max=20)
    for dies_at in range(2, counting.calls, counting.calls // 8):
        with pytest.raises(Killed):
            study.wrap(study.claim(clock() + timedelta(hours=dies_at)), now=DyingClock(dies_at))
        assert study.derived() == []
    study.wrap(study.claim(clock() + timedelta(days=9)))
    assert study.report["frame_count"] == len(files) + 1
    assert list(study.settings.derived_dir.rglob("*.draft")) == []


def test_a_pack_that_changed_is_found_before_its_frames_are_changed(home):
    study = keep_study(home, [[LOSSLESS_FORMS["RGB"](1, picture(1))]])
    (tar,) = study.settings.packs_dir.rglob("*.tar")
    damaged = bytearray(tar.read_bytes())
    damaged[-5_000] ^= 1
    tar.write_bytes(damaged)
    with pytest.raises(IntegrityError, match=f"no longer holds instance {SERIES_UID}.1"):
        study.wrap()
    assert list(study.settings.derived_dir.rglob("*.d*")) == []


def test_an_identical_resend_of_any_form_changes_nothing(home):
    files = [form(n, picture(n)) for n, form in enumerate(FORMS.values(), 1)]
    study = wrapped(home, files)
    before = {row.sop_instance_uid: row.digest for row in study.derived()}
    keep_pack(study, files)
    settle(study)
    study.wrap()
    assert {row.sop_instance_uid: row.digest for row in study.derived()} == before
    assert study.report["duplicate_count"] == len(files)


def test_a_frame_that_comes_late_changes_its_own_part_only(home):
    files = [file_of(data_set(n)) for n in range(1, 41) if n != 13]
    study = wrapped(home, files, part_frames_max=10)
    before = [row.sop_instance_uid for row in study.derived()]
    keep_pack(study, [file_of(data_set(13))])
    settle(study)
    study.wrap()
    after = [row.sop_instance_uid for row in study.derived()]
    assert [one == other for one, other in zip(before, after, strict=True)] == [
        True, False, True, True,
    ]  # fmt: skip
    assert study.report["missing_count"] == 0


ALL = {**FORMS, **GREY_FORMS, **REPAIRABLE_FORMS}


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(ALL)), st.sampled_from([1, 2]), st.booleans()),
        min_size=1,
        max_size=10,
    )
)
def test_any_mixture_of_inputs_gives_legal_parts_that_hold_every_frame(tmp_path_factory, chosen):
    files = []
    for number, (name, camera, damaged) in enumerate(chosen, 1):
        content = ALL[name](number, picture(number))
        if camera == 2:
            content = content.replace(SERIES_UID.encode(), SERIES_UID[:-1].encode() + b"2")
        files.append(content[: len(content) - 400] + bytes(400) if damaged else content)
    packs = {}
    for content in files:
        packs.setdefault(SERIES_UID.encode() in content, []).append(content)
    study = keep_study(tmp_path_factory.mktemp("mixture") / "home", list(packs.values()))
    try:
        study.wrap()
    except NoFrames:
        assert all(damaged for _, _, damaged in chosen)
        return
    report = study.report
    told = report["frame_count"] + report["excluded_count"] + report["original_count"]
    assert told == report["received_count"] == len(files)
    for path in study.paths():
        ds = dcmread(path)
        shapes = {
            cv2.imdecode(np.frombuffer(one, "u1"), cv2.IMREAD_UNCHANGED).shape
            for one in streams_of(path)
        }
        expected = (ds.Rows, ds.Columns) + ((3,) if ds.SamplesPerPixel == 3 else ())
        assert shapes == {expected}
        assert (
            len(ds.get("FrameTimeVector")) == ds.NumberOfFrames if ds.NumberOfFrames > 1 else True
        )


def test_the_words_of_a_treatment_name_all_that_was_done():
    both = FrameTreatment.JOINED | FrameTreatment.TABLES_INSERTED
    assert both.in_words == "fragments joined, Huffman tables inserted"
    assert FrameTreatment.NONE.in_words == "unchanged"
