"""Pure: whether a received Video Endoscopic instance is already what we would make of it.

Such a one is delivered untouched, under its own UID. Anything in doubt is wrapped anew, which
changes no frame either: so every condition here may be strict.
"""

import numpy as np
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from gateway.dicom import times
from gateway.dicom.encapsulation import Fragments
from gateway.dicom.image import Image
from gateway.dicom.storage_classes import VIDEO_ENDOSCOPIC
from gateway.model import FrameEncoding
from workers.wrap.recording import Frames
from workers.wrap.segment import Limits
from workers.wrap.video_endoscopic import MODALITY, PHOTOMETRIC_INTERPRETATION

_VALUES = {
    "Modality": MODALITY,
    "SpecificCharacterSet": "ISO_IR 192",
    "BitsAllocated": 8,
    "BitsStored": 8,
    "HighBit": 7,
    "PixelRepresentation": 0,
    "LossyImageCompression": "01",
    "LossyImageCompressionMethod": "ISO_10918_1",
    "FrameIncrementPointer": tag_for_keyword("FrameTimeVector"),
}
_PRESENT = (
    "ImageType", "AnatomicRegionSequence", "SeriesNumber", "InstanceNumber", "StudyInstanceUID",
    "SeriesInstanceUID", "SOPInstanceUID", "LossyImageCompressionRatio",
)  # fmt: skip
"""With a value."""
_MAY_BE_EMPTY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "StudyID", "AccessionNumber", "ReferringPhysicianName", "Manufacturer", "PatientOrientation",
    "AcquisitionContextSequence",
)  # fmt: skip
_FORBIDDEN = (
    "FrameTime", "ExtendedOffsetTable", "ExtendedOffsetTableLengths", "ConcatenationUID",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip


def is_legal(image: Image, fragments: Fragments, frames: Frames, limits: Limits) -> bool:
    """Tell whether an instance in JPEG Baseline can be delivered as it is.

    frames: all of its frames, none of them at fault. fragments: of its pixel data.
    """
    return (
        image.sop_class_uid == VIDEO_ENDOSCOPIC
        and image.declared == len(frames) == len(fragments.offsets) == len(fragments.table)
        and len(frames) <= limits.frames_max
        and int(frames["fragment_size"].sum()) <= limits.bytes_max
        and not frames["treatment"].any()
        and len(np.unique(frames["encoding"])) == 1
        and _points_right(fragments)
        and _header_is_legal(image, FrameEncoding(int(frames["encoding"][0])))
    )


def _points_right(fragments: Fragments) -> bool:
    offsets = np.array(fragments.offsets) - fragments.offsets[0]
    even = all(size % 2 == 0 for size in fragments.sizes)
    return even and bool((offsets == np.array(fragments.table)).all())


def _header_is_legal(image: Image, encoding: FrameEncoding) -> bool:
    ds = image.data_set
    try:
        return (
            image.photometric_interpretation == PHOTOMETRIC_INTERPRETATION[encoding]
            and image.samples == (1 if encoding is FrameEncoding.JPEG_GREY else 3)
            and not image.planar
            and all(ds.get(keyword) == value for keyword, value in _VALUES.items())
            and all(ds.get(keyword) not in (None, "") for keyword in _PRESENT)
            and all(keyword in ds for keyword in _MAY_BE_EMPTY)
            and not any(keyword in ds for keyword in _FORBIDDEN)
            and _times_are_legal(ds, image)
        )
    except (ValueError, TypeError, LookupError, NotImplementedError):
        return False  # a value that cannot even be read


def _times_are_legal(ds: Dataset, image: Image) -> bool:
    vector = np.atleast_1d(np.array(ds.FrameTimeVector, dtype=np.float64))
    moment = times.from_date_and_time(str(ds.ContentDate), str(ds.ContentTime))
    return (
        len(vector) == image.declared
        and vector[0] == 0
        and bool((vector >= 0).all())
        and moment != times.UNKNOWN
    )
