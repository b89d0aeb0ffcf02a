"""Pure: the header of one part, a Video Endoscopic Image (PS3.3 A.32.5) of JPEG frames."""

import hashlib
from dataclasses import dataclass

import numpy as np
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from gateway.dicom import times, uids
from gateway.dicom.storage_classes import VIDEO_ENDOSCOPIC
from gateway.model import DerivedRole, FrameEncoding
from workers import dicom_objects
from workers.dicom_objects import Placement, SourceStudy
from workers.wrap.recording import Recording
from workers.wrap.segment import Part
from workers.wrap.timing import Timeline, frame_time_vector

MODALITY = "ES"
DISPLAY_FRAME_RATE = 10
"""Frames a second a reader starts with; the real rate is in the Frame Time Vector."""
PRIVATE_GROUP, PRIVATE_CREATOR = 0x0029, "CAPSGW 1.0"
LEGEND = "01 source SOP Instance UIDs, 02 uint64 LE us since first frame"
"""Within 64 characters, VR LO."""

_PHOTOMETRIC_INTERPRETATION = {
    # Subsampling in the stream may differ from what the label says (PS3.3 C.7.6.3.1.2).
    FrameEncoding.JPEG_YBR: "YBR_FULL_422",
    FrameEncoding.JPEG_RGB: "RGB",
}
_REGIONS = {
    "ESOPHAGUS": ("32849002", "Esophagus"),
    "STOMACH": ("69695003", "Stomach"),
    "DUODENUM": ("38848004", "Duodenum"),
    "JEJUNUM": ("21306003", "Jejunum"),
    "ILEUM": ("34516001", "Ileum"),
    "SMALLINTESTINE": ("30315005", "Small intestine"),
    "COLON": ("71854001", "Colon"),
    "RECTUM": ("34402009", "Rectum"),
}
"""Body Part Examined (PS3.16 Annex L) -> code of the same organ (PS3.16 CID 4030)."""


@dataclass(frozen=True)
class Source:
    """A recording as its parts' headers need it. number: 1-based among those of the study."""

    study: SourceStudy
    number: int
    recording: Recording
    timeline: Timeline


def series_uid(source: Source) -> str:
    """Return the Series Instance UID of all parts of a recording."""
    study = source.study
    names = ("series", DerivedRole.FRAMES, study.study_instance_uid)
    own = source.recording.series_instance_uid
    return uids.derived(study.tenant, *names, own, dicom_objects.RULESET)


def header(source: Source, part: Part, ends: tuple[str, str]) -> Dataset:
    """Return everything before the pixel data of a part, its SOP Instance UID included.

    ends: SOP Class UIDs of its first and of its last source instance. The UID follows from
    the header and from the frames' digests: other contents, another UID.
    """
    study, frames = source.study, source.recording.frames[part.positions]
    series = f"Capsule frames {source.number}" if source.number > 1 else "Capsule frames"
    place = Placement(
        DerivedRole.FRAMES, VIDEO_ENDOSCOPIC, MODALITY, source.number, series, part.number
    )
    ds = dicom_objects.common(study, place)
    ds.SeriesInstanceUID = series_uid(source)
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    _add_times(ds, source, part)
    _add_anatomy(ds)
    _add_pixels(ds, part, int(frames["fragment_size"].sum()))
    _add_provenance(ds, source, part, ends)
    digest = hashlib.sha256(frames["fragment_digest"].tobytes()).hexdigest()
    own = source.recording.series_instance_uid
    dicom_objects.name(ds, study, DerivedRole.FRAMES, own, digest)
    return ds


def first_frame_at(source: Source, part: Part) -> str:
    """Return the local time of a part's first frame, ISO 8601; empty if nobody knows."""
    if not source.timeline.anchored:
        return ""
    return times.to_datetime(_part_start_us(source, part)).isoformat(timespec="microseconds")


def _part_start_us(source: Source, part: Part) -> int:
    return source.timeline.started_us + int(source.timeline.elapsed_us[part.positions[0]])


def _add_times(ds: Dataset, source: Source, part: Part) -> None:
    """Add when: General Series, General Image, Cine (PS3.3 C.7.3.1, C.7.6.1, C.7.6.5)."""
    series_start = times.to_datetime(source.timeline.started_us)
    start = times.to_datetime(_part_start_us(source, part))
    ds.SeriesDate, ds.SeriesTime = f"{series_start:%Y%m%d}", f"{series_start:%H%M%S.%f}"
    ds.ContentDate, ds.ContentTime = f"{start:%Y%m%d}", f"{start:%H%M%S.%f}"
    if source.timeline.anchored:
        ds.AcquisitionDate, ds.AcquisitionTime = ds.ContentDate, ds.ContentTime
        moment = f"{start:%Y%m%d%H%M%S.%f}"
        zoned = moment + str(ds.get("TimezoneOffsetFromUTC", ""))
        legal = times.from_date_time(zoned) != times.UNKNOWN
        ds.AcquisitionDateTime = zoned if legal else moment
    vector = frame_time_vector(source.timeline.elapsed_us[part.positions])
    _set_raw(ds, "FrameTimeVector", "DS", "\\".join(map(str, vector.tolist())))
    ds.FrameIncrementPointer = tag_for_keyword("FrameTimeVector")
    ds.FrameDelay = "0"
    ds.EffectiveDuration = f"{int(vector.sum()) / 1000:.3f}"
    ds.RecommendedDisplayFrameRate = DISPLAY_FRAME_RATE
    ds.PreferredPlaybackSequencing = 0


