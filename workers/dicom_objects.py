"""Pure: what every instance we make has in common: identity, equipment, codes, encoding.

What distinguishes one kind of instance from another lives with that kind, in workers.wrap and
workers.summary.
"""

import hashlib
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from gateway import __version__
from gateway.dicom import identity, legal, part10, uids
from gateway.dicom.storage_classes import EXPLICIT_LITTLE, JPEG_BASELINE
from gateway.dicom.uids import IMPLEMENTATION_CLASS_UID

RULESET = "1"
"""Part of every derived UID. Raise it when the same frames shall give other instances."""

MODEL_NAME = "capsule-gateway"

_NOT_OF_A_DOCUMENT = ("BodyPartExamined", "ProtocolName", "BurnedInAnnotation", "ImageLaterality")
_TYPE_2 = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "StudyID", "AccessionNumber", "ReferringPhysicianName", "Manufacturer",
)  # fmt: skip
"""Present in every instance, empty where the source does not say (PS3.3 C.7.1.1, C.7.2.1)."""

_ZONE = re.compile(r"([+-])(0\d|1[0-4])([0-5]\d)")


@dataclass(frozen=True)
class SourceStudy:
    """The study our instances belong to.

    attributes: gateway.model.StudyIdentity.attributes. received_at: when its first instance
    came; stands in for the clock, so that the same input gives the same bytes.
    """

    tenant: str
    study_instance_uid: str
    received_at: datetime
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def series_uid(self, role: str) -> str:
        """Return the Series Instance UID all our instances of a role share."""
        return uids.derived(self.tenant, "series", role, self.study_instance_uid, RULESET)


@dataclass(frozen=True)
class Placement:
    """Where an instance lies in its study, and what it is."""

    role: str
    sop_class_uid: str
    modality: str
    series_number: int
    series_description: str
    instance_number: int


@dataclass(frozen=True)
class Reference:
    """What another instance needs to know to refer to one."""

    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class MadeInstance:
    """An instance small enough to be held in memory. contents: the Part 10 file."""

    place: Placement
    reference: Reference
    transfer_syntax_uid: str
    contents: bytes


def common(study: SourceStudy, place: Placement) -> Dataset:
    """Return patient, study, series, equipment and SOP common modules, without SOP Instance UID.

    `name` adds that, when everything else is in.
    """
    ds = identity.as_dataset(study.attributes)
    legal.make_legal(ds)
    ds.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _TYPE_2:
        if keyword not in ds:
            setattr(ds, keyword, "")
    ds.StudyInstanceUID = study.study_instance_uid
    ds.SOPClassUID = place.sop_class_uid
    ds.Modality = place.modality
    ds.SeriesInstanceUID = study.series_uid(place.role)
    ds.SeriesNumber = place.series_number
    ds.SeriesDescription = place.series_description
    ds.InstanceNumber = place.instance_number
    # Without it, receivers that do not know the body part ask for a Laterality (C.7.3.1).
    ds.ImageLaterality = "U"  # unpaired
    created = created_at(ds, study)
    ds.InstanceCreationDate = created.strftime("%Y%m%d")
    ds.InstanceCreationTime = created.strftime("%H%M%S")
    ds.InstanceCreatorUID = IMPLEMENTATION_CLASS_UID
    return ds


def created_at(ds: Dataset, study: SourceStudy) -> datetime:
    """Return the moment of Instance Creation in the zone of the data set."""
    return study.received_at.astimezone(_zone(ds))


