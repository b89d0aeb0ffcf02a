"""Pure: single-frame VL Endoscopic instances of imported frames (PS3.3 A.32.1).

Only a few elements differ between the instances of a series; the others are encoded once.
"""

import struct
from dataclasses import dataclass
from functools import lru_cache

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from gateway.dicom import times
from gateway.dicom.storage_classes import JPEG_BASELINE, VL_ENDOSCOPIC
from gateway.importing.content import Content, Loss
from gateway.importing.order import Order


@dataclass(frozen=True)
class SeriesOrder:
    """What all instances of a series share. order: complete, with Study Instance UID and date."""

    order: Order
    series_instance_uid: str
    series_number: int
    series_description: str = ""


def data_set(
    series: SeriesOrder, content: Content, *, sop_instance_uid: str, number: int, taken_us: int
) -> bytes:
    """Return the encoded data set of one frame, Explicit VR Little Endian.

    number: Instance Number; taken_us: gateway.dicom.times, UNKNOWN leaves the times out.
    """
    kind = _Kind(
        content.rows, content.columns, content.photometric_interpretation,
        content.derivation, tuple(loss.method for loss in content.losses), taken_us >= 0,
    )  # fmt: skip
    varying = [_element(0x0008, 0x0018, b"UI", sop_instance_uid, pad=b"\0")]
    if kind.timed:
        moment = times.to_datetime(taken_us)
        day, clock = f"{moment:%Y%m%d}", f"{moment:%H%M%S.%f}"
        varying += [
            _element(0x0008, 0x0023, b"DA", day),
            _element(0x0008, 0x002A, b"DT", day + clock),
            _element(0x0008, 0x0033, b"TM", clock),
        ]
    varying.append(_element(0x0020, 0x0013, b"IS", str(number)))
    if content.losses:
        varying.append(_element(0x0028, 0x2112, b"DS", _ratios(content.losses)))
    varying.append(_pixel_data(content))
    constant = _constant_parts(series, kind)
    return b"".join(part for pair in zip(constant, varying, strict=True) for part in pair)


@dataclass(frozen=True)
class _Kind:
    """What decides the elements that do not vary from frame to frame."""

    rows: int
    columns: int
    photometric_interpretation: str
    derivation: str
    methods: tuple[str, ...]
    timed: bool

    @property
    def varying_tags(self) -> list[int]:
        tags = [0x00080018]
        tags += [0x00080023, 0x0008002A, 0x00080033] if self.timed else []
        return [*tags, 0x00200013, *([0x00282112] if self.methods else []), 0x7FE00010]


@lru_cache(maxsize=64)
def _constant_parts(series: SeriesOrder, kind: _Kind) -> tuple[bytes, ...]:
    """Return what stands before each varying element."""
    ds = _constant_elements(series, kind)
    parts = []
    after = 0
    for tag in kind.varying_tags:
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, False
        write_dataset(buffer, ds[after:tag], parent_encoding="utf8")
        parts.append(buffer.getvalue())
        after = tag
    return tuple(parts)


def _constant_elements(series: SeriesOrder, kind: _Kind) -> Dataset:
    order = series.order
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = VL_ENDOSCOPIC
    _patient_and_study(ds, order)
    ds.Modality = "ES"
    ds.SeriesInstanceUID, ds.SeriesNumber = series.series_instance_uid, series.series_number
    ds.SeriesDescription = series.series_description
    ds.Manufacturer = order.manufacturer
    for keyword, value in (
        ("ManufacturerModelName", order.manufacturer_model_name),
        ("DeviceSerialNumber", order.device_serial_number),
        ("InstitutionName", order.institution_name),
        ("TimezoneOffsetFromUTC", order.timezone_offset_from_utc),
    ):
        if value:
            setattr(ds, keyword, value)
    ds.BodyPartExamined = "ABDOMEN"  # unpaired: without it Laterality is required (C.7.3.1)
    ds.AnatomicRegionSequence = [_code("122865005", "SCT", "Gastrointestinal tract structure")]
    ds.PatientOrientation = ""
    ds.AcquisitionContextSequence = []
    _image(ds, kind)
    return ds


def _patient_and_study(ds: Dataset, order: Order) -> None:
    ds.PatientName, ds.PatientID = order.patient_name, order.patient_id
    ds.PatientBirthDate, ds.PatientSex = order.patient_birth_date, order.patient_sex
    ds.StudyInstanceUID = order.study_instance_uid
    ds.StudyDate, ds.StudyTime = order.study_date, order.study_time
    ds.StudyID, ds.AccessionNumber = order.study_id, order.accession_number
    ds.ReferringPhysicianName = order.referring_physician_name
    ds.StudyDescription = order.study_description
    if order.requested_procedure_id or order.scheduled_procedure_step_id:
        request = Dataset()
        request.RequestedProcedureDescription = order.requested_procedure_description
        request.ScheduledProcedureStepDescription = order.scheduled_procedure_step_description
        request.ScheduledProcedureStepID = order.scheduled_procedure_step_id
        request.RequestedProcedureID = order.requested_procedure_id
        for keyword in [one.keyword for one in request if not one.value]:
            del request[keyword]
        ds.RequestAttributesSequence = [request]


def _image(ds: Dataset, kind: _Kind) -> None:
    ds.ImageType = ["DERIVED" if kind.derivation else "ORIGINAL", "PRIMARY"]
    ds.SamplesPerPixel = 1 if kind.photometric_interpretation == "MONOCHROME2" else 3
    ds.PhotometricInterpretation = kind.photometric_interpretation
    if ds.SamplesPerPixel > 1:
        ds.PlanarConfiguration = 0
    ds.Rows, ds.Columns = kind.rows, kind.columns
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    ds.LossyImageCompression = "01" if kind.methods else "00"
    if kind.methods:
        ds.LossyImageCompressionMethod = list(kind.methods)
    if kind.derivation:
        ds.DerivationDescription = kind.derivation
        if kind.methods:
            ds.DerivationCodeSequence = [_code("113040", "DCM", "Lossy Compression")]


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _ratios(losses: tuple[Loss, ...]) -> str:
    """One value a method, in the same order; 1 where nobody knows (C.7.6.1.1.5.2)."""
    return "\\".join(f"{loss.ratio or 1:.2f}" for loss in losses)


def _element(group: int, element: int, vr: bytes, value: str, pad: bytes = b" ") -> bytes:
    """Encode an element of a VR with a 16-bit length (PS3.5 7.1.2)."""
    data = value.encode("ascii")
    data += pad * (len(data) % 2)
    return struct.pack("<HH2sH", group, element, vr, len(data)) + data


def _pixel_data(content: Content) -> bytes:
    """Encode Pixel Data: native, or one fragment behind a filled offset table (PS3.5 A.4)."""
    data = content.pixel_data + b"\0" * (len(content.pixel_data) % 2)
    if content.transfer_syntax_uid != JPEG_BASELINE:
        return struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, len(data)) + data
    return b"".join(
        (
            struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF),
            struct.pack("<HHLL", 0xFFFE, 0xE000, 4, 0),
            struct.pack("<HHL", 0xFFFE, 0xE000, len(data)),
            data,
            struct.pack("<HHL", 0xFFFE, 0xE0DD, 0),
        )
    )
