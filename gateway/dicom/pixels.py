"""Pure: one frame's pixels, in whatever form they came, as eight-bit grey or RGB.

What a codec's own stream says about its colours wins over the header where it says something
(JPEG with a colour transform, JPEG 2000 with a component transform); elsewhere Photometric
Interpretation is all there is.
"""

import struct
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.processing import apply_color_lut

from gateway.dicom import jpeg
from gateway.dicom.image import Image
from gateway.dicom.jpeg import ColourSpace
from gateway.model import Compression

Pixels = NDArray[np.uint8]
"""Shape (rows, columns), or (rows, columns, 3) in RGB."""

QUALITY = 95
DECODER_ERRORS = (RuntimeError, ValueError, TypeError, LookupError, struct.error, cv2.error)
"""What the codecs raise for bytes they cannot make sense of."""

RLE = "1.2.840.10008.1.2.5"


class Codec(StrEnum):
    NATIVE = "uncompressed"
    JPEG = "JPEG"
    JPEG_LS = "JPEG-LS"
    JPEG_2000 = "JPEG 2000"
    RLE = "RLE"


class Undecodable(ValueError):
    """No picture comes out of these bytes."""


def codec_of(data: bytes, transfer_syntax_uid: str) -> Codec:
    """Return what encapsulated bytes are, by their own beginning. Raises Undecodable."""
    if data[:2] == b"\xff\xd8":
        return Codec.JPEG_LS if _jpeg_ls_size(data) else Codec.JPEG
    if data[:4] == b"\xff\x4f\xff\x51" or data[4:8] == b"jP  ":
        return Codec.JPEG_2000
    if transfer_syntax_uid == RLE:
        return Codec.RLE
    raise Undecodable("no compression known begins like this")


def size_of(data: bytes, codec: Codec) -> tuple[int, int] | None:
    """Return (rows, columns) as the compressed bytes claim; None where they do not say."""
    if codec is Codec.JPEG:
        found = jpeg.scan(data)
        return (found.rows, found.columns) if found else (0, 0)
    if codec is Codec.JPEG_LS:
        return _jpeg_ls_size(data)
    if codec is Codec.JPEG_2000:
        start = data.find(b"\xff\x4f\xff\x51", 0, 4096)
        if start < 0 or len(data) < start + 24:
            return 0, 0
        wide, high, left, top = struct.unpack_from(">4L", data, start + 8)
        return high - top, wide - left
    return None


def compression_of(data: bytes, codec: Codec, transfer_syntax_uid: str) -> Compression:
    """Say how a compressed frame lost something, by its transfer syntax and by itself."""
    if codec is Codec.JPEG:
        found = jpeg.scan(data)
        lossless = found is not None and found.frame_marker in (0xC3, 0xC7, 0xCB, 0xCF)
        return Compression.LOSSLESS if lossless else Compression.JPEG
    return {
        "1.2.840.10008.1.2.4.81": Compression.JPEG_LS,
        "1.2.840.10008.1.2.4.91": Compression.JPEG_2000,
        "1.2.840.10008.1.2.4.203": Compression.HTJ2K,
    }.get(transfer_syntax_uid, Compression.LOSSLESS)


def decoded(data: bytes, codec: Codec, image: Image) -> Pixels:
    """Decode one frame. Raises Undecodable, also where the result has another size.

    data: the frame's bytes; image.native_bytes of them if it is not compressed.
    """
    claimed = size_of(data, codec)
    if claimed is not None and claimed != (image.rows, image.columns):
        raise Undecodable("the stream has another size")
    try:
        samples, label = _DECODERS[codec](data, image)
        return _plain(samples, label, image)
    except DECODER_ERRORS as error:
        raise Undecodable(str(error)) from error


def encoded(pixels: Pixels) -> bytes:
    """Compress as JPEG Baseline, quality 95, colours not subsampled; YCbCr, or grey."""
    options = [
        cv2.IMWRITE_JPEG_QUALITY, QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]  # fmt: skip
    picture = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    stream: bytes = cv2.imencode(".jpg", picture, options)[1].tobytes()
    return stream


