"""Pure: what becomes of one received frame (the rules of docs/conformance.md, "Frames").

JPEG Baseline passes through, what can be made Baseline without loss is, everything else is
decoded and compressed once.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from gateway.dicom import jpeg, jpeg_repair, pixels
from gateway.dicom.image import Image
from gateway.dicom.jpeg import ColourSpace
from gateway.dicom.pixels import Codec
from gateway.model import Compression, FrameEncoding, FrameFault, FrameTreatment

_ENCODINGS = {
    ColourSpace.YCBCR: FrameEncoding.JPEG_YBR,
    ColourSpace.RGB: FrameEncoding.JPEG_RGB,
    ColourSpace.GREY: FrameEncoding.JPEG_GREY,
}


@dataclass(frozen=True)
class TreatedFrame:
    """A frame that can be wrapped. stream: JPEG Baseline, None if it is the received bytes.

    earlier: how it had lost something before it was compressed again.
    """

    stream: bytes | None
    encoding: FrameEncoding
    treatment: FrameTreatment = FrameTreatment.NONE
    earlier: Compression = Compression.LOSSLESS


def treated(
    data: bytes, image: Image, codec: Codec, transfer_syntax_uid: str
) -> TreatedFrame | FrameFault:
    """Treat one frame; returns what is wrong with it if it cannot be shown.

    data: all of the frame's bytes, of an image that is plain (Image.is_plain).
    """
    if codec is Codec.JPEG:
        fault = _fault(data, image)
        if fault is not FrameFault.NONE:
            return fault
        kept = _without_loss(data, image)
        if kept is not None:
            return kept
    claimed = None if codec is Codec.NATIVE else pixels.size_of(data, codec)
    if claimed is not None and claimed != (image.rows, image.columns):
        return FrameFault.SIZE_DISAGREES
    try:
        picture = pixels.decoded(data, codec, image)
    except pixels.Undecodable:
        return FrameFault.UNDECODABLE
    return TreatedFrame(
        stream=pixels.encoded(picture),
        encoding=FrameEncoding.JPEG_YBR if picture.ndim == 3 else FrameEncoding.JPEG_GREY,
        treatment=FrameTreatment.REENCODED,
        earlier=pixels.compression_of(data, codec, transfer_syntax_uid),
    )


def _fault(data: bytes, image: Image) -> FrameFault:
    whole = jpeg_repair.trimmed(data)
    found = jpeg.scan(whole)
    if found is None:
        return FrameFault.CORRUPT
    if not found.complete:
        return FrameFault.TRUNCATED
    if found.frame_marker == 0 or jpeg_repair.has_stray_marker(whole):
        return FrameFault.CORRUPT
    if (found.rows, found.columns) != (image.rows, image.columns):
        return FrameFault.SIZE_DISAGREES
    return FrameFault.NONE


def _without_loss(data: bytes, image: Image) -> TreatedFrame | None:
    """Return the frame as JPEG Baseline with its own coefficients; None if that cannot be."""
    found = jpeg.scan(jpeg_repair.trimmed(data))
    inverted = image.photometric_interpretation == "MONOCHROME1"
    if found is None or found.colour_space not in _ENCODINGS or inverted:
        return None
    repaired = jpeg_repair.repaired(data)
    if repaired is None:
        return None
    if FrameTreatment.SEQUENTIAL in repaired.treatment and not _same(data, repaired.stream):
        return None
    stream = repaired.stream if repaired.treatment else None
    return TreatedFrame(stream, _ENCODINGS[found.colour_space], repaired.treatment)


def _same(one: bytes, other: bytes) -> bool:
    """Tell whether two streams show the same picture, value for value: they must."""
    first = cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_UNCHANGED)
    second = cv2.imdecode(np.frombuffer(other, np.uint8), cv2.IMREAD_UNCHANGED)
    return first is not None and second is not None and np.array_equal(first, second)