def _add_anatomy(ds: Dataset) -> None:
    """Add the region. Laterality is never sent: these organs are unpaired (PS3.3 C.7.3.1)."""
    region = _REGIONS.get(str(ds.get("BodyPartExamined", "")))
    ds.AnatomicRegionSequence = (
        dicom_objects.gastrointestinal_tract()
        if region is None
        else Sequence([dicom_objects.code(region[0], "SCT", region[1])])
    )


def _add_pixels(ds: Dataset, part: Part, jpeg_bytes: int) -> None:
    """Add Image Pixel, Multi-frame, VL Image and Acquisition Context attributes."""
    frame_count = len(part.positions)
    ds.PatientOrientation = ""
    ds.SamplesPerPixel = 3
    ds.PhotometricInterpretation = _PHOTOMETRIC_INTERPRETATION[part.encoding]
    ds.PlanarConfiguration = 0
    ds.NumberOfFrames = frame_count
    ds.Rows, ds.Columns = part.rows, part.columns
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    ds.PixelRepresentation = 0
    # What is drawn into the frames nobody checked, unless the source did.
    ds.BurnedInAnnotation = "NO" if ds.get("BurnedInAnnotation") == "NO" else "YES"
    ds.LossyImageCompression = "01"
    ratio = part.rows * part.columns * 3 * frame_count / jpeg_bytes
    ds.LossyImageCompressionRatio = f"{ratio:.4g}"
    ds.LossyImageCompressionMethod = "ISO_10918_1"
    ds.AcquisitionContextSequence = Sequence()


def _add_provenance(ds: Dataset, source: Source, part: Part, ends: tuple[str, str]) -> None:
    """Add from which instances the frames come, through which equipment, and how to find them."""
    frames = source.recording.frames
    first, last = part.positions[0], part.positions[-1]
    ds.SourceImageSequence = Sequence(
        dicom_objects.source_image(
            sop_class_uid,
            bytes(frames["sop_instance_uid"][position]).decode(),
            dicom_objects.code("121322", "DCM", "Source image for image processing operation"),
        )
        for position, sop_class_uid in dict(zip((first, last), ends, strict=True)).items()
    )
    gateway = dicom_objects.modifying_equipment("Source JPEG streams encapsulated unchanged")
    gateway.ContributionDateTime = f"{dicom_objects.created_at(ds, source.study):%Y%m%d%H%M%S%z}"
    ds.ContributingEquipmentSequence = Sequence([*_acquisition_equipment(ds), gateway])
    elapsed_us = source.timeline.elapsed_us[part.positions]
    span = f"{first + 1}-{last + 1}"
    if last - first + 1 > len(part.positions):
        span = f"{len(part.positions)} of {span}"
    ds.ImageComments = f"Part {part.number}, frames {span}, {_clock(int(elapsed_us[0]))}"
    block = ds.private_block(PRIVATE_GROUP, PRIVATE_CREATOR, create=True)
    names = frames["sop_instance_uid"][part.positions].tolist()
    block.add_new(0x01, "UT", b"\n".join(names).decode())
    if not source.timeline.estimated:
        block.add_new(0x02, "OB", np.maximum(elapsed_us, 0).astype("<u8").tobytes())
    block.add_new(0x03, "LO", LEGEND)


def _acquisition_equipment(ds: Dataset) -> list[Dataset]:
    """Return the item of the recorder, if the source names its maker (type 1 there)."""
    if not ds.get("Manufacturer"):
        return []
    item = Dataset()
    named = ("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions")
    for keyword in named:
        if ds.get(keyword):
            item[keyword] = ds[keyword]
    item.PurposeOfReferenceCodeSequence = Sequence(
        [dicom_objects.code("109101", "DCM", "Acquisition Equipment")]
    )
    return [item]


def _set_raw(ds: Dataset, keyword: str, vr: str, text: str) -> None:
    """Set a value of thousands of numbers as it will be written: pydicom would parse each."""
    value = text.encode("ascii")
    value += b" " * (len(value) % 2)
    tag = Tag(keyword)
    ds[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)


def _clock(elapsed_us: int) -> str:
    seconds = max(0, elapsed_us) // 1_000_000
    return f"+{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
