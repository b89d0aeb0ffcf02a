"""The summary objects by themselves: what they say, and what does not fit on a sheet."""

from datetime import UTC, datetime

import cv2
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO

from gateway.dicom.storage_classes import VIDEO_ENDOSCOPIC, VL_ENDOSCOPIC
from gateway.errors import IntegrityError
from gateway.model import KeyFrameReason
from tests.unit.summary.pictures import jpeg, mucosa
from workers.dicom_objects import Reference, SourceStudy
from workers.summary import contact_sheet, key_frame, key_objects, parts
from workers.summary.contact_sheet import SHEETS_MAX, TILES_MAX, Tile
from workers.summary.key_frame import KeyFrame
from workers.summary.selection import Choice, Selection

ATTRIBUTES = {
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Secret^Patient"}]},
    "00100020": {"vr": "LO", "Value": ["SECRET-ID"]},
    "00400275": {"vr": "SQ", "Value": [{"00401001": {"vr": "SH", "Value": ["RP7"]}}]},
}  # fmt: skip
STUDY = SourceStudy("hospital", "1.2.3", datetime(2026, 3, 1, 9, 0, tzinfo=UTC), ATTRIBUTES)


def header(**changes) -> Dataset:
    """A part of four frames that begins just before midnight."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = VIDEO_ENDOSCOPIC, "1.2.3.4.5"
    ds.SeriesInstanceUID, ds.SeriesNumber = "1.2.3.4", 1
    ds.ImageType, ds.PhotometricInterpretation = ["ORIGINAL", "PRIMARY"], "YBR_FULL_422"
    ds.Rows, ds.Columns = 224, 224
    ds.ContentDate, ds.ContentTime = "20260301", "235959.000000"
    ds.AcquisitionDateTime = "20260301235959.000000+0800"
    ds.FrameTimeVector = ["0", "500", "500", "3600000"]
    ds.BurnedInAnnotation = "YES"
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


PART = parts.read(header(), 4)


def chosen(rank, reason=KeyFrameReason.REPRESENTATIVE, score=0.5, part=PART) -> KeyFrame:
    choice = Choice(rank * 100, reason, score, 7)
    return KeyFrame(rank, part, (rank - 1) % 4 + 1, rank * 100 + 1, rank * 61_000, choice)


def opened(made) -> Dataset:
    return dcmread(DicomBytesIO(made.contents))


def test_a_frame_after_midnight_has_the_next_day_and_keeps_the_zone():
    frame = KeyFrame(1, PART, 4, 4, 3_601_000, Choice(3, KeyFrameReason.RARE, 0.5, 1))
    ds = opened(key_frame.make(STUDY, frame, jpeg(mucosa())))
    assert (ds.ContentDate, ds.ContentTime) == ("20260302", "010000.000000")
    assert ds.AcquisitionDateTime == "20260302010000.000000+0800"
    assert ds.ImageComments == "Frame 4, +01:00:01, rare"


def test_frames_of_unknown_time_get_no_acquisition_time():
    unknown = header()
    del unknown.AcquisitionDateTime
    ds = opened(key_frame.make(STUDY, chosen(1, part=parts.read(unknown, 4)), jpeg(mucosa())))
    assert "AcquisitionDateTime" not in ds
    assert ds.ContentDate == "20260301"


def test_parts_are_placed_on_one_clock():
    later = parts.read(header(ContentDate="20260302", ContentTime="000003.500"), 4)
    assert parts.elapsed_ms([PART, later]).tolist() == [
        0, 500, 1000, 3_601_000, 4500, 5000, 5500, 3_605_500,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "broken",
    [header(FrameTimeVector=["0", "500"]), header(ContentDate=""), header(ContentTime="")],
    ids=["too few times", "no date", "no time"],
)
def test_a_part_that_does_not_say_when_its_frames_were_taken_is_refused(broken):
    with pytest.raises(IntegrityError):
        parts.read(broken, 4)


def document(count=3):
    frames = [chosen(rank) for rank in range(1, count + 1)]
    images = [Reference("1.2.9", VL_ENDOSCOPIC, f"1.2.9.{rank}") for rank in range(count)]
    selection = Selection([one.choice for one in frames], 900, 57, 60, 15_000)
    return key_objects.make(STUDY, selection, 1000, list(zip(frames, images, strict=True)))


def test_the_document_names_each_frame_and_each_key_image():
    ds = opened(document())
    items = [one.ReferencedSOPSequence[0] for one in ds.ContentSequence if one.ValueType == "IMAGE"]
    assert [(one.ReferencedSOPInstanceUID, one.get("ReferencedFrameNumber")) for one in items] == [
        ("1.2.3.4.5", 1), ("1.2.3.4.5", 2), ("1.2.3.4.5", 3),
        ("1.2.9.0", None), ("1.2.9.1", None), ("1.2.9.2", None),
    ]  # fmt: skip
    assert ds.ConceptNameCodeSequence[0].CodeValue == "113000"


def test_the_evidence_names_every_instance_once_by_series():
    (study,) = opened(document()).CurrentRequestedProcedureEvidenceSequence
    assert study.StudyInstanceUID == "1.2.3"
    found = {
        series.SeriesInstanceUID: [
            one.ReferencedSOPInstanceUID for one in series.ReferencedSOPSequence
        ]
        for series in study.ReferencedSeriesSequence
    }
    assert found == {"1.2.3.4": ["1.2.3.4.5"], "1.2.9": ["1.2.9.0", "1.2.9.1", "1.2.9.2"]}


def test_the_description_says_what_was_promised_and_why_each_frame():
    (text,) = [
        one.TextValue
        for one in opened(document()).ContentSequence
        if one.ValueType == "TEXT" and one.RelationshipType == "CONTAINS"
    ]
    assert "No diagnosis" in text
    assert "3 key frames of 1000 frames, 900 of them usable: 3 representative." in text
    assert "Of any 57 consecutive frames one is a key frame, unless none of them is usable." in text
    assert "2: Frame 201, +00:02:02, representative" in text


def test_the_order_stands_where_a_document_has_it():
    ds = opened(document())
    assert "RequestAttributesSequence" not in ds
    assert ds.ReferencedRequestSequence[0].RequestedProcedureID == "RP7"


def sheet(count, side=224, part=PART):
    streams = [jpeg(mucosa(n, side=side)) for n in range(count)]
    frames = [chosen(n + 1, part=part) for n in range(count)]
    return [
        Tile(frame, Reference("1.2.9", VL_ENDOSCOPIC, f"1.2.9.{frame.rank}"), stream)
        for frame, stream in zip(frames, streams, strict=True)
    ]


@pytest.mark.parametrize("count", [1, 2, 7, 20, 33, TILES_MAX])
@pytest.mark.parametrize("side", [64, 320, 1024])
def test_a_sheet_fits_into_4096_pixels_with_few_empty_places(count, side):
    part = parts.read(header(Rows=side, Columns=side), 4)
    picture = contact_sheet.draw("title", sheet(count, side, part))
    rows, columns = picture.shape[:2]
    assert max(rows, columns) <= 4096
    tile = min(max(side, contact_sheet.TILE_MIN), contact_sheet.TILE_MAX)
    places = (columns // tile) * ((rows - contact_sheet.TITLE_ROWS) // (tile + 46))
    assert count <= places <= count + 3


def test_a_tile_shows_its_frame_and_a_caption_below():
    (tile,) = sheet(1, 320, parts.read(header(Rows=320, Columns=320), 4))
    picture = contact_sheet.draw("", [tile])
    top = contact_sheet.TITLE_ROWS
    frame = cv2.imdecode(np.frombuffer(tile.stream, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(picture[top : top + 320, :320], frame)
    assert picture[top + 320 :].max() > 150


def test_wide_frames_are_not_distorted():
    wide = cv2.imencode(".jpg", np.full((100, 200, 3), 200, np.uint8))[1].tobytes()
    tile = Tile(chosen(1), Reference("1.2.9", VL_ENDOSCOPIC, "1.2.9.1"), wide)
    picture = contact_sheet.draw("", [tile])
    lit = (picture[contact_sheet.TITLE_ROWS :][:256] > 100).all(axis=2)
    assert lit.any(axis=0).sum() == 2 * lit.any(axis=1).sum() == 256


@pytest.mark.parametrize(("said", "shown"), [("NO", "NO"), ("YES", "YES"), (None, "YES")])
def test_a_sheet_is_free_of_burned_in_text_only_if_its_frames_are(said, shown):
    part = parts.read(header(BurnedInAnnotation=said), 4)
    ds = opened(contact_sheet.make(STUDY, 1, "title", sheet(2, part=part)))
    assert ds.BurnedInAnnotation == shown


def test_the_title_says_nothing_about_the_patient():
    title = contact_sheet.title(sheet(3), 10, 5000)
    assert title.startswith("Key frames 1 to 3 of 10, from 5000 frames.")
    assert "ecret" not in title


@pytest.mark.parametrize("count", [0, 1, 40, 41, 100, 120])
def test_all_key_frames_are_shown_if_they_fit(count):
    shown = contact_sheet.arrange([chosen(rank) for rank in range(1, count + 1)])
    assert [one for one_sheet in shown for one in one_sheet] == list(range(count))
    assert all(len(one_sheet) <= TILES_MAX for one_sheet in shown)


def test_of_too_many_key_frames_the_most_remarkable_of_each_stretch_is_shown():
    frames = [chosen(rank) for rank in range(1, 801)]
    for position in range(3, 800, 50):
        frames[position] = chosen(position + 1, KeyFrameReason.POSSIBLE_BLOOD, 0.1)
    shown = contact_sheet.arrange(frames)
    flat = [one for one_sheet in shown for one in one_sheet]
    assert len(shown) == SHEETS_MAX
    assert len(flat) == SHEETS_MAX * TILES_MAX
    assert set(range(3, 800, 50)) <= set(flat)
    assert max(np.diff(flat)) <= 2 * 800 / len(flat)
