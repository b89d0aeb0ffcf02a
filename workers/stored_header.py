"""The header of a stored instance taken apart from its pixel data, and written again."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from gateway.dicom import data_set, identity, part10
from gateway.dicom.part10 import FileMeta
from gateway.dicom.storage_classes import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
)
from gateway.errors import LimitExceeded, Undecodable
from gateway.packs import reading

INFLATED_MAX = 256 << 20


@dataclass(frozen=True)
class StoredHeader:
    """data_set: everything before the pixel data, text not decoded yet. transfer_syntax_uid: of
    what `held` is; a deflated instance is inflated. held: the beginning of the data set, all of
    it if whole is true; pixels_at: where the pixel data element begins in it, its end if there
    is none. data_set_offset: where held begins in the file.
    """

    meta: FileMeta
    data_set: Dataset
    transfer_syntax_uid: str
    held: bytes
    pixels_at: int
    whole: bool
    data_set_offset: int


def read(path: Path, offset: int, size: int) -> StoredHeader:
    """Read a Part 10 file, or a member of a pack.

    Raises StorageError; LimitExceeded if the header is too long, Undecodable if it is none.
    """
    head = reading.read_range(path, offset, min(size, reading.HELD_BYTES_MAX))
    meta = part10.parse_file_meta(head)
    whole, syntax, held = size == len(head), meta.transfer_syntax_uid, head[meta.data_set_offset :]
    if syntax == DEFLATED:
        deflated = reading.read_range(path, offset, size)
        held, syntax, whole = _inflated(deflated[meta.data_set_offset :]), EXPLICIT_LITTLE, True
    ds, pixels_at = _parsed(held, syntax, whole=whole)
    return StoredHeader(meta, ds, syntax, held, pixels_at, whole, offset + meta.data_set_offset)


def pieces_after(path: Path, offset: int, size: int) -> Iterator[bytes]:
    """Yield what `read` did not hold of an instance that is not deflated."""
    held = min(size, reading.HELD_BYTES_MAX)
    return reading.pieces(path, offset + held, size - held)


def encode(ds: Dataset, syntax: str) -> bytes:
    """Return a data set as it stands in a file of this transfer syntax."""
    buffer = DicomBytesIO()
    buffer.is_little_endian = syntax != EXPLICIT_BIG
    buffer.is_implicit_VR = syntax == IMPLICIT_LITTLE
    write_dataset(buffer, ds)
    encoded: bytes = buffer.getvalue()
    return encoded


def _inflated(data: bytes) -> bytes:
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = unpacker.decompress(data, INFLATED_MAX)
    if unpacker.unconsumed_tail:
        raise LimitExceeded("A deflated instance is too large to be made anew.")
    return inflated


def _parsed(held: bytes, syntax: str, *, whole: bool) -> tuple[Dataset, int]:
    """Return (what comes before the pixel data, where that begins). whole: nothing follows."""
    stream = BytesIO(held)
    try:
        ds = data_set.read(stream, syntax)
    except identity.UNREADABLE as error:
        raise Undecodable(f"An original cannot be made anew: {error}.") from error
    if stream.tell() >= len(held) and not whole:
        raise LimitExceeded("The header of an original is too long to be made anew.")
    return ds, stream.tell()
