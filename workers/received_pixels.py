"""The pixel data of a received instance, wherever its bytes lie: found, and read frame by frame."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gateway.dicom import encapsulation, header, pixels
from gateway.dicom import image as images
from gateway.dicom.encapsulation import Fragments
from gateway.dicom.header import UNDEFINED
from gateway.dicom.image import Image
from gateway.dicom.pixels import Codec
from gateway.dicom.storage_classes import EXPLICIT_BIG
from gateway.packs import reading
from gateway.packs.reading import PackReader

_PIECE_BYTES = 1 << 20


@dataclass(frozen=True)
class Content:
    """The bytes of one Part 10 file, or of a data set without its file meta information.

    base: where they begin in their file.
    """

    reader: PackReader
    base: int
    size: int
    held: bytes | None = None

    def read_at(self, offset: int, size: int) -> bytes:
        """Return the bytes there, fewer where the content ends. Raises StorageError."""
        size = max(0, min(size, self.size - offset))
        if self.held is not None:
            return self.held[offset : offset + size]
        return self.reader.read(self.base + offset, size) if size else b""


@dataclass(frozen=True)
class PixelData:
    """Of one instance. data_set: its bytes, offsets count from its start; in_pack: they lie
    there as received. start: of the value of (7FE0,0010).
    """

    data_set: Content
    in_pack: bool
    image: Image
    transfer_syntax_uid: str
    start: int
    swapped: bool = False


@dataclass(frozen=True)
class FramePiece:
    """The bytes of a frame as received. ranges: (offset, size) in the data set."""

    codec: Codec
    ranges: list[tuple[int, int]]

    @property
    def size(self) -> int:
        return sum(size for _, size in self.ranges)


def within(content: Content, start: int) -> Content:
    held = None if content.held is None else content.held[start:]
    return Content(content.reader, content.base + start, content.size - start, held)


def pieces(content: Content) -> Iterator[bytes]:
    for offset in range(0, content.size, _PIECE_BYTES):
        yield content.read_at(offset, _PIECE_BYTES)


def pixel_data(
    data_set: Content, sop_class_uid: str, transfer_syntax_uid: str, *, in_pack: bool
) -> PixelData | None:
    """Find the pixel data of a plain image; None if there is none. Raises ValueError, Undecodable.

    Whether it is encapsulated its length says, not the transfer syntax, which may be wrong.
    """
    head = data_set.read_at(0, reading.HELD_BYTES_MAX)
    start = header.read(head, transfer_syntax_uid).pixel_data_offset
    if start is None:
        return None
    image = images.read(head[:start], sop_class_uid, transfer_syntax_uid)
    if not image.is_plain:
        return None
    words = head[start - 8 : start - 6] == b"OW"
    swapped = transfer_syntax_uid == EXPLICIT_BIG and words and image.bits_allocated == 8
    return PixelData(data_set, in_pack, image, transfer_syntax_uid, start, swapped)


def frame_pieces(found: PixelData) -> tuple[list[FramePiece], Fragments]:
    """Say where each frame's bytes lie, and in which fragments. Raises ValueError if nobody can."""
    order = "big" if found.image.big_endian else "little"
    length = int.from_bytes(found.data_set.read_at(found.start - 4, 4), order)  # type: ignore[arg-type]
    if length != UNDEFINED:
        length = min(length, found.data_set.size - found.start)
        return _native_pieces(found, length), Fragments([], [], [])
    fragments = encapsulation.fragments(found.data_set.read_at, found.start, found.data_set.size)
    read_at = found.data_set.read_at
    grouped = encapsulation.frames(
        fragments,
        declared=found.image.declared,
        extended_table=found.image.extended_table,
        begins=lambda one: read_at(fragments.offsets[one], 8),
    )
    found_pieces = []
    for group in grouped:
        ranges = [(fragments.offsets[one], fragments.sizes[one]) for one in group]
        begins = read_at(ranges[0][0], min(ranges[0][1], 4096))
        found_pieces.append(FramePiece(_codec(begins, found), ranges))
    return found_pieces, fragments


def _codec(begins: bytes, found: PixelData) -> Codec:
    """Return what a fragment holds; what nobody knows is taken for JPEG, and found corrupt."""
    try:
        return pixels.codec_of(begins, found.transfer_syntax_uid)
    except pixels.Undecodable:
        return Codec.JPEG


def _native_pieces(found: PixelData, length: int) -> list[FramePiece]:
    size = found.image.native_bytes
    count = min(length // size, found.image.declared or 1, images.FRAMES_MAX)
    return [FramePiece(Codec.NATIVE, [(found.start + at * size, size)]) for at in range(count)]


def bytes_of(found: PixelData, piece: FramePiece) -> bytes:
    if found.swapped:
        return _swapped(found, *piece.ranges[0])
    return b"".join(found.data_set.read_at(offset, size) for offset, size in piece.ranges)


def _swapped(found: PixelData, offset: int, size: int) -> bytes:
    """Return bytes that were stored as big-endian words (PS3.5 A.3, VR OW)."""
    odd = (offset - found.start) % 2
    words = found.data_set.read_at(offset - odd, odd + size + (odd + size) % 2)
    return np.frombuffer(words, ">u2").astype("<u2").tobytes()[odd : odd + size]
