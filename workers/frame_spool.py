"""Frames that had to be changed, until they are in their part: a file that lives as long as a wrap.

Not durable: what is in it is made again from the packs, byte for byte, by the next attempt.
"""

import secrets
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from gateway.packs.writer import storage_error

BUFFER_BYTES = 1 << 20
INFLATED_BYTES_MAX = 1 << 30
"""Of one deflated instance: a few kilobytes may claim to be any size."""
_PIECE_BYTES = 1 << 20


class FrameSpool:
    """Append-only. Names end in .draft: what a killed worker leaves is removed with its drafts."""

    def __init__(self, directory: Path) -> None:
        """directory: of the study's derived instances; made when the first frame comes."""
        self._directory = directory
        self.path = directory / f"frames.{secrets.token_hex(4)}.draft"
        self._file: BinaryIO | None = None
        self._size = 0
        self._beside: list[Path] = []

    def __enter__(self) -> "FrameSpool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, stream: bytes) -> int:
        """Append a frame; returns its offset. Raises StorageFull, StorageUnavailable."""
        try:
            if self._file is None:
                self._directory.mkdir(parents=True, exist_ok=True, mode=0o750)
                self._file = self.path.open("xb", buffering=BUFFER_BYTES)
            self._file.write(stream)
        except OSError as error:
            raise storage_error(error, self.path) from error
        offset, self._size = self._size, self._size + len(stream)
        return offset

    def flush(self) -> None:
        """Let readers see all of it. Raises StorageFull, StorageUnavailable."""
        if self._file is not None:
            try:
                self._file.flush()
            except OSError as error:
                raise storage_error(error, self.path) from error

    def inflate(self, pieces: Iterable[bytes]) -> Path:
        """Unpack a deflated data set (PS3.5 A.5) into a file beside the spool.

        Raises ValueError if it is damaged or larger than INFLATED_BYTES_MAX; StorageError.
        """
        return self.copy(_inflated(pieces))

    def copy(self, pieces: Iterable[bytes]) -> Path:
        """Write a file beside the spool. Errors of `pieces` pass through; raises StorageError."""
        path = self._directory / f"whole.{secrets.token_hex(4)}.draft"
        self._beside.append(path)
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o750)
            with path.open("xb") as file:
                for piece in pieces:
                    file.write(piece)
        except OSError as error:
            raise storage_error(error, path) from error
        return path

    def discard(self, beside: Path) -> None:
        """Remove what `inflate` or `copy` made."""
        self._beside.remove(beside)
        with suppress(OSError):
            beside.unlink()

    def close(self) -> None:
        """Remove everything."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None
        for path in (self.path, *self._beside):
            with suppress(OSError):
                path.unlink()


def _inflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    unpacker, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    try:
        for piece in pieces:
            while piece and not unpacker.eof:
                unpacked = unpacker.decompress(piece, _PIECE_BYTES)
                piece = unpacker.unconsumed_tail
                size += len(unpacked)
                if size > INFLATED_BYTES_MAX:
                    raise ValueError("the deflated data set is too large")
                yield unpacked
        yield unpacker.flush()
    except zlib.error as error:
        raise ValueError(f"the deflated data set is damaged: {error}") from error
