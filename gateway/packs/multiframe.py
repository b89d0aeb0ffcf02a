"""Reading one frame out of a stored multi-frame instance, by its Basic Offset Table."""

import os
import struct
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread

from gateway.errors import IntegrityError, ObjectMissing

_ITEM = struct.Struct("<HHL")


class MultiFrameFile:
    """An encapsulated instance of ours: one fragment per frame, Basic Offset Table filled."""

    def __init__(self, path: Path) -> None:
        """Open a file. Raises ObjectMissing, IntegrityError if it is not such an instance."""
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise ObjectMissing(f"{path.name} is missing from the storage.") from error
        try:
            self._open()
        except (struct.error, ValueError, IntegrityError) as error:
            self.close()
            raise IntegrityError(f"{path.name} is not a multi-frame instance: {error}") from error

    def _open(self) -> None:
        with self.path.open("rb") as file:
            self.header: Dataset = dcmread(file, stop_before_pixels=True)
            """Everything before the pixel data."""
            position = file.tell()
        # dcmread may stop before or behind the element's own header: look for the table's item.
        window = os.pread(self._fd, 64, max(position - 12, 0))
        at = window.find(b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff")
        if at < 0:
            raise IntegrityError("there is no encapsulated pixel data")
        self.pixel_data_offset = max(position - 12, 0) + at
        """Of the element (7FE0,0010), bytes from the start of the file."""
        table = self.pixel_data_offset + 12
        _, _, length = _ITEM.unpack(os.pread(self._fd, 8, table))
        self._first = table + 8 + length
        raw = os.pread(self._fd, length, table + 8)
        self._offsets = np.frombuffer(raw, "<u4") if length else np.zeros(1, "<u4")

    @property
    def frame_count(self) -> int:
        return len(self._offsets)

    def read_frame(self, frame_index: int) -> bytes:
        """Return the fragment of a frame (0-based), padding included.

        Raises IntegrityError if the file does not hold it.
        """
        start = self._first + int(self._offsets[frame_index])
        group, element, size = _ITEM.unpack(os.pread(self._fd, 8, start))
        data = os.pread(self._fd, size, start + 8)
        if (group, element) != (0xFFFE, 0xE000) or len(data) != size:
            raise IntegrityError(f"Frame {frame_index + 1} of {self.path.name} is not there.")
        return data

    def close(self) -> None:
        os.close(self._fd)
