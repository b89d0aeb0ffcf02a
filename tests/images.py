"""Builders for tests: one picture as an instance in every form an endoscope may send it."""

import struct
import zlib
from collections.abc import Callable

import cv2
import imagecodecs
import numpy as np
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from gateway.dicom import part10
from gateway.dicom.storage_classes import EXPLICIT_LITTLE, IMPLICIT_LITTLE, JPEG_BASELINE
from tests.instances import data_set

BIG, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
EXTENDED, LOSSLESS, LOSSLESS_SV1 = (f"1.2.840.10008.1.2.4.{n}" for n in (51, 57, 70))
JPEG_LS, NEAR_LOSSLESS = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"
J2K_LOSSLESS, J2K = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"
HTJ2K_LOSSLESS, RLE = "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.5"


def picture(seed: int = 1, rows: int = 48, columns: int = 64) -> np.ndarray:
    """Return a smooth picture in RGB, shape (rows, columns, 3), different for every seed."""
    noise = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), "u1")
    return cv2.resize(noise, (columns, rows), interpolation=cv2.INTER_CUBIC)


def grey(pixels: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


def instance(
    number: int,
    pixel_data: bytes,
    syntax: str,
    *,
    encapsulated: bool = False,
    vr: str = "OB",
    **changes: object,
) -> bytes:
    """Return a Part 10 file. pixel_data: native, or the one frame of encapsulated."""
    value = encapsulate([pixel_data]) if encapsulated else pixel_data + bytes(len(pixel_data) % 2)
    ds = data_set(number, **{"Rows": 48, "LossyImageCompression": None, **changes})
    ds.PixelData = value
    ds["PixelData"].VR = vr
    ds["PixelData"].is_undefined_length = encapsulated
    return file_in(ds, syntax)


def file_in(ds: Dataset, syntax: str) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = syntax == IMPLICIT_LITTLE, syntax != BIG
    write_dataset(buffer, ds)
    content = buffer.getvalue()
    if syntax == DEFLATED:
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        content = packer.compress(content) + packer.flush()
        content += bytes(len(content) % 2)
    meta = part10.encode_file_meta(
        sop_class_uid=ds.SOPClassUID,
        sop_instance_uid=ds.SOPInstanceUID,
        transfer_syntax_uid=syntax,
    )
    return meta + content


RGB = {"PhotometricInterpretation": "RGB"}
GREY = {
    "SamplesPerPixel": 1,
    "PlanarConfiguration": None,
    "PhotometricInterpretation": "MONOCHROME2",
}


def ybr(pixels: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]]


def ybr_422(pixels: np.ndarray) -> bytes:
    full = ybr(pixels).astype(int)
    chroma = (full[:, ::2, 1:] + full[:, 1::2, 1:]) // 2
    luma = full[..., 0].reshape(full.shape[0], -1, 2)
    return np.concatenate([luma, chroma], axis=2).astype("u1").tobytes()


def rle(planes: np.ndarray) -> bytes:
    """Compress planes, shape (planes, rows, columns), by PS3.5 Annex G."""
    segments = []
    for plane in planes:
        packed = b"".join(imagecodecs.packbits_encode(row.tobytes()) for row in plane)
        segments.append(packed + bytes(len(packed) % 2))
    offsets = [64 + sum(map(len, segments[:at])) for at in range(len(segments))]
    header = struct.pack("<16L", len(segments), *offsets, *[0] * (15 - len(segments)))
    return header + b"".join(segments)


