"""A stored instance in a transfer syntax everybody takes: its frames decoded, one at a time.

For requestors that do not take the stored one. The SOP Instance UID stays: decompressing loses
nothing (PS3.3 C.7.6.1.1.5 names only what is lost), and what was lost before is said in the
instance already.
"""

import hashlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import Dataset

from gateway.dicom import data_set as encoded
from gateway.dicom import identity, part10, pixels
from gateway.dicom.header import DEFLATED, EXPLICIT_BIG
from gateway.dicom.image import Image
from gateway.dicom.pixels import Codec, Pixels
from gateway.dicom.storage_classes import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from gateway.dimse import data_set
from gateway.errors import IntegrityError, NoPixelData, NotConvertible
from gateway.holdings import frames
from gateway.holdings.frames import NATIVE, FrameTable
from gateway.holdings.headers import Place
from gateway.packs import reading

VALUE_BYTES_MAX = 0xFFFFFFFE
DOCUMENT_BYTES_MAX = 64 << 20
_PALETTES = tuple(
    f"{colour}PaletteColorLookupTable{kind}"
    for colour in ("Red", "Green", "Blue")
    for kind in ("Descriptor", "Data")
)
_OF_COMPRESSION = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths", *_PALETTES)


class Rewritten:
    """The data set of an instance in Implicit or Explicit VR Little Endian, as a stream.

    Raises NotConvertible where that cannot be done, IntegrityError if the file is damaged.
    """

    def __init__(self, home: Path, place: Place, *, implicit: bool) -> None:
        self._implicit = implicit
        try:
            self._table: FrameTable | None = frames.load(home, place)
        except NoPixelData:
            self._table = None
        if self._table is None:
            self._head = self._document(home / place.storage_key, place)
            self.size_bytes = len(self._head)
        else:
            self._image = self._table.image()
            self._frame_bytes = self._prepare(self._table)
            value_bytes = self._frame_bytes * len(self._table)
            if value_bytes > VALUE_BYTES_MAX:
                raise NotConvertible("Uncompressed, it would be longer than a value can be.")
            self._padding = value_bytes % 2
            self._head = self._encoded(self._image.data_set) + self._pixel_data_head(value_bytes)
            self.size_bytes = len(self._head) + value_bytes + self._padding
        self._pieces = self.pieces()
        self._rest = memoryview(b"")

    def pieces(self) -> Iterator[bytes]:
        """Yield the data set: everything before the pixels, then frame by frame."""
        yield self._head
        if self._table is None:
            return
        for frame_index in range(len(self._table)):
            frame = uncompressed(self._table, frame_index, self._image)
            if len(frame) != self._frame_bytes:
                raise IntegrityError(f"Frame {frame_index + 1} has another size than the first.")
            yield frame
        if self._padding:
            yield b"\0"

    def readinto(self, buffer: memoryview) -> int:
        """Read the next bytes: what gateway.dimse.store_scu.Readable asks for."""
        while not self._rest:
            try:
                self._rest = memoryview(next(self._pieces))
            except StopIteration:
                return 0
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def verify(self) -> None:
        """Nothing is left to do: `require_undamaged` was asked before."""

    def _document(self, path: Path, place: Place) -> bytes:
        if place.size_bytes > DOCUMENT_BYTES_MAX:
            raise NotConvertible("It is too large to be written anew.")
        content = reading.read_range(path, place.offset_bytes, place.size_bytes)
        meta = part10.parse_file_meta(content)
        if meta.transfer_syntax_uid == DEFLATED:
            raise NotConvertible("A deflated data set is only sent as it is.")
        try:
            stream = BytesIO(content[meta.data_set_offset :])
            ds = encoded.read(stream, meta.transfer_syntax_uid, until=0xFFFFFFFF)
            return self._encoded(ds)
        except identity.UNREADABLE as error:
            raise IntegrityError(f"{path.name} cannot be read: {error}") from error

    def _prepare(self, table: FrameTable) -> int:
        """Make the header say what the frames will be; returns the bytes of each."""
        if table.transfer_syntax_uid in NATIVE:
            return int(table.ends[0] - table.starts[0])
        picture = decoded(table, 0, self._image)
        ds = self._image.data_set
        for keyword in _OF_COMPRESSION:
            if keyword in ds:
                delattr(ds, keyword)
        grey = picture.ndim == 2
        ds.SamplesPerPixel = 1 if grey else 3
        ds.PhotometricInterpretation = "MONOCHROME2" if grey else "RGB"
        if grey:
            ds.pop("PlanarConfiguration", None)
        else:
            ds.PlanarConfiguration = 0
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
        return int(picture.nbytes)

    def _encoded(self, ds: Dataset) -> bytes:
        try:
            return data_set.write(ds, IMPLICIT_LITTLE if self._implicit else EXPLICIT_LITTLE)
        except identity.UNREADABLE as error:
            raise NotConvertible(f"It cannot be written anew: {error}") from error

    def _pixel_data_head(self, value_bytes: int) -> bytes:
        length = (value_bytes + value_bytes % 2).to_bytes(4, "little")
        tag = b"\xe0\x7f\x10\0"
        vr = b"OB" if self._image.bits_allocated <= 8 else b"OW"
        return tag + length if self._implicit else tag + vr + b"\0\0" + length


def uncompressed(table: FrameTable, frame_index: int, image: Image) -> bytes:
    """Return a frame's samples, Little Endian. Raises NotConvertible, IntegrityError."""
    if table.transfer_syntax_uid not in NATIVE:
        return decoded(table, frame_index, image).tobytes()
    data = table.read(frame_index)
    if table.transfer_syntax_uid == EXPLICIT_BIG and image.bits_allocated > 8:
        return np.frombuffer(data, f">u{image.bits_allocated // 8}").byteswap().tobytes()
    return data


def decoded(table: FrameTable, frame_index: int, image: Image) -> Pixels:
    """Decode a frame to eight-bit grey or RGB. Raises NotConvertible, IntegrityError."""
    if table.transfer_syntax_uid not in NATIVE and image.bits_allocated != 8:
        raise NotConvertible("Compressed images of more than eight bits are only sent as they are.")
    return picture(table, frame_index, image)


def picture(table: FrameTable, frame_index: int, image: Image) -> Pixels:
    """Return a frame to look at, eight bits a sample. Raises NotConvertible, IntegrityError."""
    if image.bits_allocated not in (8, 16) or image.signed:
        raise NotConvertible("There is no picture of samples like these.")
    data = table.read(frame_index)
    try:
        if table.transfer_syntax_uid in NATIVE:
            return pixels.decoded(data, Codec.NATIVE, image)
        codec = pixels.codec_of(data, table.transfer_syntax_uid)
        return pixels.decoded(data, codec, image)
    except pixels.Undecodable as error:
        raise IntegrityError(f"Frame {frame_index + 1} cannot be decoded: {error}") from error


def require_undamaged(home: Path, place: Place, digest: str) -> None:
    """Raise IntegrityError unless the file is what was recorded (SHA-256, hexadecimal)."""
    found = hashlib.sha256()
    for piece in reading.pieces(home / place.storage_key, place.offset_bytes, place.size_bytes):
        found.update(piece)
    if found.hexdigest() != digest:
        raise IntegrityError(f"The stored bytes of {place.storage_key} differ from the record.")
