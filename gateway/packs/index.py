"""The index of a pack: one fixed-size record per member, a numpy array in a .npy file beside it.

Everything in it is derived from the pack and can be made again by reading that.
"""

import os
import struct
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.dicom import header, jpeg, part10, times
from gateway.dicom.header import Fragment, Header
from gateway.dicom.layout import HeaderReader
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

_PACKED = struct.Struct("<64s64s32sqq32sqq32siqHHBB")
"""One RECORD."""
assert _PACKED.size == RECORD.itemsize

NO_DIGEST = bytes(32)
_NO_FRAGMENT = Fragment(0, 0)


class Kept(NamedTuple):
    """A member whose header was read. data_set: all of it, or its beginning if it is large."""

    meta: FileMeta
    meta_size: int
    found: Header
    data_set: bytes | bytearray
    offset: int
    size: int
    digest: bytes


class Describer:
    """Makes index records. Remembers what frames of one recording share: one for each pack."""

    def __init__(self) -> None:
        self._headers, self._classifier = HeaderReader(), jpeg.Classifier()

    def record(self, content: bytes, *, offset: int, size: int, digest: bytes) -> bytes:
        """Describe one member; returns one RECORD, packed.

        content: the Part 10 file, or its beginning when it is too large to hold (then it is
        never a frame to wrap). offset, size, digest: of the whole content. Raises Undecodable.
        """
        meta = part10.parse_file_meta(content)
        data_set = content[meta.data_set_offset :]
        if len(content) == size:
            found = self._headers.read(data_set, meta.transfer_syntax_uid)
        else:
            found = header.read(data_set, meta.transfer_syntax_uid, cut=True)
        return self.describe(
            Kept(meta, meta.data_set_offset, found, data_set, offset, size, digest)
        )

    def describe(self, kept: Kept) -> bytes:
        """Describe one member whose header is known; see record."""
        meta, meta_size, found, data_set, offset, size, digest = kept
        rows, columns = found.unsigned(header.ROWS), found.unsigned(header.COLUMNS)
        encoding, fault = FrameEncoding.OTHER, FrameFault.NONE
        fragment, fragment_digest = _NO_FRAGMENT, NO_DIGEST
        if (
            meta.transfer_syntax_uid == JPEG_BASELINE
            and meta_size + len(data_set) == size
            and found.fragment is not None
            and found.integer(header.NUMBER_OF_FRAMES) in (None, 1)
        ):
            start, length = found.fragment
            encoding, fault = self._classifier.classify(
                data_set, start, length, rows=rows, columns=columns
            )
            if encoding is not FrameEncoding.OTHER:
                fragment = Fragment(offset + meta_size + start, length)
                with memoryview(data_set) as view:
                    fragment_digest = tar.content_digest(view[start : start + length])
        number = found.integer(header.INSTANCE_NUMBER)
        return _PACKED.pack(
            meta.sop_instance_uid.encode(),
            meta.sop_class_uid.encode(),
            meta.transfer_syntax_uid.encode(),
            offset,
            size,
            digest,
            fragment.offset,
            fragment.size,
            fragment_digest,
            number if number is not None and 0 <= number < 2**31 else -1,
            _acquired_us(found),
            rows,
            columns,
            encoding,
            fault,
        )


def _acquired_us(found: Header) -> int:
    acquired = times.from_date_time(found.text(header.ACQUISITION_DATETIME))
    for date, time in (
        (header.ACQUISITION_DATE, header.ACQUISITION_TIME),
        (header.CONTENT_DATE, header.CONTENT_TIME),
    ):
        if acquired == times.UNKNOWN:
            acquired = times.from_date_and_time(found.text(date), found.text(time))
    return acquired


def from_records(records: bytes | bytearray) -> Index:
    """Return one array of packed records, which are not copied."""
    index: Index = np.frombuffer(records, RECORD)
    return index


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