def _palette(number: int, pixels: np.ndarray) -> bytes:
    values = np.arange(256, dtype="<u2") << 8
    luts = {}
    for colour, table in zip(
        ("Red", "Green", "Blue"), (values, values[::-1], values // 2), strict=True
    ):
        luts[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        luts[f"{colour}PaletteColorLookupTableData"] = np.ascontiguousarray(table).tobytes()
    changes = {**GREY, "PhotometricInterpretation": "PALETTE COLOR", **luts}
    return instance(number, grey(pixels).tobytes(), EXPLICIT_LITTLE, **changes)


def palette_colours(pixels: np.ndarray) -> np.ndarray:
    index = grey(pixels)
    return np.stack([index, 255 - index, index // 2], axis=2)


def _words(pixels: np.ndarray) -> bytes:
    return np.frombuffer(pixels.tobytes(), "<u2").astype(">u2").tobytes()


SC = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}
PHOTO = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.4"}

Form = Callable[[int, np.ndarray], bytes]
"""(Instance Number, picture in RGB) to a Part 10 file."""

LOSSLESS_FORMS: dict[str, Form] = {
    "RGB": lambda n, p: instance(n, p.tobytes(), EXPLICIT_LITTLE, **RGB),
    "RGB, Secondary Capture": lambda n, p: instance(n, p.tobytes(), EXPLICIT_LITTLE, **RGB, **SC),
    "RGB, VL Photographic": lambda n, p: instance(n, p.tobytes(), EXPLICIT_LITTLE, **RGB, **PHOTO),
    "RGB, colour by plane": lambda n, p: instance(
        n, p.transpose(2, 0, 1).tobytes(), EXPLICIT_LITTLE, **RGB, PlanarConfiguration=1
    ),
    "RGB, 16 bits allocated": lambda n, p: instance(
        n, (p.astype("<u2") << 4).tobytes(), EXPLICIT_LITTLE, **RGB,
        BitsAllocated=16, BitsStored=12, HighBit=11, vr="OW",
    ),
    "implicit": lambda n, p: instance(n, p.tobytes(), IMPLICIT_LITTLE, **RGB),
    "big endian, bytes": lambda n, p: instance(n, p.tobytes(), BIG, **RGB),
    "big endian, words": lambda n, p: instance(n, _words(p), BIG, **RGB, vr="OW"),
    "deflated": lambda n, p: instance(n, p.tobytes(), DEFLATED, **RGB),
    "YBR_FULL": lambda n, p: instance(
        n, ybr(p).tobytes(), EXPLICIT_LITTLE, PhotometricInterpretation="YBR_FULL"
    ),
    "YBR_FULL_422": lambda n, p: instance(n, ybr_422(p), EXPLICIT_LITTLE),
    "RLE": lambda n, p: instance(n, rle(p.transpose(2, 0, 1)), RLE, encapsulated=True, **RGB),
    "RLE, YBR_FULL": lambda n, p: instance(
        n, rle(ybr(p).transpose(2, 0, 1)), RLE, encapsulated=True,
        PhotometricInterpretation="YBR_FULL",
    ),
    "JPEG Lossless": lambda n, p: instance(
        n, imagecodecs.jpeg_encode(p, lossless=True, predictor=1), LOSSLESS_SV1,
        encapsulated=True, **RGB,
    ),
    "JPEG-LS": lambda n, p: instance(
        n, imagecodecs.jpegls_encode(p), JPEG_LS, encapsulated=True, **RGB
    ),
    "JPEG 2000, RCT": lambda n, p: instance(
        n, imagecodecs.jpeg2k_encode(p, codecformat="j2k", mct=True), J2K_LOSSLESS,
        encapsulated=True, PhotometricInterpretation="YBR_RCT",
    ),
    "JPEG 2000, no transform": lambda n, p: instance(
        n, imagecodecs.jpeg2k_encode(p, codecformat="j2k", mct=False), J2K_LOSSLESS,
        encapsulated=True, **RGB,
    ),
    "HTJ2K": lambda n, p: instance(
        n, imagecodecs.htj2k_encode(p), HTJ2K_LOSSLESS,
        encapsulated=True, PhotometricInterpretation="YBR_RCT",
    ),
}  # fmt: skip

LOSSY_FORMS: dict[str, Form] = {
    "JPEG-LS, near-lossless": lambda n, p: instance(
        n, imagecodecs.jpegls_encode(p, level=2), NEAR_LOSSLESS, encapsulated=True, **RGB
    ),
    "JPEG 2000, ICT": lambda n, p: instance(
        n, imagecodecs.jpeg2k_encode(p, level=45, codecformat="j2k", mct=True, reversible=False),
        J2K, encapsulated=True, PhotometricInterpretation="YBR_ICT",
    ),
    "JPEG Extended, 12 bits": lambda n, p: instance(
        n, imagecodecs.jpeg_encode(p.astype("<u2") << 4, level=98, bitspersample=12), EXTENDED,
        encapsulated=True, BitsAllocated=16, BitsStored=12, HighBit=11,
    ),
}  # fmt: skip

GREY_FORMS: dict[str, Form] = {
    "MONOCHROME2": lambda n, p: instance(n, grey(p).tobytes(), EXPLICIT_LITTLE, **GREY),
    "MONOCHROME1": lambda n, p: instance(
        n, (255 - grey(p)).tobytes(), EXPLICIT_LITTLE,
        **{**GREY, "PhotometricInterpretation": "MONOCHROME1"},
    ),
    "RLE, grey": lambda n, p: instance(n, rle(grey(p)[None]), RLE, encapsulated=True, **GREY),
    "JPEG-LS, grey": lambda n, p: instance(
        n, imagecodecs.jpegls_encode(grey(p)), JPEG_LS, encapsulated=True, **GREY
    ),
}  # fmt: skip


def _jpeg(number: int, stream: bytes, **changes: object) -> bytes:
    return instance(number, stream, JPEG_BASELINE, encapsulated=True, **changes)


def compressed(pixels: np.ndarray, *options: int) -> bytes:
    return cv2.imencode(".jpg", pixels[..., ::-1] if pixels.ndim == 3 else pixels, options)[
        1
    ].tobytes()


REPAIRABLE_FORMS: dict[str, Form] = {
    "progressive": lambda n, p: _jpeg(n, compressed(p, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
    "padded with zeros": lambda n, p: _jpeg(n, compressed(p) + bytes(6)),
    "extended, eight bits": lambda n, p: _jpeg(n, compressed(p).replace(b"\xff\xc0", b"\xff\xc1")),
}

palette = _palette
