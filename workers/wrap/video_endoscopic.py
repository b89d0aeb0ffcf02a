"""Pure: the header of one part, a Video Endoscopic Image (PS3.3 A.32.5) of JPEG frames."""

import hashlib
from dataclasses import dataclass, field

import numpy as np
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from gateway.dicom import private_block, times, uids
from gateway.dicom.storage_classes import MULTI_FRAME_CLASSES, VIDEO_ENDOSCOPIC
from gateway.model import Compression, DerivedRole, FrameEncoding, FrameTreatment
from workers import dicom_objects
from workers.dicom_objects import Placement, SourceStudy
from workers.wrap.recording import Frames, Recording
from workers.wrap.segment import Part
from workers.wrap.timing import Timeline, frame_time_vector

MODALITY = "ES"
DISPLAY_FRAME_RATE = 10
"""Frames a second a reader starts with; the real rate is in the Frame Time Vector."""
REENCODED = (
    "Decoded and compressed once as JPEG Baseline, quality 95, without subsampling,"
    " because the frames came in a form this instance cannot carry."
)

PHOTOMETRIC_INTERPRETATION = {
    # Subsampling in the stream may differ from what the label says (PS3.3 C.7.6.3.1.2).
    FrameEncoding.JPEG_YBR: "YBR_FULL_422",
    FrameEncoding.JPEG_RGB: "RGB",
    FrameEncoding.JPEG_GREY: "MONOCHROME2",
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


HISTORY = (
    "ImageType", "LossyImageCompressionRatio", "LossyImageCompressionMethod", "ICCProfile",
    "ColorSpace",
)  # fmt: skip
"""What a source says of its pixels that stays true of a part."""


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


@dataclass(frozen=True)
class Origin:
    """What a part's source instances say of themselves. ends: SOP Class UIDs of the first and of
    the last; header: of the first, those of HISTORY it has."""

    ends: tuple[str, str]
    header: Dataset = field(default_factory=Dataset)


def header(source: Source, part: Part, origin: Origin) -> Dataset:
    """Return everything before the pixel data of a part, its SOP Instance UID included.

    The UID follows from the header and from the frames' digests: other contents, another UID.
    """
    study, frames = source.study, source.recording.frames[part.positions]
    series = f"Capsule frames {source.number}" if source.number > 1 else "Capsule frames"
    place = Placement(
        DerivedRole.FRAMES, VIDEO_ENDOSCOPIC, MODALITY, source.number, series, part.number
    )
    ds = dicom_objects.common(study, place)
    ds.SeriesInstanceUID = series_uid(source)
    derived = part.reencoded or _first(origin.header, "ImageType") == "DERIVED"
    ds.ImageType = ["DERIVED" if derived else "ORIGINAL", "PRIMARY"]
    _add_times(ds, source, part)
    _add_anatomy(ds)
    _add_pixels(ds, part)
    _add_compression(ds, part, frames, origin.header)
    _add_colours(ds, part, origin.header)
    _add_sources(ds, part, frames, origin.ends)
    _add_provenance(ds, source, part)
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
    _set_text(ds, "FrameTimeVector", "DS", "\\".join(map(str, vector.tolist())))
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


def _add_pixels(ds: Dataset, part: Part) -> None:
    """Add Image Pixel, Multi-frame, VL Image and Acquisition Context attributes."""
    ds.PatientOrientation = ""
    ds.SamplesPerPixel = samples_per_pixel(part)
    ds.PhotometricInterpretation = PHOTOMETRIC_INTERPRETATION[part.encoding]
    if ds.SamplesPerPixel > 1:
        ds.PlanarConfiguration = 0
    ds.NumberOfFrames = len(part.positions)
    ds.Rows, ds.Columns = part.rows, part.columns
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    ds.PixelRepresentation = 0
    # What is drawn into the frames nobody checked, unless the source did.
    ds.BurnedInAnnotation = "NO" if ds.get("BurnedInAnnotation") == "NO" else "YES"
    ds.AcquisitionContextSequence = Sequence()


def samples_per_pixel(part: Part) -> int:
    return 1 if part.encoding is FrameEncoding.JPEG_GREY else 3


def _first(ds: Dataset, keyword: str) -> str:
    values = ds.get(keyword) or ""
    return str(values if isinstance(values, str) else next(iter(values), ""))


def _earlier(said: Dataset, *, last_is_known: bool) -> list[tuple[str, str]]:
    """Return (ratio, method) of each lossy compression a source says it has been through.

    last_is_known: the latest of them is one that we measure ourselves. Where ratios and methods
    do not match each other, nothing is repeated.
    """
    ratios, methods = (
        [str(one) for one in (value if isinstance(value, MultiValue) else [value])]
        for value in (
            said.get("LossyImageCompressionRatio", ""),
            said.get("LossyImageCompressionMethod", ""),
        )
    )
    if len(ratios) != len(methods):
        return []
    pairs = [one for one in zip(ratios, methods, strict=True) if all(one)]
    return pairs[:-1] if last_is_known else pairs


def _add_colours(ds: Dataset, part: Part, said: Dataset) -> None:
    """Repeat the source's ICC Profile (PS3.3 C.11.15), which says what its colours mean."""
    if samples_per_pixel(part) == 3 and said.get("ICCProfile"):
        ds.ICCProfile = said.ICCProfile
        if said.get("ColorSpace"):
            ds.ColorSpace = said.ColorSpace


def _add_compression(ds: Dataset, part: Part, frames: Frames, said: Dataset) -> None:
    """Add how often and how far the frames were compressed with loss (PS3.3 C.7.6.1.1.5)."""
    native_bytes = part.rows * part.columns * samples_per_pixel(part) * len(frames)
    sizes = [int(frames["fragment_size"].sum())]
    methods = [Compression.JPEG.method]
    if part.earlier is not Compression.LOSSLESS:
        sizes.insert(0, int(frames["source_size"].sum()))
        methods.insert(0, part.earlier.method)
    ds.LossyImageCompression = "01"
    last_is_known = not part.reencoded or part.earlier is not Compression.LOSSLESS
    before = _earlier(said, last_is_known=last_is_known)
    ratios = [f"{native_bytes / size:.4g}" for size in sizes]
    ds.LossyImageCompressionRatio = [*(ratio for ratio, _ in before), *ratios]
    ds.LossyImageCompressionMethod = [*(method for _, method in before), *methods]
    if part.reencoded:
        ds.DerivationDescription = REENCODED
        ds.DerivationCodeSequence = Sequence(
            [dicom_objects.code("113040", "DCM", "Lossy Compression")]
        )


def _add_sources(ds: Dataset, part: Part, frames: Frames, ends: tuple[str, str]) -> None:
    """Refer to the first and the last source instance, each once (PS3.16 CID 7202)."""
    purpose = ("121322", "DCM", "Source image for image processing operation")
    if part.reencoded:
        purpose = (
            ("121320", "DCM", "Uncompressed predecessor")
            if part.earlier is Compression.LOSSLESS
            else ("121330", "DCM", "Lossy compressed predecessor")
        )
    items = {}
    for position, sop_class_uid in zip((0, -1), ends, strict=True):
        uid = bytes(frames["sop_instance_uid"][position]).decode()
        several = sop_class_uid in MULTI_FRAME_CLASSES  # PS3.3 10.3: of others there are no numbers
        number = int(frames["source_frame"][position]) if several else 0
        items[uid, number] = dicom_objects.source_image(
            sop_class_uid, uid, dicom_objects.code(*purpose), frame_number=number or None
        )
    ds.SourceImageSequence = Sequence(items.values())


def _add_provenance(ds: Dataset, source: Source, part: Part) -> None:
    """Add through which equipment the frames came, and how to find them again."""
    frames = source.recording.frames[part.positions]
    gateway = dicom_objects.modifying_equipment(_what_was_done(frames))
    gateway.ContributionDateTime = f"{dicom_objects.created_at(ds, source.study):%Y%m%d%H%M%S%z}"
    ds.ContributingEquipmentSequence = Sequence([*_acquisition_equipment(ds), gateway])
    elapsed_us = source.timeline.elapsed_us[part.positions]
    since = times.clock(int(elapsed_us[0]) // 1000)
    ds.ImageComments = f"Part {part.number}{_span(source, part)}, {since}"
    block = ds.private_block(private_block.GROUP, private_block.CREATOR, create=True)
    block.add_new(private_block.SOURCE_NAMES, "UT", _source_names(frames))
    if not source.timeline.estimated:
        exact = np.maximum(elapsed_us, 0).astype("<u8").tobytes()
        block.add_new(private_block.ELAPSED_US, "OB", exact)
    block.add_new(private_block.LEGEND, "LO", list(private_block.LEGEND_TEXT))
    block.add_new(private_block.DIGESTS, "OB", frames["fragment_digest"].tobytes())
    if frames["treatment"].any():
        treatments = frames["treatment"].tobytes()
        padding = b"\0" * (len(treatments) % 2)
        block.add_new(private_block.TREATMENTS, "OB", treatments + padding)


def _span(source: Source, part: Part) -> str:
    """Return which frames these are by the numbers of their source, which do not move when
    a frame that was missing comes late; empty if they do not count."""
    numbers = source.recording.frames["instance_number"]
    if (numbers < 0).any() or (np.diff(numbers) <= 0).any():
        return ""
    first, last = (int(numbers[part.positions[end]]) for end in (0, -1))
    several = last - first + 1 > len(part.positions)
    return (
        f", frames {len(part.positions)} of {first}-{last}"
        if several
        else (f", frames {first}-{last}")
    )


def _source_names(frames: Frames) -> str:
    names = frames["sop_instance_uid"].tolist()
    if frames["source_frame"].any():
        numbers = frames["source_frame"].tolist()
        names = [
            name + b" %d" % number if number else name
            for name, number in zip(names, numbers, strict=True)
        ]
    return b"\n".join(names).decode()


def _what_was_done(frames: Frames) -> str:
    """Return the Contribution Description (VR ST): what was done, and to how many frames."""
    kinds, counts = np.unique(frames["treatment"], return_counts=True)
    done = [
        (FrameTreatment(int(kind)), int(count))
        for kind, count in zip(kinds, counts, strict=True)
        if kind
    ]
    if not done:
        return "Source JPEG streams encapsulated unchanged"
    words = "; ".join(f"{count} {treatment.in_words}" for treatment, count in done)
    return f"Source frames encapsulated as JPEG Baseline, of {len(frames)}: {words}"


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


def _set_text(ds: Dataset, keyword: str, vr: str, text: str) -> None:
    """Set a value of thousands of numbers as it will be written: pydicom would parse each."""
    ds[keyword] = DataElement(Tag(keyword), vr, text, already_converted=True)
