"""Pure: the study a synthetic recording belongs to, and its instances.

An instance is VL Endoscopic Image Storage with one JPEG Baseline frame, the way capsule
workstations send them. Only nine elements differ between the instances of a study; the
others are encoded once.
"""

import struct
import uuid
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import JPEGBaseline8Bit, VLEndoscopicImageStorage

from gateway.dicom.part10 import encode_file_meta
from gateway.simulator.capsule import SyntheticFrame
from gateway.simulator.storyline import recording_start

SOP_CLASS_UID = str(VLEndoscopicImageStorage)
TRANSFER_SYNTAX_UID = str(JPEGBaseline8Bit)

_UID_SPACE = uuid.UUID("ab7894a5-92b5-4a9d-a5f5-56e1a54b1b35")
_EDITION = 1
"""Goes into every UID: raise it whenever the same seed begins to give other bytes."""


@dataclass(frozen=True)
class SyntheticStudy:
    """What is the same in all instances of a study. No part of it is a real person.

    declared_count is what Images in Acquisition says; it need not be what is sent.
    """

    study_instance_uid: str
    series_instance_uid: str
    patient_id: str
    patient_name: str
    patient_birth_date: date
    accession_number: str
    started_at: datetime
    declared_count: int
    rows: int
    columns: int

    @classmethod
    def from_seed(
        cls, seed: int, *, declared_count: int, rows: int = 320, columns: int = 320
    ) -> "SyntheticStudy":
        """Make the study of `synthetic_frames(declared_count, seed=seed, ...)`.

        All that decides the frames goes into the UIDs: other bytes never get the same UID.
        """
        name = f"{_EDITION}|{seed}|{declared_count}|{rows}x{columns}"
        number = seed % 10_000
        return cls(
            study_instance_uid=_uid(f"study|{name}"),
            series_instance_uid=_uid(f"series|{name}"),
            patient_id=f"SYN-{number:04d}",
            patient_name="Synthetic^Patient=合成^患者",
            patient_birth_date=date(1950 + seed % 50, 1 + seed % 12, 1),
            accession_number=f"SYNACC{number:04d}",
            started_at=recording_start(seed),
            declared_count=declared_count,
            rows=rows,
            columns=columns,
        )

    def sop_instance_uid(self, frame_number: int) -> str:
        return _uid(f"{self.series_instance_uid}|{frame_number}")


def instance_bytes(study: SyntheticStudy, frame: SyntheticFrame) -> bytes:
    """Return one instance's data set in JPEG Baseline (PS3.5 A.4), without a Part 10 header.

    Pixel Data is one fragment after a filled Basic Offset Table.
    """
    return _data_set(study, frame, study.sop_instance_uid(frame.frame_number))


def part10_bytes(study: SyntheticStudy, frame: SyntheticFrame) -> bytes:
    """Return the same instance as a file: preamble, file meta information, data set."""
    sop_instance_uid = study.sop_instance_uid(frame.frame_number)
    head = encode_file_meta(
        sop_class_uid=SOP_CLASS_UID,
        sop_instance_uid=sop_instance_uid,
        transfer_syntax_uid=TRANSFER_SYNTAX_UID,
    )
    return head + _data_set(study, frame, sop_instance_uid)


