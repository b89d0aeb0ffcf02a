"""Pure: a part as a Multi-frame True Color Secondary Capture Image (PS3.3 A.8.5), its frames
untouched: for destinations that do not know Video Endoscopic.

Not the first choice: it says "secondary capture", and some viewers play ninety frames and more
as a film.
"""

import hashlib

from pydicom import Dataset

from gateway.dicom import uids
from gateway.dicom.storage_classes import MULTI_FRAME_GRAYSCALE_BYTE_SC, MULTI_FRAME_TRUE_COLOR_SC
from workers import dicom_objects
from workers.dicom_objects import RULESET

ROLE = "frames-fallback"

_NOT_IN_THE_IOD = (
    "AcquisitionContextSequence",
    "AnatomicRegionSequence",
    "EffectiveDuration",
    "RecommendedDisplayFrameRate",
    "PreferredPlaybackSequencing",
    "FrameDelay",
)
_OF_SEVERAL_FRAMES = ("FrameIncrementPointer", "FrameTimeVector")


def header(part: Dataset, tenant: str) -> Dataset:
    """Return the header of the other carrier of the same frames, up to the pixel data.

    part: the header of a Video Endoscopic part. The UID follows from it, which knows the
    frames, and from all else in here: the same part gives the same instance.
    """
    ds = Dataset()
    ds.update(part)
    single = part.NumberOfFrames == 1  # then nothing is incremented (C.7.6.6, C.8.6.3)
    for keyword in (*_NOT_IN_THE_IOD, *(_OF_SEVERAL_FRAMES if single else ())):
        if keyword in ds:
            delattr(ds, keyword)
    grey = part.SamplesPerPixel == 1
    ds.SOPClassUID = MULTI_FRAME_GRAYSCALE_BYTE_SC if grey else MULTI_FRAME_TRUE_COLOR_SC
    ds.SeriesInstanceUID = uids.derived(
        tenant, "series", ROLE, str(part.SeriesInstanceUID), RULESET
    )
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.ConversionType = "WSD"
    ds.BurnedInAnnotation = part.get("BurnedInAnnotation", "YES")
    if grey:
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
        ds.PresentationLUTShape = "IDENTITY"
    del ds.SOPInstanceUID
    digest = hashlib.sha256(dicom_objects.encode_data_set(ds)).hexdigest()
    ds.SOPInstanceUID = uids.derived(tenant, ROLE, str(part.SOPInstanceUID), digest, RULESET)
    return ds
