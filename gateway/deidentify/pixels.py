"""Pure: frames of an instance without what identifies: metadata segments and burned-in text."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom import Dataset

from gateway.deidentify.profile import Region
from gateway.dicom import jpeg_blanking, jpeg_metadata
from gateway.dicom.jpeg_blanking import Rectangle
from gateway.dicom.storage_classes import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    JPEG_BASELINE,
)
from gateway.errors import CannotDeidentify

NATIVE = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG})
_RLE = "1.2.840.10008.1.2.5"
_JPEG_FAMILY = frozenset(
    f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81, 90, 91)
)
"""JPEG, JPEG-LS and JPEG 2000: what jpeg_metadata follows from marker to marker."""


@dataclass(frozen=True)
class Geometry:
    """Of native frames. planar: each colour lies in a plane of its own."""

    rows: int
    columns: int
    samples: int
    sample_bytes: int
    planar: bool

    @property
    def frame_bytes(self) -> int:
        return self.rows * self.columns * self.samples * self.sample_bytes


class Cleaner:
    """Cleans the frames of one instance, one at a time."""

    def __init__(
        self, ds: Dataset, transfer_syntax_uid: str, regions: Sequence[Region], source: str
    ) -> None:
        """regions: of the profile. source: the calling AE title the study came from.

        Raises CannotDeidentify for compressions whose streams cannot be cleaned.
        """
        self._syntax = transfer_syntax_uid
        rows, columns = int(ds.get("Rows") or 0), int(ds.get("Columns") or 0)
        self.rectangles = [
            Rectangle(one.x, one.y, one.width, one.height)
            for one in regions
            if one.applies(rows=rows, columns=columns, source=source)
        ]
        known = transfer_syntax_uid in (*NATIVE, *_JPEG_FAMILY, _RLE)
        blankable = transfer_syntax_uid in (*NATIVE, JPEG_BASELINE)
        if not known or (self.rectangles and not blankable):
            raise CannotDeidentify(
                f"The pixel data cannot be cleaned in the transfer syntax {transfer_syntax_uid}."
            )
        bits = int(ds.get("BitsAllocated") or 8)
        if transfer_syntax_uid in NATIVE and bits % 8 and self.rectangles:
            raise CannotDeidentify("Pixel data of packed bits cannot be blanked.")
        self.geometry = Geometry(
            rows, columns, int(ds.get("SamplesPerPixel") or 1), max(bits // 8, 1),
            bool(ds.get("PlanarConfiguration")),
        )  # fmt: skip
        self.metadata_bytes = self.blanked_count = 0

    def compressed(self, stream: bytes) -> bytes:
        """Return an encapsulated frame, cleaned. Raises CannotDeidentify if it is damaged."""
        if self._syntax == _RLE:
            return stream
        try:
            bare = jpeg_metadata.without_metadata(stream)
            self.metadata_bytes += len(stream.rstrip(b"\0")) - len(bare)
            if self.rectangles:
                bare = jpeg_blanking.blanked(bare, self.rectangles)
                self.blanked_count += 1
        except ValueError as error:
            raise CannotDeidentify(f"A frame cannot be cleaned: {error}.") from error
        return bare

    def native(self, frame: bytearray) -> None:
        """Make the rectangles of an uncompressed frame zero, in place."""
        shape = self.geometry
        planes = shape.samples if shape.planar else 1
        pixel = shape.sample_bytes * (1 if shape.planar else shape.samples)
        for one in self.rectangles:
            left, right = min(one.x, shape.columns), min(one.x + one.width, shape.columns)
            for plane in range(planes):
                for row in range(min(one.y, shape.rows), min(one.y + one.height, shape.rows)):
                    at = ((plane * shape.rows + row) * shape.columns + left) * pixel
                    frame[at : at + (right - left) * pixel] = bytes((right - left) * pixel)
        self.blanked_count += bool(self.rectangles)
