"""Pure: what a frame's pixel data will be.

JPEG Baseline is kept byte for byte; a stream that can be made Baseline without touching a
coefficient is. PNG, BMP and TIFF are kept uncompressed: the wrap compresses them once, as it does
what comes uncompressed by C-STORE, and says so. Everything else, decoded videos above all, is
encoded here, once, as JPEG quality 95 without chroma subsampling (DERIVED, method, ratio).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from gateway.dicom import jpeg, jpeg_repair
from gateway.dicom.jpeg import ColourSpace, JpegStream
from gateway.dicom.storage_classes import EXPLICIT_LITTLE, JPEG_BASELINE
from gateway.errors import FileRefused
from gateway.importing import kinds, pictures
from gateway.importing.kinds import Kind

QUALITY = 95
JPEG_METHOD = "ISO_10918_1"
_ENCODING = (
    cv2.IMWRITE_JPEG_QUALITY, QUALITY,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)  # fmt: skip
_COLOUR_AS_IT_LIES = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
_LABELS = {
    ColourSpace.GREY: "MONOCHROME2",
    ColourSpace.YCBCR: "YBR_FULL_422",  # whatever the subsampling: PS3.3 C.7.6.3.1.2
    ColourSpace.RGB: "RGB",
}


@dataclass(frozen=True)
class Loss:
    """A lossy compression pixels went through (PS3.3 C.7.6.1.1.5).

    method: Lossy Image Compression Method; ratio: 0 where it is not known.
    """

    method: str
    ratio: float


@dataclass(frozen=True)
class Content:
    """Pixel data of a single-frame instance, in one transfer syntax.

    derivation: how the pixels were made from the source, empty if they are the source's.
    damaged: why it cannot be shown, though it is kept.
    """

    pixel_data: bytes
    transfer_syntax_uid: str
    rows: int
    columns: int
    photometric_interpretation: str
    losses: tuple[Loss, ...] = ()
    derivation: str = ""
    damaged: str = ""


def from_file(data: bytes) -> Content:
    """Make the pixel data of a picture file. Raises FileRefused, saying why."""
    if not data:
        raise FileRefused("The file is empty.")
    kind = kinds.of(data[: kinds.HEAD_BYTES])
    if kind is Kind.JPEG:
        return from_jpeg(data)
    if kind not in kinds.PICTURES:
        raise FileRefused("This is not a JPEG, PNG, BMP or TIFF picture.")
    size = pictures.size_of(kind, data)
    pictures.check(size)
    pixels = _decoded(data, kind)
    if size.bits > 8:
        return encoded(pixels, f"{size.bits}-bit {kind}")
    rgb = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return Content(rgb.tobytes(), EXPLICIT_LITTLE, rgb.shape[0], rgb.shape[1], "RGB")


def from_jpeg(data: bytes) -> Content:
    """Keep a JPEG stream as it is, or as Baseline; decode what cannot be. Raises FileRefused."""
    stream, found = data, jpeg.scan(data)
    if found is None or not _is_plain(found):
        repaired = jpeg_repair.repaired(data)
        if repaired is not None:
            stream, found = repaired.stream, jpeg.scan(repaired.stream)
    if found is None or found.frame_marker == 0:
        raise FileRefused("The JPEG stream is corrupt: its markers cannot be read.")
    pictures.check(pictures.Size(found.rows, found.columns, found.precision))
    if _is_baseline(found) and found.colour_space in _LABELS:
        return _kept(stream, found)
    if not found.complete:
        raise FileRefused("The JPEG stream is cut off.")
    loss = Loss(JPEG_METHOD, found.rows * found.columns * 3 / len(data))
    return encoded(_decoded(data, Kind.JPEG), "JPEG", loss)


def encoded(pixels: NDArray[np.uint8], source: str, loss: Loss | None = None) -> Content:
    """Encode decoded pixels, shape (rows, columns, 3), BGR.

    source: what they were decoded from, in a word; loss: what they had lost before.
    """
    rows, columns = pixels.shape[:2]
    done, stream = cv2.imencode(".jpg", pixels, _ENCODING)
    assert done, "8-bit pixels of a checked size can always be encoded"
    ours = Loss(JPEG_METHOD, rows * columns * 3 / len(stream))
    return Content(
        stream.tobytes(), JPEG_BASELINE, rows, columns, "YBR_FULL_422",
        (ours,) if loss is None else (loss, ours),
        f"Decoded from {source}, encoded once as JPEG quality {QUALITY} 4:4:4.",
    )  # fmt: skip


def _decoded(data: bytes, kind: Kind) -> NDArray[np.uint8]:
    """Decode a picture whose size was checked; BGR, orientation marks ignored."""
    try:
        pixels = cv2.imdecode(np.frombuffer(data, "u1"), _COLOUR_AS_IT_LIES)
    except cv2.error as error:
        raise FileRefused(f"The {kind} picture cannot be decoded.") from error
    if pixels is None:
        raise FileRefused(f"The {kind} picture cannot be decoded.")
    return np.asarray(pixels, np.uint8)


def _is_baseline(found: JpegStream) -> bool:
    return found.frame_marker == jpeg.SOF0_BASELINE and found.precision == 8


def _is_plain(found: JpegStream) -> bool:
    return _is_baseline(found) and found.complete and found.has_tables


def _kept(stream: bytes, found: JpegStream) -> Content:
    damaged = "" if found.has_tables else "The JPEG stream lacks its tables."
    if not found.complete:
        damaged = "The JPEG stream is cut off."
    return Content(
        stream, JPEG_BASELINE, found.rows, found.columns, _LABELS[found.colour_space],
        (Loss(JPEG_METHOD, found.rows * found.columns * 3 / len(stream)),), damaged=damaged,
    )  # fmt: skip
