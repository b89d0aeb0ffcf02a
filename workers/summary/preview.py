"""Pure: the key frames as one short loop, a Video Endoscopic Image (PS3.3 A.32.5).

For viewers that cannot open the whole recording. The frames' bytes are untouched.
"""

from collections import Counter
from collections.abc import Sequence as SequenceOf

from pydicom.datadict import tag_for_keyword
from pydicom.sequence import Sequence

from gateway.dicom.storage_classes import VIDEO_ENDOSCOPIC
from gateway.model import DerivedRole
from workers import dicom_objects
from workers.dicom_objects import MadeInstance, Placement, SourceStudy, code
from workers.summary.key_frame import MODALITY, KeyFrame

SERIES_NUMBER, SERIES_DESCRIPTION = 902, "Preview"
FRAMES_MAX = 80
"""Some viewers take instances of 90 frames and more for something else."""
FRAME_TIME_MS = 400

_PLACE = Placement(
    role=DerivedRole.PREVIEW,
    sop_class_uid=VIDEO_ENDOSCOPIC,
    modality=MODALITY,
    series_number=SERIES_NUMBER,
    series_description=SERIES_DESCRIPTION,
    instance_number=1,
)


def arrange(key_frames: SequenceOf[KeyFrame]) -> list[int]:
    """Return which key frames it shows, ascending: those of the commonest kind of picture (one
    instance has one size and one colour space), evenly thinned out to FRAMES_MAX."""
    kinds = Counter(_kind(one) for one in key_frames)
    if not kinds:
        return []
    commonest = kinds.most_common(1)[0][0]
    some = [at for at, one in enumerate(key_frames) if _kind(one) == commonest]
    shown = min(len(some), FRAMES_MAX)
    return [some[position * len(some) // shown] for position in range(shown)]


def make(
    study: SourceStudy, key_frames: SequenceOf[KeyFrame], fragments: SequenceOf[bytes]
) -> MadeInstance:
    """Return the instance. key_frames: at least one, of one kind. fragments: their bytes."""
    ds = dicom_objects.common(study, _PLACE)
    part = key_frames[0].part
    ds.update(part.image)
    for keyword in ("DerivationDescription", "DerivationCodeSequence"):
        if keyword in ds:
            delattr(ds, keyword)
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.DerivationDescription = "Key frames of a capsule recording as a loop; each unchanged"
    taken = key_frames[0].taken_at
    ds.ContentDate, ds.ContentTime = f"{taken:%Y%m%d}", f"{taken:%H%M%S.%f}"
    ds.PatientOrientation = ""
    ds.SamplesPerPixel = ds.get("SamplesPerPixel", 3)
    if ds.SamplesPerPixel > 1:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    ds.NumberOfFrames = len(fragments)
    ds.FrameTime = FRAME_TIME_MS
    ds.FrameIncrementPointer = tag_for_keyword("FrameTime")
    ds.FrameDelay = "0"
    ds.RecommendedDisplayFrameRate = max(1000 // FRAME_TIME_MS, 1)
    ds.PreferredPlaybackSequencing = 0
    known_clean = all(one.part.image.get("BurnedInAnnotation") == "NO" for one in key_frames)
    ds.BurnedInAnnotation = "NO" if known_clean else "YES"
    native_bytes = part.rows * part.columns * ds.SamplesPerPixel * len(fragments)
    ds.LossyImageCompression = "01"
    ds.LossyImageCompressionMethod = "ISO_10918_1"
    ds.LossyImageCompressionRatio = f"{native_bytes / sum(map(len, fragments)):.4g}"
    ds.AcquisitionContextSequence = Sequence()
    purpose = code("121322", "DCM", "Source image for image processing operation")
    ds.SourceImageSequence = Sequence(
        dicom_objects.source_image(
            one.part.reference.sop_class_uid,
            one.part.reference.sop_instance_uid,
            purpose,
            frame_number=one.frame_number,
        )
        for one in key_frames
    )
    ds.ContributingEquipmentSequence = Sequence(
        [dicom_objects.modifying_equipment("Frames chosen and copied unchanged")]
    )
    return dicom_objects.image(ds, study, _PLACE, fragments)


def _kind(one: KeyFrame) -> tuple[int, int, str]:
    part = one.part
    return part.rows, part.columns, str(part.image.get("PhotometricInterpretation", ""))