def _plain(samples: NDArray[Any], label: str, image: Image) -> Pixels:
    if samples.shape[:2] != (image.rows, image.columns):
        raise ValueError("the picture has another size")
    if samples.ndim == 3 and samples.shape[2] == 1:
        samples = samples[..., 0]
    if label == "PALETTE COLOR":
        samples, label = apply_color_lut(samples, image.data_set), "RGB"
        samples = samples >> 8 if samples.dtype.itemsize > 1 else samples
    elif samples.dtype.itemsize > 1:
        samples = samples >> max(0, image.bits_stored - 8)
    plain: Pixels = np.ascontiguousarray(np.clip(samples, 0, 255).astype(np.uint8))
    if plain.ndim == 2:
        return 255 - plain if label == "MONOCHROME1" else plain
    if plain.shape[2] != 3:
        raise ValueError("neither one nor three samples for each pixel")
    if label.startswith("YBR"):
        plain = cv2.cvtColor(plain[..., [0, 2, 1]], cv2.COLOR_YCrCb2RGB).astype(np.uint8)
    return plain


def _native(data: bytes, image: Image) -> tuple[NDArray[Any], str]:
    if len(data) < image.native_bytes:
        raise ValueError("the frame is cut off")
    label = image.photometric_interpretation
    order = ">" if image.big_endian else "<"
    values = np.frombuffer(data, f"{order}u{image.bits_allocated // 8}")
    shape = image.rows, image.columns, image.samples
    if label == "YBR_FULL_422":
        pairs = values[: image.native_bytes].reshape(image.rows, -1, 4)  # Y1 Y2 Cb Cr
        chroma = np.repeat(pairs[..., 2:], 2, axis=1)
        whole = np.concatenate([pairs[..., :2].reshape(image.rows, -1, 1), chroma], axis=2)
        return whole[:, : image.columns], label
    values = values[: image.pixel_count * image.samples]
    if image.planar and image.samples > 1:
        return values.reshape(shape[2], *shape[:2]).transpose(1, 2, 0), label
    return values.reshape(shape), label


def _jpeg(data: bytes, image: Image) -> tuple[NDArray[Any], str]:
    found = jpeg.scan(data)
    if found is None:
        raise ValueError("this is no JPEG stream")
    if found.colour_space is ColourSpace.GREY:
        return imagecodecs.jpeg_decode(data), image.photometric_interpretation
    if found.frame_marker == 0xC3:  # lossless: no transform, the header says what it is
        samples = imagecodecs.jpeg_decode(data, colorspace="RGB", outcolorspace="RGB")
        return samples, image.photometric_interpretation
    return imagecodecs.jpeg_decode(data, outcolorspace="RGB"), "RGB"


def _jpeg_ls(data: bytes, image: Image) -> tuple[NDArray[Any], str]:
    return imagecodecs.jpegls_decode(data), image.photometric_interpretation


def _jpeg_2000(data: bytes, image: Image) -> tuple[NDArray[Any], str]:
    label = image.photometric_interpretation
    samples = imagecodecs.jpeg2k_decode(data)
    return samples, "RGB" if label in ("YBR_RCT", "YBR_ICT") else label


def _rle(data: bytes, image: Image) -> tuple[NDArray[Any], str]:
    """Decode PS3.5 Annex G: a segment for each byte of each sample, most significant first."""
    count, *offsets = struct.unpack_from("<16L", data)
    width = image.bits_allocated // 8
    if count != image.samples * width:
        raise ValueError("another number of segments than samples")
    ends = [*offsets[1:count], len(data)]
    planes = np.zeros((count, image.pixel_count), np.uint8)
    for plane, start, end in zip(planes, offsets, ends, strict=False):
        unpacked = np.frombuffer(imagecodecs.packbits_decode(data[start:end]), np.uint8)
        plane[:] = unpacked[: image.pixel_count]
    samples = planes.reshape(image.samples, width, image.rows, image.columns).transpose(2, 3, 0, 1)
    whole = np.ascontiguousarray(samples).view(f">u{width}")[..., 0]
    return whole, image.photometric_interpretation


_DECODERS: dict[Codec, Callable[[bytes, Image], tuple[NDArray[Any], str]]] = {
    Codec.NATIVE: _native,
    Codec.JPEG: _jpeg,
    Codec.JPEG_LS: _jpeg_ls,
    Codec.JPEG_2000: _jpeg_2000,
    Codec.RLE: _rle,
}


def _jpeg_ls_size(data: bytes) -> tuple[int, int] | None:
    """Return (rows, columns) of a JPEG-LS frame header (SOF55), if there is one."""
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker, length = struct.unpack_from(">BH", data, position + 1)
        if marker == 0xF7:
            rows, columns = struct.unpack_from(">HH", data, position + 5)
            return rows, columns
        if marker == jpeg.SOS or length < 2:
            return None
        position += 2 + length
    return None
