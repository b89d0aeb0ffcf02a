"""Builders for tests: real JPEG frames in small data sets, and raw C-STORE messages."""

import functools
import struct
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from gateway.dicom import part10
from gateway.dicom.storage_classes import JPEG_BASELINE, VL_ENDOSCOPIC

STUDY_UID, SERIES_UID = "1.2.826.0.1.3680043.9.7433.1", "1.2.826.0.1.3680043.9.7433.1.1"


@functools.cache
def jpeg(seed: int = 1, rows: int = 64, columns: int = 64) -> bytes:
    """Return a small JPEG Baseline frame, different for every seed."""
    noise = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), "u1")
    picture = cv2.resize(noise, (columns, rows), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()


def data_set(number: int, **changes: object) -> Dataset:
    """Return a VL Endoscopic frame; changes: attributes to set, or to remove where None."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.SOPClassUID, ds.SOPInstanceUID = VL_ENDOSCOPIC, f"{SERIES_UID}.{number}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = STUDY_UID, SERIES_UID
    ds.StudyDate = ds.ContentDate = "20260301"
    ds.StudyTime = ds.ContentTime = "080000"
    ds.AcquisitionDateTime = f"202603010800{(number // 2) % 60:02d}.{number % 2 * 5}00000"
    ds.AccessionNumber, ds.StudyID, ds.Modality = "ACC1", "1", "ES"
    ds.Manufacturer, ds.ReferringPhysicianName = "TESTMAKER", ""
    ds.PatientName, ds.PatientID = "Wang^XiaoDong=王^小东", "P1"
    ds.PatientBirthDate, ds.PatientSex = "19700101", "O"
    ds.SeriesNumber, ds.InstanceNumber = 1, number
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 3, "YBR_FULL_422"
    ds.PlanarConfiguration, ds.Rows, ds.Columns = 0, 64, 64
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    ds.LossyImageCompression = "01"
    ds.PixelData = encapsulate([jpeg(number)])
    for keyword, value in changes.items():
        if value is None:
            del ds[keyword]
        else:
            setattr(ds, keyword, value)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return ds


def encoded(ds: Dataset) -> bytes:
    """Return the data set in Explicit VR Little Endian, as JPEG Baseline wants it."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, ds)
    return buffer.getvalue()


def frame(number: int, **changes: object) -> bytes:
    return encoded(data_set(number, **changes)) if changes else _plain_frame(number)


@functools.cache
def _plain_frame(number: int) -> bytes:
    return encoded(data_set(number))


def part10_frame(number: int) -> bytes:
    """Return a frame as a Part 10 file, as a pack has it."""
    meta = part10.encode_file_meta(
        sop_class_uid=VL_ENDOSCOPIC, sop_instance_uid=f"{SERIES_UID}.{number}",
        transfer_syntax_uid=JPEG_BASELINE, source_ae_title="WS",
    )  # fmt: skip
    return meta + frame(number)


def store_command(
    sop_instance_uid: str, *, message_id: int = 1, sop_class_uid: str = VL_ENDOSCOPIC
) -> bytes:
    """Return a C-STORE-RQ command set (PS3.7 9.3.1.1), Implicit VR Little Endian."""

    def element(number: int, value: bytes) -> bytes:
        value += b"\0" * (len(value) % 2)
        return struct.pack("<HHL", 0, number, len(value)) + value

    body = b"".join(
        (
            element(0x0002, sop_class_uid.encode()),
            element(0x0100, struct.pack("<H", 0x0001)),
            element(0x0110, struct.pack("<H", message_id)),
            element(0x0700, struct.pack("<H", 0)),
            element(0x0800, struct.pack("<H", 0x0000)),
            element(0x1000, sop_instance_uid.encode("latin-1")),
        )
    )
    return element(0x0000, struct.pack("<L", len(body))) + body


def cut(data: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """Yield `data` in pieces of the given sizes, over and over; even an empty one once."""
    position, turn = 0, 0
    while True:
        size = sizes[turn % len(sizes)]
        yield data[position : position + size]
        position, turn = position + size, turn + 1
        if position >= len(data):
            return


def p_data(values: Sequence[tuple[int, int, bytes]]) -> bytes:
    """Return a P-DATA-TF PDU of (context id, control header, fragment)."""
    body = b"".join(
        struct.pack(">LBB", len(fragment) + 2, context_id, control) + fragment
        for context_id, control, fragment in values
    )
    return struct.pack(">BxL", 0x04, len(body)) + body


__all__ = [
    "JPEG_BASELINE", "SERIES_UID", "STUDY_UID", "VL_ENDOSCOPIC",
    "cut", "data_set", "encoded", "frame", "jpeg", "p_data", "store_command",
]  # fmt: skip
