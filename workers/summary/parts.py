"""Pure: what the summary needs to know of a multi-frame instance, from its header."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from gateway.dicom import times
from gateway.errors import IntegrityError
from workers.dicom_objects import Reference

_OF_THE_IMAGE = (
    "ImageType", "PhotometricInterpretation", "Rows", "Columns", "AnatomicRegionSequence",
    "BurnedInAnnotation", "RecognizableVisualFeatures", "ContributingEquipmentSequence",
    "SamplesPerPixel", "DerivationDescription", "DerivationCodeSequence",
    "LossyImageCompressionMethod", "LossyImageCompressionRatio",
)  # fmt: skip
"""A frame taken out keeps these: its bytes are the same."""


@dataclass(frozen=True)
class SourcePart:
    """A part of a recording.

    started_us: wall-clock time of its first frame (gateway.dicom.times). zone: what follows
    the time in Acquisition DateTime; None if nobody knows when the frames were taken and
    started_us only orders the parts. since_start_ms: shape (frames,), from its first frame.
    image: the attributes a single frame of it repeats.
    """

    reference: Reference
    series_number: int
    rows: int
    columns: int
    started_us: int
    zone: str | None
    since_start_ms: NDArray[np.int64]
    image: Dataset

    @property
    def frame_count(self) -> int:
        return len(self.since_start_ms)


def read(header: Dataset, frame_count: int) -> SourcePart:
    """Read a header. Raises IntegrityError if it does not give every frame a time."""
    vector = np.atleast_1d(np.array(header.get("FrameTimeVector", ()), dtype=np.float64))
    started_us = times.from_date_and_time(
        str(header.get("ContentDate", "")), str(header.get("ContentTime", ""))
    )
    if len(vector) != frame_count or started_us == times.UNKNOWN:
        raise IntegrityError(f"{header.SOPInstanceUID} does not say when its frames were taken.")
    image = Dataset()
    for keyword in _OF_THE_IMAGE:
        if keyword in header:
            image[keyword] = header[keyword]
    acquired = str(header.get("AcquisitionDateTime", ""))
    return SourcePart(
        reference=Reference(
            str(header.SeriesInstanceUID), str(header.SOPClassUID), str(header.SOPInstanceUID)
        ),
        series_number=int(header.SeriesNumber),
        rows=int(header.Rows),
        columns=int(header.Columns),
        started_us=started_us,
        zone=_zone(acquired) if acquired else None,
        since_start_ms=np.rint(np.cumsum(vector)).astype(np.int64),
        image=image,
    )


def elapsed_ms(parts: list[SourcePart]) -> NDArray[np.int64]:
    """Return when each frame was taken, counted from the earliest; shape (frames of all parts,)."""
    earliest_us = min((part.started_us for part in parts), default=0)
    return np.concatenate(
        [
            np.zeros(0, np.int64),
            *((part.started_us - earliest_us) // 1000 + part.since_start_ms for part in parts),
        ]
    )


def _zone(date_time: str) -> str:
    """Return the offset from UTC at the end of a DT value; empty if it has none (PS3.5 6.2)."""
    return date_time[-5:] if len(date_time) > 5 and date_time[-5] in "+-" else ""