def _uid(name: str) -> str:
    """Return a UUID-derived UID (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(_UID_SPACE, name).int}"


def _data_set(study: SyntheticStudy, frame: SyntheticFrame, sop_instance_uid: str) -> bytes:
    """Merge the elements that vary into the constant ones, in ascending tag order."""
    day, time = f"{frame.acquired_at:%Y%m%d}", f"{frame.acquired_at:%H%M%S.%f}"
    ratio = study.rows * study.columns * 3 / len(frame.jpeg)
    varying = (
        _element(0x0008, 0x0018, b"UI", sop_instance_uid, pad=b"\0"),
        _element(0x0008, 0x0022, b"DA", day),
        _element(0x0008, 0x0023, b"DA", day),
        _element(0x0008, 0x002A, b"DT", day + time),
        _element(0x0008, 0x0032, b"TM", time),
        _element(0x0008, 0x0033, b"TM", time),
        _element(0x0020, 0x0013, b"IS", str(frame.frame_number)),
        _element(0x0028, 0x2112, b"DS", f"{ratio:.2f}"),
        _pixel_data(frame.jpeg),
    )
    constant = _constant_parts(study)
    return b"".join(part for pair in zip(constant, varying, strict=True) for part in pair)


_VARYING_TAGS = (
    0x00080018, 0x00080022, 0x00080023, 0x0008002A, 0x00080032, 0x00080033,
    0x00200013, 0x00282112, 0x7FE00010,
)  # fmt: skip


@lru_cache(maxsize=16)
def _constant_parts(study: SyntheticStudy) -> tuple[bytes, ...]:
    """Return what stands before each of _VARYING_TAGS, encoded Explicit VR Little Endian."""
    ds = _constant_elements(study)
    parts = []
    after = 0
    for tag in _VARYING_TAGS:
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, False
        write_dataset(buffer, ds[after:tag], parent_encoding="utf8")
        parts.append(buffer.getvalue())
        after = tag
    return tuple(parts)


def _constant_elements(study: SyntheticStudy) -> Dataset:
    """Return the elements that are the same in every instance (PS3.3 A.32.1)."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.SOPClassUID = SOP_CLASS_UID
    ds.StudyDate = ds.SeriesDate = f"{study.started_at:%Y%m%d}"
    ds.StudyTime = ds.SeriesTime = f"{study.started_at:%H%M%S}"
    ds.AccessionNumber = study.accession_number
    ds.Modality = "ES"
    ds.Manufacturer = "capsule-gateway simulator"
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = "Synthetic capsule endoscopy"
    ds.SeriesDescription = "Capsule frames"
    ds.ManufacturerModelName = "Synthetic capsule"
    ds.AnatomicRegionSequence = [_gastrointestinal_tract()]
    ds.PatientName = study.patient_name
    ds.PatientID = study.patient_id
    ds.PatientBirthDate = f"{study.patient_birth_date:%Y%m%d}"
    ds.PatientSex = "O"
    ds.BodyPartExamined = "ABDOMEN"  # unpaired: without it Laterality is required (C.7.3.1)
    ds.DeviceSerialNumber = study.patient_id
    ds.SoftwareVersions = f"edition {_EDITION}"
    ds.StudyInstanceUID = study.study_instance_uid
    ds.SeriesInstanceUID = study.series_instance_uid
    ds.StudyID = study.accession_number
    ds.SeriesNumber = 1
    ds.PatientOrientation = ""
    ds.ImagesInAcquisition = study.declared_count
    ds.SamplesPerPixel = 3
    ds.PhotometricInterpretation = "YBR_FULL_422"
    ds.PlanarConfiguration = 0
    ds.Rows, ds.Columns = study.rows, study.columns
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    ds.PixelRepresentation = 0
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "01"
    ds.LossyImageCompressionMethod = "ISO_10918_1"
    ds.AcquisitionContextSequence = []
    return ds


def _gastrointestinal_tract() -> Dataset:
    """Return a region that holds for every frame: the capsule does not know where it is."""
    item = Dataset()
    item.CodeValue = "122865005"
    item.CodingSchemeDesignator = "SCT"
    item.CodeMeaning = "Gastrointestinal tract structure"
    return item


def _element(group: int, element: int, vr: bytes, value: str, pad: bytes = b" ") -> bytes:
    """Encode an element of a VR with a 16-bit length (PS3.5 7.1.2)."""
    data = value.encode("ascii")
    data += pad * (len(data) % 2)
    return struct.pack("<HH2sH", group, element, vr, len(data)) + data


def _pixel_data(jpeg: bytes) -> bytes:
    """Encapsulate one frame: offset table item, one fragment, delimiter (PS3.5 A.4)."""
    padded = jpeg + b"\0" * (len(jpeg) % 2)
    return b"".join(
        (
            struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF),
            struct.pack("<HHLL", 0xFFFE, 0xE000, 4, 0),
            struct.pack("<HHL", 0xFFFE, 0xE000, len(padded)),
            padded,
            struct.pack("<HHL", 0xFFFE, 0xE0DD, 0),
        )
    )
