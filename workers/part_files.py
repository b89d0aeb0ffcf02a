"""Parts as files: frames read out of packs, written as one instance, read again and compared.

Knows packs and files, not the ledger.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateway import log
from gateway.dicom.storage_classes import JPEG_BASELINE
from gateway.errors import IntegrityError, StorageError
from gateway.packs import reading
from gateway.packs.multiframe import MultiFrameFile
from gateway.settings import Settings
from workers import derived_files, dicom_objects
from workers.derived_files import WrittenFile
from workers.wrap import encapsulate, video_endoscopic
from workers.wrap.recording import Frames, SealedPack
from workers.wrap.segment import Part
from workers.wrap.video_endoscopic import Source

OPEN_PACKS_MAX = 32
"""Packs held open at a time; a study has one per Series and Association, sometimes hundreds."""

_SPOOL = -1
"""In place of the number of a pack."""

_log = log.get(__name__)


@dataclass(frozen=True)
class PartFile:
    """A part that lies durable in the storage and holds what was received."""

    series_instance_uid: str
    sop_instance_uid: str
    storage_key: str
    written: WrittenFile


class PartFiles:
    """Makes the parts of one study. Holds packs open: use it as a context manager."""

    def __init__(
        self,
        settings: Settings,
        packs: Sequence[SealedPack],
        heartbeat: Callable[[], None],
        *,
        spool: Path | None = None,
    ) -> None:
        """heartbeat: called with every frame; what it raises ends the work. spool: the file of
        the frames that were treated."""
        self._settings, self._packs, self._heartbeat = settings, packs, heartbeat
        self._spool = spool
        self._open: dict[int, reading.PackReader] = {}

    def __enter__(self) -> "PartFiles":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def make(self, source: Source, part: Part) -> PartFile:
        """Write a part, or find it made by an earlier attempt; either way it is verified.

        Raises LimitExceeded and StorageError: IntegrityError if a pack no longer holds the
        bytes that were acknowledged, or the new file does not hold what was written.
        """
        frames = source.recording.frames[part.positions]
        ends = (self._sop_class_uid(frames[0]), self._sop_class_uid(frames[-1]))
        ds = video_endoscopic.header(source, part, ends)
        head = dicom_objects.encode_head(ds, JPEG_BASELINE)
        beginning = encapsulate.before_frames(head, frames["fragment_size"])
        key = derived_files.storage_key(ds.StudyInstanceUID, f"{ds.SOPInstanceUID}.dcm")
        written = self._made_before(key, beginning, frames) or derived_files.write(
            derived_files.path_of(self._settings, key),
            encapsulate.pieces(beginning, self._fragments(frames)),
            verify=lambda draft: self._verify(draft, beginning, frames),
        )
        return PartFile(ds.SeriesInstanceUID, ds.SOPInstanceUID, key, written)

    def copy(self, study_instance_uid: str, member: NDArray[np.void]) -> PartFile:
        """Copy a multi-frame instance out of its pack, as it came. member: pack and row.

        Raises StorageError: IntegrityError if it is not what was acknowledged.
        """
        pack = self._packs[int(member["pack"])]
        row = pack.index[int(member["row"])]
        uid = bytes(row["sop_instance_uid"]).decode()
        key = derived_files.storage_key(study_instance_uid, f"{uid}.dcm")
        path = self._settings.home / pack.storage_key
        written = derived_files.write(
            derived_files.path_of(self._settings, key),
            self._beating(reading.pieces(path, int(row["offset"]), int(row["size"]))),
        )
        if written.digest != row["digest"].tobytes().hex():
            derived_files.path_of(self._settings, key).unlink()
            raise IntegrityError(
                f"The pack {pack.storage_key} no longer holds instance {uid} as received."
            )
        return PartFile(pack.series_instance_uid, uid, key, written)

    def _beating(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._heartbeat()
            yield piece

    def _sop_class_uid(self, frame: NDArray[np.void]) -> str:
        index = self._packs[int(frame["pack"])].index
        return bytes(index["sop_class_uid"][int(frame["row"])]).decode()

    def _made_before(self, key: str, beginning: bytes, frames: Frames) -> WrittenFile | None:
        """Return a part that an earlier attempt finished; None if it is absent or damaged."""
        path = derived_files.path_of(self._settings, key)
        if not path.exists():
            return None
        try:
            self._verify(path, beginning, frames)
            digest, size = hashlib.sha256(), path.stat().st_size
            for piece in reading.pieces(path, 0, size):
                self._heartbeat()
                digest.update(piece)
        except (StorageError, OSError) as error:  # made again from the packs, whatever it is
            _log.warning("wrap.part-damaged", file=path.name, error=str(error))
            return None
        return WrittenFile(size, digest.hexdigest())

    def _verify(self, path: Path, beginning: bytes, frames: Frames) -> None:
        """Read a part through its Basic Offset Table and compare it with what was received.

        Raises IntegrityError, saying whether the pack or the part is to blame.
        """
        sizes = frames["fragment_size"]
        expected = encapsulate.size_bytes(beginning, sizes)
        if path.stat().st_size != expected:
            raise IntegrityError(f"{path.name} is not {expected} bytes long.")
        if reading.read_range(path, 0, len(beginning)) != beginning:
            raise IntegrityError(f"The header of {path.name} is not what was written.")
        digests = frames["fragment_digest"].tobytes()
        file = MultiFrameFile(path)
        try:
            for frame_index, size in enumerate(sizes.tolist()):
                self._heartbeat()
                fragment = memoryview(file.read_frame(frame_index))[:size]
                at = 32 * frame_index
                if hashlib.sha256(fragment).digest() != digests[at : at + 32]:
                    raise self._mismatch(path, frames[frame_index : frame_index + 1], frame_index)
        finally:
            file.close()

    def _mismatch(self, path: Path, frame: Frames, frame_index: int) -> IntegrityError:
        """Return the error of a frame in a part that differs from what was acknowledged."""
        received = next(self._fragments(frame))
        sound = hashlib.sha256(received).digest() == frame["fragment_digest"].tobytes()
        if sound or frame["spooled"][0]:
            return IntegrityError(f"Frame {frame_index + 1} of {path.name} is not as written.")
        pack = self._packs[int(frame["pack"][0])].storage_key
        uid = bytes(frame["sop_instance_uid"][0]).decode()
        return IntegrityError(f"The pack {pack} no longer holds instance {uid} as received.")

    def _fragments(self, frames: Frames) -> Iterator[memoryview]:
        """Yield the fragments of frames in their order, what lies together in one read."""
        files = np.where(frames["spooled"], _SPOOL, frames["pack"])
        edges = np.flatnonzero(np.diff(files)) + 1
        for run, file in zip(np.split(frames, edges), files[[0, *edges]].tolist(), strict=True):
            offsets, sizes = run["fragment_offset"].tolist(), run["fragment_size"].tolist()
            for fragment in self._reader(file).read_each(offsets, sizes):
                self._heartbeat()
                yield fragment

    def _reader(self, file: int) -> reading.PackReader:
        """file: which pack, or _SPOOL."""
        if file not in self._open:
            if len(self._open) >= OPEN_PACKS_MAX:
                self._close()
            self._open[file] = reading.PackReader(self._path(file))
        return self._open[file]

    def _path(self, file: int) -> Path:
        if file == _SPOOL:
            assert self._spool is not None, "treated frames come with their spool"
            return self._spool
        return self._settings.home / self._packs[file].storage_key

    def _close(self) -> None:
        for reader in self._open.values():
            reader.close()
        self._open.clear()
