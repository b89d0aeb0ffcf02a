"""Builders of multi-frame instances for tests: sound ones, and each with one defect."""

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from pydicom import Dataset
from pydicom.sequence import Sequence as DicomSequence

from gateway.dicom import part10
from gateway.dicom.storage_classes import JPEG_BASELINE, VIDEO_ENDOSCOPIC
from tests.instances import data_set, encoded, jpeg

FRAMES = 4


def part(frame_count: int = FRAMES, **changes: object) -> Dataset:
    """Return the header of a Video Endoscopic Image; changes: to set, or to remove where None."""
    ds = data_set(1, PixelData=b"\0\0")
    del ds.PixelData
    ds.SOPClassUID = VIDEO_ENDOSCOPIC
    ds.PatientOrientation, ds.AcquisitionContextSequence = "", DicomSequence()
    region = Dataset()
    region.CodeValue, region.CodingSchemeDesignator = "122865005", "SCT"
    region.CodeMeaning = "Gastrointestinal tract structure"
    ds.AnatomicRegionSequence = DicomSequence([region])
    ds.ImageLaterality = "U"
    ds.NumberOfFrames = frame_count
    ds.FrameTimeVector = ["0", *["500"] * (frame_count - 1)]
    ds.FrameIncrementPointer = 0x00181065
    for keyword, value in changes.items():
        if value is None:
            del ds[keyword]
        else:
            setattr(ds, keyword, value)
    return ds


def fragment(content: bytes) -> bytes:
    content += b"\0" * (len(content) % 2)
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content


def write(
    folder: Path,
    ds: Dataset | None = None,
    frames: Sequence[bytes] | None = None,
    *,
    pieces: int = 1,
    table: bool = True,
    change: Callable[[list[int]], list[int]] = lambda offsets: offsets,
    transfer_syntax_uid: str = JPEG_BASELINE,
    end: bytes = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0),
) -> Path:
    """Write a Part 10 file. pieces: fragments a frame. change: what to do to the offset table."""
    ds = part() if ds is None else ds
    frames = [jpeg(number) for number in range(1, FRAMES + 1)] if frames is None else frames
    cut = [_cut(frame, pieces) for frame in frames]
    offsets, position = [], 0
    for one in cut:
        offsets.append(position)
        position += sum(len(fragment(piece)) for piece in one)
    entries = change(offsets) if table else []
    meta = part10.encode_file_meta(
        sop_class_uid=ds.get("SOPClassUID", ""),
        sop_instance_uid=ds.get("SOPInstanceUID", ""),
        transfer_syntax_uid=transfer_syntax_uid,
    )
    path = folder / "instance.dcm"
    path.write_bytes(
        b"".join(
            (
                meta,
                encoded(ds),
                struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF),
                struct.pack("<HHL", 0xFFFE, 0xE000, 4 * len(entries)),
                struct.pack(f"<{len(entries)}L", *entries),
                *(fragment(piece) for one in cut for piece in one),
                end,
            )
        )
    )
    return path


def _cut(frame: bytes, pieces: int) -> list[bytes]:
    size = -(-len(frame) // pieces) // 2 * 2 + 2
    return [frame[at : at + size] for at in range(0, len(frame), size)] if pieces > 1 else [frame]
