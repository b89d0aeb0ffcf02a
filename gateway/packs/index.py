"""The index of a pack: one fixed-size record per member, a numpy array in a .npy file beside it.

Everything in it is derived from the pack and can be made again by reading that.
"""

import os
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateway.dicom import header, jpeg, part10, times
from gateway.dicom.header import Header
from gateway.dicom.part10 import FileMeta
from gateway.dicom.storage_classes import JPEG_BASELINE
from gateway.errors import IntegrityError
from gateway.model import FrameEncoding, FrameFault
from gateway.packs import tar

RECORD = np.dtype(
    [
        ("sop_instance_uid", "S64"),
        ("sop_class_uid", "S64"),
        ("transfer_syntax_uid", "S32"),
        ("offset", "<i8"),  # of the member's content (a Part 10 file), bytes from the pack's start
        ("size", "<i8"),  # of the content, bytes
        ("digest", "u1", (32,)),  # SHA-256 of the content
        ("fragment_offset", "<i8"),  # of the JPEG stream, bytes from the pack's start
        ("fragment_size", "<i8"),  # padding included; 0 if encoding is OTHER
        ("fragment_digest", "u1", (32,)),  # SHA-256 of the fragment
        ("instance_number", "<i4"),  # (0020,0013); -1 if absent
        ("acquired_us", "<i8"),  # wall-clock microseconds since 1970, times.UNKNOWN if absent
        ("rows", "<u2"),
        ("columns", "<u2"),
        ("encoding", "u1"),  # gateway.model.FrameEncoding
        ("fault", "u1"),  # gateway.model.FrameFault
    ]
)

Index = NDArray[np.void]
"""Shape (members,), dtype RECORD."""

NO_DIGEST = bytes(32)


def record(
    content: bytes | memoryview, *, offset: int, size: int, digest: bytes
) -> NDArray[np.void]:
    """Describe one member; returns shape (), dtype RECORD.

    content: the Part 10 file, or its beginning when it is too large to hold (then it is never
    a frame to wrap). offset, size, digest: of the whole content. Raises Undecodable.
    """
    meta = part10.parse_file_meta(content)
    data_set = memoryview(content)[meta.data_set_offset :]
    found = header.read(data_set, meta.transfer_syntax_uid)
    return describe(found, data_set, meta, offset=offset, size=size, digest=digest)


def describe(
    found: Header, data_set: memoryview, meta: FileMeta, *, offset: int, size: int, digest: bytes
) -> NDArray[np.void]:
    """Describe one member whose header and file meta information are known; see record."""
    row: NDArray[np.void] = np.zeros((), RECORD)
    row["sop_instance_uid"] = meta.sop_instance_uid.encode()
    row["sop_class_uid"] = meta.sop_class_uid.encode()
    row["transfer_syntax_uid"] = meta.transfer_syntax_uid.encode()
    row["offset"], row["size"] = offset, size
    row["digest"] = np.frombuffer(digest, "u1")
    number = found.integer(header.INSTANCE_NUMBER)
    row["instance_number"] = number if number is not None and 0 <= number < 2**31 else -1
    row["acquired_us"] = _acquired_us(found)
    row["rows"], row["columns"] = found.unsigned(header.ROWS), found.unsigned(header.COLUMNS)
    if meta.transfer_syntax_uid == JPEG_BASELINE and meta.data_set_offset + len(data_set) == size:
        _describe_frame(row, found, data_set, offset + meta.data_set_offset)
    return row


def _describe_frame(row: NDArray[np.void], found: Header, view: memoryview, base: int) -> None:
    fragment = found.fragment
    if fragment is None or found.integer(header.NUMBER_OF_FRAMES) not in (None, 1):
        return
    stream = view[fragment.offset : fragment.offset + fragment.size]
    encoding, fault = jpeg.classify(stream, rows=int(row["rows"]), columns=int(row["columns"]))
    row["encoding"], row["fault"] = encoding, fault
    if encoding is not FrameEncoding.OTHER:
        row["fragment_offset"], row["fragment_size"] = base + fragment.offset, fragment.size
        row["fragment_digest"] = np.frombuffer(tar.content_digest(stream), "u1")


def _acquired_us(found: Header) -> int:
    acquired = times.from_date_time(found.text(header.ACQUISITION_DATETIME))
    for date, time in (
        (header.ACQUISITION_DATE, header.ACQUISITION_TIME),
        (header.CONTENT_DATE, header.CONTENT_TIME),
    ):
        if acquired == times.UNKNOWN:
            acquired = times.from_date_and_time(found.text(date), found.text(time))
    return acquired


def from_records(records: Iterable[NDArray[np.void]]) -> Index:
    """Return one array of all records."""
    rows = list(records)
    return np.array(rows, RECORD) if rows else np.zeros(0, RECORD)


def path_beside(pack: Path) -> Path:
    return pack.with_suffix(".npy")


def save(index: Index, pack: Path) -> None:
    """Write the index of a pack durably: it is either there and whole, or not there."""
    target = path_beside(pack)
    draft = target.with_suffix(".draft")
    buffer = BytesIO()
    np.save(buffer, index)
    with draft.open("wb") as file:
        file.write(buffer.getbuffer())
        file.flush()
        os.fsync(file.fileno())
    draft.replace(target)
    sync_directory(target.parent)


def load(pack: Path) -> Index:
    """Map the index of a pack into memory, read-only. Raises IntegrityError if it is damaged."""
    try:
        index: Index = np.load(path_beside(pack), mmap_mode="r")
    except (ValueError, OSError, EOFError) as error:
        raise IntegrityError(f"The index of pack {pack.name} cannot be read: {error}") from error
    if index.dtype != RECORD:
        raise IntegrityError(f"The index of pack {pack.name} has another layout.")
    return index


def sync_directory(directory: Path) -> None:
    """Make names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_frame(index: Index) -> NDArray[np.bool_]:
    """Return, per member, whether it is a sound frame that can be wrapped."""
    sound = index["fault"] == FrameFault.NONE
    wrappable: NDArray[np.bool_] = sound & (index["encoding"] != FrameEncoding.OTHER)
    return wrappable
