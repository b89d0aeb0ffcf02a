"""Pure: what an image instance says about its pixels, read carefully: it may be wrong."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from gateway.dicom import data_set
from gateway.dicom.identity import UNREADABLE
from gateway.dicom.storage_classes import (
    EXPLICIT_BIG,
    MULTI_FRAME_GRAYSCALE_BYTE_SC,
    MULTI_FRAME_TRUE_COLOR_SC,
    SECONDARY_CAPTURE,
    VIDEO_ENDOSCOPIC,
    VIDEO_PHOTOGRAPHIC,
    VL_ENDOSCOPIC,
    VL_PHOTOGRAPHIC,
)

FRAME_CLASSES = frozenset(
    {
        VL_ENDOSCOPIC,
        VIDEO_ENDOSCOPIC,
        SECONDARY_CAPTURE,
        MULTI_FRAME_GRAYSCALE_BYTE_SC,
        MULTI_FRAME_TRUE_COLOR_SC,
        VL_PHOTOGRAPHIC,
        VIDEO_PHOTOGRAPHIC,
    }
)
"""SOP classes in which endoscopes store frames; instances of others are delivered as they came."""
PIXELS_MAX = 1 << 24
"""Of a frame: four times the largest endoscope. Larger pictures are delivered as they came."""
FRAMES_MAX = 1_000_000

_SPEEDS = ("CineRate", "RecommendedDisplayFrameRate")


@dataclass(frozen=True)
class Image:
    """Attributes of General Image, Image Pixel, Multi-frame and Cine that the wrap needs.

    declared: Number of Frames, None if absent or no number. since_us: shape (frames declared,),
    when each frame was taken, counted from the first; None if nothing says so. data_set: all
    that stands before the pixel data.
    """

    sop_class_uid: str
    rows: int
    columns: int
    samples: int
    photometric_interpretation: str
    planar: bool
    bits_allocated: int
    bits_stored: int
    signed: bool
    declared: int | None
    since_us: NDArray[np.int64] | None
    extended_table: tuple[int, ...]
    big_endian: bool
    data_set: Dataset

    @property
    def pixel_count(self) -> int:
        return self.rows * self.columns

    @property
    def native_bytes(self) -> int:
        """Return the size of an uncompressed frame (PS3.5 8.2)."""
        if self.photometric_interpretation == "YBR_FULL_422":
            return 2 * self.rows * (self.columns + self.columns % 2) * (self.bits_allocated // 8)
        return self.pixel_count * self.samples * (self.bits_allocated // 8)

    @property
    def is_plain(self) -> bool:
        """Whether its samples can become eight-bit grey or colour without losing what counts."""
        colour = self.samples == 3 and self.bits_allocated in (8, 16)
        grey = self.samples == 1 and self.bits_allocated == self.bits_stored == 8
        return (
            self.sop_class_uid in FRAME_CLASSES
            and (colour or grey)
            and not self.signed
            and 1 <= self.bits_stored <= self.bits_allocated
            and 0 < self.pixel_count <= PIXELS_MAX
        )


def read(head: bytes, sop_class_uid: str, transfer_syntax_uid: str) -> Image:
    """Read the attributes before the pixel data. Raises ValueError if that cannot be done.

    head: the data set, at least up to its pixel data; not deflated.
    """
    try:
        ds = data_set.read(BytesIO(head), transfer_syntax_uid)
    except UNREADABLE as error:
        raise ValueError(f"the header cannot be read: {error}") from error
    declared = _integer(ds, "NumberOfFrames")
    if declared is not None and declared <= 0:
        declared = None
    bits_allocated = _integer(ds, "BitsAllocated") or 0
    return Image(
        sop_class_uid=sop_class_uid,
        rows=_integer(ds, "Rows") or 0,
        columns=_integer(ds, "Columns") or 0,
        samples=_integer(ds, "SamplesPerPixel") or 1,
        photometric_interpretation=_text(ds, "PhotometricInterpretation"),
        planar=_integer(ds, "PlanarConfiguration") == 1,
        bits_allocated=bits_allocated,
        bits_stored=_integer(ds, "BitsStored") or bits_allocated,
        signed=_integer(ds, "PixelRepresentation") == 1,
        declared=declared,
        since_us=_since_us(ds, declared or 1),
        extended_table=_extended_table(ds),
        big_endian=transfer_syntax_uid == EXPLICIT_BIG,
        data_set=ds,
    )


def _value(ds: Dataset, keyword: str) -> object:
    try:
        return ds.get(keyword)
    except UNREADABLE:  # pydicom converts a value when it is asked for
        return None


def _integer(ds: Dataset, keyword: str) -> int | None:
    value = _value(ds, keyword)
    return int(value) if isinstance(value, int) else None


def _text(ds: Dataset, keyword: str) -> str:
    value = _value(ds, keyword)
    return value.strip() if isinstance(value, str) else ""


def _number(ds: Dataset, keyword: str) -> float:
    value = _value(ds, keyword)
    return float(value) if isinstance(value, int | float) and 0 < value < 1e9 else 0.0


def _extended_table(ds: Dataset) -> tuple[int, ...]:
    value = _value(ds, "ExtendedOffsetTable")
    if not isinstance(value, bytes) or len(value) % 8:
        return ()
    return tuple(np.frombuffer(value, "<u8").tolist())


def _since_us(ds: Dataset, count: int) -> NDArray[np.int64] | None:
    """Return when frames were taken by the Cine module (PS3.3 C.7.6.5), whatever is in it.

    A Frame Time Vector of another length says nothing; then a constant time, then a rate.
    """
    if count == 1:
        return np.zeros(1, np.int64)
    if count > FRAMES_MAX:
        return None
    vector = _vector(ds)
    if len(vector) == count:
        vector[0] = 0
        return np.rint(np.cumsum(vector) * 1000).astype(np.int64)
    frame_ms = _number(ds, "FrameTime")
    rate = next((found for found in (_number(ds, one) for one in _SPEEDS) if found), 0.0)
    if not frame_ms and not rate:
        return None
    step_us = frame_ms * 1000 or 1e6 / rate
    since_us: NDArray[np.int64] = np.rint(np.arange(count) * step_us).astype(np.int64)
    return since_us


def _vector(ds: Dataset) -> NDArray[np.float64]:
    value = _value(ds, "FrameTimeVector")
    try:
        vector = np.atleast_1d(np.array(value if value is not None else (), dtype=np.float64))
    except (ValueError, TypeError):
        return np.zeros(0)
    sane = vector.ndim == 1 and bool(((vector >= 0) & (vector < 1e9)).all())
    return vector if sane else np.zeros(0)
