"""Pure: a chosen frame as a single VL Endoscopic Image (PS3.3 A.32.1), its bytes untouched."""

from dataclasses import dataclass
from datetime import datetime

from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from gateway.dicom import times
from gateway.dicom.storage_classes import VL_ENDOSCOPIC
from gateway.model import DerivedRole
from workers import dicom_objects
from workers.dicom_objects import MadeInstance, Placement, SourceStudy, code
from workers.summary.parts import SourcePart
from workers.summary.selection import Choice

SERIES_NUMBER, SERIES_DESCRIPTION = 901, "Key frames"
MODALITY = "ES"


@dataclass(frozen=True)
class KeyFrame:
    """A choice with its place. rank: 1-based, in time order. frame_number: 1-based in the part;
    recording_frame_number: 1-based in its recording. elapsed_ms: since the first frame.
    """

    rank: int
    part: SourcePart
    frame_number: int
    recording_frame_number: int
    elapsed_ms: int
    choice: Choice

    @property
    def taken_at(self) -> datetime:
        """Local wall-clock time, naive."""
        since_start_ms = int(self.part.since_start_ms[self.frame_number - 1])
        return times.to_datetime(self.part.started_us + since_start_ms * 1000)

    @property
    def acquired_at(self) -> str:
        """Return the same as ISO 8601 text; empty if nobody knows when it was taken."""
        if self.part.zone is None:
            return ""
        return self.taken_at.isoformat(timespec="microseconds")

    @property
    def in_words(self) -> str:
        """Return for instance 'Frame 23145, +03:12:45'."""
        return f"Frame {self.recording_frame_number}, {times.clock(self.elapsed_ms)}"


def make(study: SourceStudy, key_frame: KeyFrame, fragment: bytes) -> MadeInstance:
    """Return the instance. fragment: the frame as it lies in its part, padding included."""
    place = Placement(
        role=DerivedRole.KEY_FRAME,
        sop_class_uid=VL_ENDOSCOPIC,
        modality=MODALITY,
        series_number=SERIES_NUMBER,
        series_description=SERIES_DESCRIPTION,
        instance_number=key_frame.rank,
    )
    ds = dicom_objects.common(study, place)
    part = key_frame.part
    ds.update(part.image)
    _add_times(ds, key_frame)
    ds.ImageComments = f"{key_frame.in_words}, {key_frame.choice.reason}"
    ds.PatientOrientation = ""
    ds.SamplesPerPixel = ds.get("SamplesPerPixel", 3)
    if ds.SamplesPerPixel > 1:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    ds.LossyImageCompression = "01"
    native_bytes = part.rows * part.columns * ds.SamplesPerPixel
    ds.LossyImageCompressionMethod = ds.get("LossyImageCompressionMethod", "ISO_10918_1")
    before = _several(ds.get("LossyImageCompressionRatio"))[:-1]  # of earlier compressions
    ds.LossyImageCompressionRatio = [*before, f"{native_bytes / len(fragment):.4g}"]
    ds.AcquisitionContextSequence = Sequence()
    ds.SourceImageSequence = Sequence([_source(key_frame)])
    ds.ContributingEquipmentSequence = Sequence(
        [
            *_acquisition_equipment(part.image),
            dicom_objects.modifying_equipment("Frame chosen and copied unchanged"),
        ]
    )
    return dicom_objects.single_frame_image(ds, study, place, fragment)


def _several(value: object) -> list[object]:
    return list(value) if isinstance(value, MultiValue) else [value]


def _add_times(ds: Dataset, key_frame: KeyFrame) -> None:
    taken = key_frame.taken_at
    ds.ContentDate, ds.ContentTime = f"{taken:%Y%m%d}", f"{taken:%H%M%S.%f}"
    if key_frame.part.zone is not None:
        ds.AcquisitionDate, ds.AcquisitionTime = ds.ContentDate, ds.ContentTime
        ds.AcquisitionDateTime = f"{taken:%Y%m%d%H%M%S.%f}{key_frame.part.zone}"


def _source(key_frame: KeyFrame) -> Dataset:
    reference = key_frame.part.reference
    return dicom_objects.source_image(
        reference.sop_class_uid,
        reference.sop_instance_uid,
        code("121322", "DCM", "Source image for image processing operation"),
        frame_number=key_frame.frame_number,
    )


def _acquisition_equipment(image: Dataset) -> list[Dataset]:
    """Return the items that name who took the frame (109101), not who handled it since."""
    return [
        item
        for item in image.get("ContributingEquipmentSequence", ())
        if item.PurposeOfReferenceCodeSequence[0].CodeValue == "109101"
    ]
