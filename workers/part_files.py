"""Parts as files: frames read out of packs, written as one instance, read again and compared.

Knows packs and files, not the ledger.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from gateway import log
from gateway.dicom import identity
from gateway.dicom.storage_classes import JPEG_BASELINE
from gateway.errors import IntegrityError, LimitExceeded, StorageError, Undecodable
from gateway.packs import reading
from gateway.settings import Settings
from workers import derived_files, dicom_objects, part_proof, stored_header
from workers.derived_files import Draft, WrittenFile
from workers.part_proof import Proof
from workers.wrap import encapsulate, video_endoscopic
from workers.wrap.recording import Frames, SealedPack
from workers.wrap.segment import Part
from workers.wrap.video_endoscopic import Origin, Source

OPEN_PACKS_MAX = 32
"""Packs held open at a time; a study has one per Series and Association, sometimes hundreds."""
AT_ONCE = 1
"""Parts under proof while the next one is written. Reading, hashing and syncing do without the
interpreter nearly all of their time."""

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


@dataclass(frozen=True)
class PlannedPart:
    """A part whose header is made. beginning: all that stands before its first frame."""

    series_instance_uid: str
    sop_instance_uid: str
    storage_key: str
    beginning: bytes
    frames: Frames


@dataclass(frozen=True)
class _Work:
    """A part that is written. draft: None if an earlier attempt made the file."""

    plan: PlannedPart
    proof: Future[Proof]
    draft: Draft | None = None
    synced: Future[None] | None = None


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

    def make(self, parts: Iterable[tuple[Source, Part]]) -> list[PartFile]:
        """Write parts, or find them made by an earlier attempt; each is read again and compared.

        While they are compared the next one is written. All are durable when this returns. Raises
        LimitExceeded and StorageError: IntegrityError if a pack no longer holds the bytes that
        were acknowledged, or a new file does not hold what was written.
        """
        made: list[PartFile] = []
        under_way: deque[_Work] = deque()
        with ExitStack() as drafts, ThreadPoolExecutor(AT_ONCE + 1, "part-proof") as helpers:
            for source, part in parts:
                under_way.append(self._begin(self.plan(source, part), helpers, drafts))
                if len(under_way) > AT_ONCE:
                    made.append(self._finish(under_way.popleft(), helpers, drafts))
            while under_way:
                made.append(self._finish(under_way.popleft(), helpers, drafts))
        for directory in {self._path_of(one.storage_key).parent for one in made}:
            derived_files.synced(directory)
        return made

    def plan(self, source: Source, part: Part) -> PlannedPart:
        """Make the header of a part. Raises LimitExceeded."""
        frames = source.recording.frames[part.positions]
        ds = video_endoscopic.header(source, part, self._origin(frames))
        head = dicom_objects.encode_head(ds, JPEG_BASELINE)
        key = derived_files.storage_key(ds.StudyInstanceUID, f"{ds.SOPInstanceUID}.dcm")
        beginning = encapsulate.before_frames(head, frames["fragment_size"])
        return PlannedPart(ds.SeriesInstanceUID, ds.SOPInstanceUID, key, beginning, frames)

    def draft(self, plan: PlannedPart) -> Draft:
        """Write a part into a draft, without a look at what was written. Raises StorageError."""
        draft = Draft(self._path_of(plan.storage_key))
        try:
            draft.fill(encapsulate.pieces(plan.beginning, self._fragments(plan.frames)))
        except BaseException:  # a lost lease, for instance
            draft.close()
            raise
        return draft

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

    def _begin(self, plan: PlannedPart, helpers: Executor, drafts: ExitStack) -> _Work:
        path = self._path_of(plan.storage_key)
        if path.exists():
            return _Work(plan, _proved(helpers, plan, path))
        return self._write(plan, helpers, drafts)

    def _write(self, plan: PlannedPart, helpers: Executor, drafts: ExitStack) -> _Work:
        draft = self.draft(plan)
        drafts.callback(draft.close)
        proof = _proved(helpers, plan, draft.path)
        return _Work(plan, proof, draft, helpers.submit(draft.sync))

    def _finish(self, work: _Work, helpers: Executor, drafts: ExitStack) -> PartFile:
        """Wait for the proof of a part and give the file its name."""
        plan = work.plan
        if work.draft is None or work.synced is None:
            written = _sound(work)
            if written is None:  # made again from the packs
                return self._finish(self._write(plan, helpers, drafts), helpers, drafts)
        else:
            proof = work.proof.result()
            if proof.difference is not None:
                raise self._mismatch(work.draft.path, plan.frames, proof.difference)
            work.synced.result()
            written = proof.written
            self._heartbeat()
            work.draft.publish()
            work.draft.close()
        return PartFile(plan.series_instance_uid, plan.sop_instance_uid, plan.storage_key, written)

    def _path_of(self, key: str) -> Path:
        return derived_files.path_of(self._settings, key)

    def _beating(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self._heartbeat()
            yield piece

    def _origin(self, frames: Frames) -> Origin:
        ends = (self._sop_class_uid(frames[0]), self._sop_class_uid(frames[-1]))
        pack = self._packs[int(frames["pack"][0])]
        row = pack.index[int(frames["row"][0])]
        path = self._settings.home / pack.storage_key
        try:
            said = stored_header.read(path, int(row["offset"]), int(row["size"])).data_set
            known = {keyword: said.get(keyword) for keyword in video_endoscopic.HISTORY}
        except (LimitExceeded, Undecodable, *identity.UNREADABLE):
            return Origin(ends)  # the frame is sound; what is odd in its header stays behind
        header = Dataset()
        for keyword, value in known.items():
            if value:
                setattr(header, keyword, value)
        return Origin(ends, header)

    def _sop_class_uid(self, frame: NDArray[np.void]) -> str:
        index = self._packs[int(frame["pack"])].index
        return bytes(index["sop_class_uid"][int(frame["row"])]).decode()

    def _mismatch(self, path: Path, frames: Frames, frame_index: int) -> IntegrityError:
        """Return the error of a part that differs from what was acknowledged: is it the pack?"""
        frame = frames[frame_index : frame_index + 1]
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


def _proved(helpers: Executor, plan: PlannedPart, path: Path) -> Future[Proof]:
    return helpers.submit(part_proof.prove, path, plan.beginning, plan.frames)


def _sound(work: _Work) -> WrittenFile | None:
    """Return what an earlier attempt finished; None if it is damaged."""
    try:
        proof = work.proof.result()
        if proof.difference is None:
            return proof.written
        why = f"frame {proof.difference + 1} is not as written"
    except StorageError as error:
        why = str(error)
    _log.warning("wrap.part-damaged", file=work.plan.storage_key, error=why)
    return None
