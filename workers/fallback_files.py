"""Parts in their other carrier, as files: a header of its own before the same pixel data."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset

from gateway.dicom.storage_classes import JPEG_BASELINE
from gateway.packs import reading
from gateway.packs.multiframe import MultiFrameFile
from gateway.settings import Settings
from workers import derived_files, dicom_objects
from workers.derived_files import WrittenFile
from workers.wrap import multi_frame_sc


@dataclass(frozen=True)
class FallbackFile:
    """header: all but the pixel data."""

    header: Dataset
    storage_key: str
    written: WrittenFile


def make(settings: Settings, part: Path, heartbeat: Callable[[], None]) -> FallbackFile:
    """Write a part of ours once more as Multi-frame True Color Secondary Capture.

    Fragment by fragment the same bytes; made again, the same file. heartbeat: called now and
    then; what it raises ends the work. Raises StorageError, IntegrityError if `part` is no part.
    """
    file = MultiFrameFile(part)
    try:
        ds = multi_frame_sc.header(file.header, settings.tenant)
        offset = file.pixel_data_offset
    finally:
        file.close()
    size = part.stat().st_size

    def pieces() -> Iterator[bytes]:
        yield dicom_objects.encode_head(ds, JPEG_BASELINE)
        for piece in reading.pieces(part, offset, size - offset):
            heartbeat()
            yield piece

    key = derived_files.storage_key(str(ds.StudyInstanceUID), f"{ds.SOPInstanceUID}.dcm")
    written = derived_files.write(derived_files.path_of(settings, key), pieces())
    return FallbackFile(ds, key, written)
