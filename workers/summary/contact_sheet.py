"""Pure: key frames side by side in one picture, a Secondary Capture Image (PS3.3 A.8.1).

For receivers that show nothing else: time and reason are drawn under each tile, nothing that
identifies the patient is.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sequence import Sequence as Items

from gateway.dicom import times
from gateway.dicom.storage_classes import SECONDARY_CAPTURE
from gateway.model import DerivedRole, KeyFrameReason
from workers import dicom_objects
from workers.dicom_objects import MODEL_NAME, MadeInstance, Placement, Reference, SourceStudy, code
from workers.summary.key_frame import KeyFrame

SERIES_NUMBER, SERIES_DESCRIPTION = 903, "Contact sheet"

TILES_MAX = 40
SHEETS_MAX = 3
COLUMNS_MAX = 8
TILE_MIN, TILE_MAX = 256, 480
"""Pixels. Eight of the largest are 3840 across and five with captions 2700 down: within the
4096 a side that every receiver takes."""
CAPTION_ROWS, TITLE_ROWS = 46, 44
JPEG_QUALITY = 90

_GREY, _WHITE = (170, 170, 170), (235, 235, 235)
_COLOURS = {
    KeyFrameReason.POSSIBLE_BLOOD: (110, 110, 255),
    KeyFrameReason.RARE: (90, 200, 250),
    KeyFrameReason.LANDMARK: (150, 230, 150),
    KeyFrameReason.REPRESENTATIVE: _GREY,
    KeyFrameReason.COVERAGE: _GREY,
}
"""BGR."""
_FIRST = (KeyFrameReason.POSSIBLE_BLOOD, KeyFrameReason.RARE, KeyFrameReason.LANDMARK)
_FONT = cv2.FONT_HERSHEY_SIMPLEX

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Tile:
    """A key frame, the instance made of it, and its JPEG stream."""

    key_frame: KeyFrame
    reference: Reference
    stream: bytes


def arrange(key_frames: Sequence[KeyFrame]) -> list[list[int]]:
    """Return, per sheet, which key frames it shows: positions in `key_frames`, ascending.

    All of them if they fit on SHEETS_MAX sheets; else the recording is cut into as many runs
    of key frames as there are tiles, and each run shows its most remarkable one.
    """
    if not key_frames:
        return []
    shown = min(len(key_frames), SHEETS_MAX * TILES_MAX)
    best = [
        max(range(start, end), key=lambda one: _remarkable(key_frames[one]))
        for start, end in pairwise(_borders(len(key_frames), shown))
    ]
    return [best[start:end] for start, end in pairwise(_borders(shown, -(-shown // TILES_MAX)))]


def _borders(count: int, runs: int) -> list[int]:
    return [count * run // runs for run in range(runs + 1)]


def _remarkable(key_frame: KeyFrame) -> tuple[bool, float]:
    return key_frame.choice.reason in _FIRST, key_frame.choice.score


def title(tiles: Sequence[Tile], key_frame_count: int, frame_count: int) -> str:
    """Return what stands on top of a sheet; nothing about the patient."""
    first, last = tiles[0].key_frame.rank, tiles[-1].key_frame.rank
    return (
        f"Key frames {first} to {last} of {key_frame_count}, from {frame_count} frames."
        " Chosen automatically; no diagnosis."
    )


def make(study: SourceStudy, number: int, title: str, tiles: Sequence[Tile]) -> MadeInstance:
    """Return one sheet. number: 1-based. title: drawn on top, says nothing about the patient.

    Its UID follows from what is shown, not from the bytes an encoder makes of it: those change
    with the version of OpenCV.
    """
    place = Placement(
        role=DerivedRole.CONTACT_SHEET,
        sop_class_uid=SECONDARY_CAPTURE,
        modality="ES",
        series_number=SERIES_NUMBER,
        series_description=SERIES_DESCRIPTION,
        instance_number=number,
    )
    picture = draw(title, tiles)
    stream = _encode(picture)
    ds = dicom_objects.common(study, place)
    _add_capture(ds, study)
    _add_image(ds, picture)
    known_clean = all(tile.key_frame.part.image.get("BurnedInAnnotation") == "NO" for tile in tiles)
    ds.BurnedInAnnotation = "NO" if known_clean else "YES"
    purpose = code("121329", "DCM", "Source image for montage")
    ds.SourceImageSequence = Items(
        dicom_objects.source_image(
            tile.reference.sop_class_uid, tile.reference.sop_instance_uid, purpose
        )
        for tile in tiles
    )
    shown = [title, *(part for tile in tiles for part in _captions(tile.key_frame))]
    digests = [hashlib.sha256(tile.stream).hexdigest() for tile in tiles]
    dicom_objects.name(ds, study, place.role, *shown, *digests)
    ds.LossyImageCompressionRatio = f"{picture.size / len(stream):.4g}"
    return dicom_objects.single_frame_image(ds, study, place, stream)


def _captions(key_frame: KeyFrame) -> tuple[str, str]:
    frame = f"{times.clock(key_frame.elapsed_ms)}  #{key_frame.recording_frame_number}"
    return frame, str(key_frame.choice.reason)


def draw(title: str, tiles: Sequence[Tile]) -> Picture:
    """Return the picture; shape (rows, columns, 3), uint8, BGR, at most 4096 a side."""
    columns = _columns(len(tiles))
    side = _side(tiles)
    cell = side + CAPTION_ROWS
    rows = math.ceil(len(tiles) / columns)
    picture: Picture = np.zeros((TITLE_ROWS + rows * cell, columns * side, 3), np.uint8)
    _write(picture, title, (10, 30), _WHITE, width=columns * side - 20)
    for position, tile in enumerate(tiles):
        row, column = divmod(position, columns)
        top, left = TITLE_ROWS + row * cell, column * side
        _paste(picture[top : top + side, left : left + side], tile.stream)
        frame, reason = _captions(tile.key_frame)
        width = side - 16
        _write(picture, frame, (left + 8, top + side + 16), _WHITE, width=width)
        colour = _COLOURS[tile.key_frame.choice.reason]
        _write(picture, reason, (left + 8, top + side + 37), colour, width=width)
    return picture


def _columns(count: int) -> int:
    """Return how many tiles stand side by side: wider than high, few empty places."""
    widest = min(COLUMNS_MAX, math.ceil(math.sqrt(count * 8 / 5)))
    return min(range(widest, max(widest - 3, 0), -1), key=lambda columns: -count % columns)


def _side(tiles: Iterable[Tile]) -> int:
    """Return the side of the square every frame is fitted into: its own size, if possible."""
    longest = max(max(tile.key_frame.part.rows, tile.key_frame.part.columns) for tile in tiles)
    return min(max(longest, TILE_MIN), TILE_MAX)


def _paste(cell: Picture, stream: bytes) -> None:
    """Fit a frame into a square cell, centred."""
    frame = cv2.imdecode(
        np.frombuffer(stream, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    )
    if frame is None:
        return
    side = cell.shape[0]
    scale = side / max(frame.shape[:2])
    rows, columns = (max(round(length * scale), 1) for length in frame.shape[:2])
    if scale != 1:
        smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        frame = cv2.resize(frame, (columns, rows), interpolation=smooth)
    top, left = (side - rows) // 2, (side - columns) // 2
    cell[top : top + rows, left : left + columns] = frame


def _write(
    picture: Picture, text: str, at: tuple[int, int], colour: tuple[int, int, int], *, width: int
) -> None:
    """Draw text with its lower left corner at (column, row), smaller if it is wider than that."""
    (drawn, _), _ = cv2.getTextSize(text, _FONT, 0.55, 1)
    scale = min(0.55, 0.55 * width / max(drawn, 1))
    cv2.putText(picture, text, at, _FONT, scale, colour, 1, cv2.LINE_AA)


def _encode(picture: Picture) -> bytes:
    """Return a JPEG Baseline stream, YCbCr."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, cv2.IMWRITE_JPEG_PROGRESSIVE, 0]
    done, stream = cv2.imencode(".jpg", picture, options)
    assert done, "the encoder takes any three-channel picture"
    return stream.tobytes()


def _add_capture(ds: Dataset, study: SourceStudy) -> None:
    """Add the SC Equipment and General Image modules (PS3.3 C.8.6.1, C.7.6.1)."""
    created = dicom_objects.created_at(ds, study)
    ds.ConversionType = "WSD"
    ds.SecondaryCaptureDeviceManufacturer = MODEL_NAME
    ds.SecondaryCaptureDeviceManufacturerModelName = MODEL_NAME
    ds.ContentDate, ds.ContentTime = f"{created:%Y%m%d}", f"{created:%H%M%S}"
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.DerivationDescription = "Contact sheet of key frames"
    ds.PatientOrientation = ""
    ds.ContributingEquipmentSequence = Items(
        [dicom_objects.modifying_equipment("Contact sheet drawn")]
    )


def _add_image(ds: Dataset, picture: Picture) -> None:
    ds.Rows, ds.Columns = picture.shape[:2]
    ds.SamplesPerPixel, ds.PlanarConfiguration = 3, 0
    ds.PhotometricInterpretation = "YBR_FULL_422"
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    ds.LossyImageCompression = "01"
    ds.LossyImageCompressionMethod = "ISO_10918_1"