def without_image_attributes(ds: Dataset) -> Dataset:
    """Remove what is said of images and a document has no module for."""
    for keyword in _NOT_OF_A_DOCUMENT:
        if keyword in ds:
            delattr(ds, keyword)
    return ds


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Return an item of a code sequence (PS3.3 8.8)."""
    ds = Dataset()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = value, scheme, meaning
    return ds


def gastrointestinal_tract() -> Sequence:
    """Return the Anatomic Region Sequence for frames of unknown position (type 1C, VL Image)."""
    return Sequence([code("122865005", "SCT", "Gastrointestinal tract structure")])


def modifying_equipment(description: str) -> Dataset:
    """Return the Contributing Equipment item that names this gateway (PS3.3 C.12.1)."""
    ds = Dataset()
    ds.Manufacturer = MODEL_NAME
    ds.ManufacturerModelName = MODEL_NAME
    ds.SoftwareVersions = __version__
    ds.ContributionDescription = description
    ds.PurposeOfReferenceCodeSequence = Sequence([code("109103", "DCM", "Modifying Equipment")])
    return ds


def source_image(
    sop_class_uid: str,
    sop_instance_uid: str,
    purpose: Dataset,
    *,
    frame_number: int | None = None,
) -> Dataset:
    """Return an item of a Source Image Sequence. frame_number: 1-based."""
    ds = Dataset()
    ds.ReferencedSOPClassUID = sop_class_uid
    ds.ReferencedSOPInstanceUID = sop_instance_uid
    if frame_number is not None:
        ds.ReferencedFrameNumber = frame_number
    ds.PurposeOfReferenceCodeSequence = Sequence([purpose])
    return ds


def name(ds: Dataset, study: SourceStudy, role: str, *contents: str) -> str:
    """Set and return the SOP Instance UID: it follows from every other byte of the instance.

    contents: digests of what is not in the data set, the pixel data. Archives keep the old
    bytes, with status Success, when a UID comes again with other ones; this one never does.
    """
    digest = hashlib.sha256(encode_data_set(ds)).hexdigest()
    ds.SOPInstanceUID = uids.derived(
        study.tenant, role, study.study_instance_uid, digest, *contents, RULESET
    )
    uid: str = ds.SOPInstanceUID
    return uid


def encode_data_set(ds: Dataset) -> bytes:
    """Return a data set in Explicit VR Little Endian, as also JPEG Baseline uses."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, ds)
    encoded: bytes = buffer.getvalue()
    return encoded


def encode_head(ds: Dataset, transfer_syntax_uid: str) -> bytes:
    """Return a Part 10 file up to, not including, the pixel data element."""
    meta = part10.encode_file_meta(
        sop_class_uid=ds.SOPClassUID,
        sop_instance_uid=ds.SOPInstanceUID,
        transfer_syntax_uid=transfer_syntax_uid,
    )
    return meta + encode_data_set(ds)


def document(ds: Dataset, study: SourceStudy, place: Placement) -> MadeInstance:
    """Name and encode an instance without pixel data."""
    uid = name(ds, study, place.role)
    reference = Reference(ds.SeriesInstanceUID, place.sop_class_uid, uid)
    return MadeInstance(place, reference, EXPLICIT_LITTLE, encode_head(ds, EXPLICIT_LITTLE))


def single_frame_image(
    ds: Dataset, study: SourceStudy, place: Placement, fragment: bytes
) -> MadeInstance:
    """Name and encode an instance with one frame: see `image`."""
    return image(ds, study, place, [fragment])


def image(
    ds: Dataset,
    study: SourceStudy,
    place: Placement,
    fragments: Iterable[bytes],
) -> MadeInstance:
    """Name and encode an instance of JPEG Baseline frames, one fragment each (PS3.5 A.4).

    fragments: JPEG streams, few enough for memory; padded here if of odd length, else untouched.
    A data set that has its SOP Instance UID already keeps it.
    """
    padded = [one + b"\0" * (len(one) % 2) for one in fragments]
    if "SOPInstanceUID" not in ds:
        name(ds, study, place.role, *(hashlib.sha256(one).hexdigest() for one in padded))
    sizes = [len(one) + 8 for one in padded]
    starts = [sum(sizes[:position]) for position in range(len(sizes))]
    pieces = [
        encode_head(ds, JPEG_BASELINE),
        struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF),
        struct.pack("<HHL", 0xFFFE, 0xE000, 4 * len(starts)),  # Basic Offset Table
        struct.pack(f"<{len(starts)}L", *starts),
    ]
    for one in padded:
        pieces += [struct.pack("<HHL", 0xFFFE, 0xE000, len(one)), one]
    pieces.append(struct.pack("<HHL", 0xFFFE, 0xE0DD, 0))
    reference = Reference(ds.SeriesInstanceUID, place.sop_class_uid, ds.SOPInstanceUID)
    return MadeInstance(place, reference, JPEG_BASELINE, b"".join(pieces))


def _zone(ds: Dataset) -> timezone:
    """Return the zone that Timezone Offset From UTC puts all times of the data set in."""
    match = _ZONE.fullmatch(str(ds.get("TimezoneOffsetFromUTC", "")))
    if match is None:
        return timezone(timedelta(0))
    minutes = int(match[2]) * 60 + int(match[3])
    return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))
