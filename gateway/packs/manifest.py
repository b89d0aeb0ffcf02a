"""The manifest of a multi-frame instance: for each frame, where it came from and what it is.

Read out of the instance itself, so it is true of what was delivered.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from gateway.dicom import private_block, times
from gateway.errors import IntegrityError
from gateway.model import FrameTreatment
from gateway.packs.multiframe import MultiFrameFile


@dataclass(frozen=True)
class ManifestLine:
    """One frame. frame_number: 1-based in the instance; source_frame_number the same, 0 if the
    source has only one. acquired_at: local time, ISO 8601, empty if nobody knows. elapsed_us:
    since the first frame of the instance. digest: SHA-256 of the fragment, hexadecimal.
    """

    series_instance_uid: str
    sop_instance_uid: str
    frame_number: int
    source_sop_instance_uid: str
    source_frame_number: int
    acquired_at: str
    elapsed_us: int
    treatment: str
    digest: str


COLUMNS = tuple(ManifestLine.__dataclass_fields__)


def lines(path: Path) -> Iterator[ManifestLine]:
    """Yield a line for each frame. Raises ObjectMissing, IntegrityError.

    An instance that was delivered as it came says nothing of this: it is its own source, and
    its frames are read for their digests.
    """
    file = MultiFrameFile(path)
    try:
        ds, count = file.header, file.frame_count
        sources, digests, treatments = _told(ds, count) or _its_own(file)
        elapsed_us = _elapsed_us(ds, count)
    finally:
        file.close()
    acquired = times.from_date_time(str(ds.get("AcquisitionDateTime", ""))[:21])
    for at, (uid, number) in enumerate(sources):
        since_us = int(elapsed_us[at])
        moment = times.to_datetime(acquired) + timedelta(microseconds=since_us)
        known = acquired != times.UNKNOWN
        yield ManifestLine(
            series_instance_uid=str(ds.SeriesInstanceUID),
            sop_instance_uid=str(ds.SOPInstanceUID),
            frame_number=at + 1,
            source_sop_instance_uid=uid,
            source_frame_number=number,
            acquired_at=moment.isoformat(timespec="microseconds") if known else "",
            elapsed_us=since_us,
            treatment=FrameTreatment(treatments[at]).in_words,
            digest=digests[at],
        )


Told = tuple[list[tuple[str, int]], list[str], list[int]]
"""Per frame: (source SOP Instance UID, frame in it), digest, treatment."""


def _told(ds: Dataset, count: int) -> Told | None:
    """Return what the private block says; None if there is none."""
    try:
        block = ds.private_block(private_block.GROUP, private_block.CREATOR)
        names = [name.split(" ") for name in block[private_block.SOURCE_NAMES].value.split("\n")]
        raw = block[private_block.DIGESTS].value
    except KeyError:
        return None
    sources = [(name[0], int(name[1]) if len(name) > 1 else 0) for name in names]
    digests = [raw[at : at + 32].hex() for at in range(0, len(raw), 32)]
    treatments = [0] * count
    if private_block.TREATMENTS in block:
        treatments = list(block[private_block.TREATMENTS].value[:count])
    if not len(sources) == len(digests) == len(treatments) == count:
        raise IntegrityError(f"The private block of {ds.SOPInstanceUID} is of other frames.")
    return sources, digests, treatments


def _its_own(file: MultiFrameFile) -> Told:
    uid = str(file.header.SOPInstanceUID)
    frames = (file.read_frame(at) for at in range(file.frame_count))
    digests = [hashlib.sha256(frame).hexdigest() for frame in frames]
    sources = [(uid, at + 1) for at in range(file.frame_count)]
    return sources, digests, [0] * file.frame_count


def _elapsed_us(ds: Dataset, count: int) -> NDArray[np.int64]:
    """Return times since the first frame: exact where known, else by the Frame Time Vector."""
    try:
        block = ds.private_block(private_block.GROUP, private_block.CREATOR)
        exact = np.frombuffer(block[private_block.ELAPSED_US].value, "<u8").astype(np.int64)
    except KeyError:
        vector = np.atleast_1d(np.array(ds.get("FrameTimeVector", ()), dtype=np.float64))
        exact = np.rint(np.cumsum(vector) * 1000).astype(np.int64)
    if len(exact) != count:
        raise IntegrityError(f"{ds.SOPInstanceUID} does not say when its frames were taken.")
    since: NDArray[np.int64] = exact - exact[0]
    return since
