"""Looking into received instances that are not simply one JPEG Baseline frame.

Streams: of an instance, its header and one frame at a time are held, however large it is.
Knows packs and files, not the ledger.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateway.dicom import part10
from gateway.dicom.image import Image
from gateway.dicom.storage_classes import DEFLATED, EXPLICIT_LITTLE, TRANSFER_SYNTAXES
from gateway.errors import IntegrityError, Undecodable
from gateway.model import Compression, FrameEncoding, FrameFault, FrameTreatment
from gateway.packs.reading import PackReader
from gateway.preflight import check as preflight
from gateway.settings import Settings
from workers import received_pixels
from workers.frame_spool import FrameSpool
from workers.received_pixels import Content, FramePiece, PixelData
from workers.wrap.legal_video import is_legal
from workers.wrap.recording import (
    FRAME,
    MEMBER,
    UNTOUCHED,
    Examined,
    Frames,
    Members,
    SealedPack,
)
from workers.wrap.segment import Limits
from workers.wrap.treatment import TreatedFrame, treated

HELD_BYTES = 4 << 20
"""Instances up to this size are read in one go."""
FRAME_BYTES_MIN_MAX = 4 << 20
"""A compressed frame may be this large, or four times its pixels: beyond, it is no frame."""


class Examiner:
    """Examines members of a study's packs. Holds a pack open: use it as a context manager."""

    def __init__(
        self,
        settings: Settings,
        packs: Sequence[SealedPack],
        spool: FrameSpool,
        heartbeat: Callable[[], None],
        *,
        leave_videos: bool,
    ) -> None:
        """heartbeat: called with every frame; what it raises ends the work. leave_videos: what
        is a legal Video Endoscopic instance already stays one, under its own UID."""
        self._settings, self._packs, self._spool = settings, packs, spool
        self._heartbeat, self._leave_videos = heartbeat, leave_videos
        self._open: tuple[int, PackReader] | None = None

    def __enter__(self) -> "Examiner":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def examine(self, members: Members) -> Examined:
        """Look into members; what nothing is found in stays what it was, an original.

        Raises IntegrityError if a pack no longer holds what was acknowledged; StorageError.
        """
        found = [Examined(np.zeros(0, FRAME), np.zeros(0, MEMBER), np.zeros(0, UNTOUCHED))]
        for member in members:
            found += self._member(member)
        self._spool.flush()
        return Examined(
            np.concatenate([one.frames for one in found]),
            np.concatenate([one.excluded for one in found]),
            np.concatenate([one.untouched for one in found]),
        )

    def _member(self, member: NDArray[np.void]) -> Iterator[Examined]:
        row = self._packs[int(member["pack"])].index[int(member["row"])]
        content = self._verified(int(member["pack"]), row)
        inflated: Path | None = None
        try:
            meta = part10.parse_file_meta(content.read_at(0, HELD_BYTES))
            data_set = received_pixels.within(content, meta.data_set_offset)
            transfer_syntax_uid = meta.transfer_syntax_uid
            if transfer_syntax_uid not in TRANSFER_SYNTAXES:
                return  # a video codec, for instance: no frames in it
            if transfer_syntax_uid == DEFLATED:
                inflated = self._spool.inflate(received_pixels.pieces(data_set))
                data_set = Content(PackReader(inflated), 0, inflated.stat().st_size)
                transfer_syntax_uid = EXPLICIT_LITTLE
            found = received_pixels.pixel_data(
                data_set, meta.sop_class_uid, transfer_syntax_uid, in_pack=inflated is None
            )
            if found is not None:
                yield self._frames(member, row, found, content)
        except (Undecodable, ValueError):
            return  # nothing in it that could be shown, or could be told to be wrong
        finally:
            if inflated is not None:
                data_set.reader.close()
                self._spool.discard(inflated)

    def _verified(self, pack: int, row: NDArray[np.void]) -> Content:
        """Return a member after comparing it with what was acknowledged."""
        content = Content(self._reader(pack), int(row["offset"]), int(row["size"]))
        if content.size <= HELD_BYTES:
            held = content.read_at(0, content.size)
            content = Content(content.reader, content.base, content.size, held)
        digest = hashlib.sha256()
        for piece in received_pixels.pieces(content):
            self._heartbeat()
            digest.update(piece)
        if digest.digest() != row["digest"].tobytes():
            uid = bytes(row["sop_instance_uid"]).decode("ascii", "replace")
            raise IntegrityError(
                f"The pack {self._packs[pack].storage_key} no longer holds instance {uid}"
                " as received."
            )
        return content

    def _frames(
        self, member: NDArray[np.void], row: NDArray[np.void], found: PixelData, content: Content
    ) -> Examined:
        """Treat the frames of one instance, one after the other."""
        try:
            pieces, fragments = received_pixels.frame_pieces(found)
        except ValueError:
            return _examined(member, faults=[(0, FrameFault.CORRUPT)])
        several = len(pieces) > 1 or (found.image.declared or 1) > 1
        frames = np.zeros(len(pieces), FRAME)
        faults: list[tuple[int, FrameFault]] = []
        for position, piece in enumerate(pieces):
            self._heartbeat()
            fault = self._frame(frames[position : position + 1], found, piece)
            if fault is None:
                return _examined(member)  # an original, by choice
            if fault is not FrameFault.NONE:
                faults.append((position + 1 if several else 0, fault))
        if len(pieces) < (found.image.declared or 1):
            faults.append((len(pieces) + 1 if several else 0, FrameFault.MISSING))
        _set_origin(frames, member, row, several=several)
        _set_times(frames, int(row["acquired_us"]), found.image)
        limits = Limits(self._settings.part_frames_max, self._settings.part_bytes_max)
        whole = self._leave_videos and several and not (faults or frames["spooled"].any())
        if whole and is_legal(found.image, fragments, frames, limits) and self._passes(content):
            return _untouched(member, frames)
        return _examined(member, frames[frames["encoding"] != FrameEncoding.OTHER], faults)

    def _passes(self, content: Content) -> bool:
        """Tell whether an instance stands the check that ours have to stand before they go out."""
        draft = self._spool.copy(received_pixels.pieces(content))
        try:
            return preflight.check(draft).passed
        finally:
            self._spool.discard(draft)

    def _frame(self, frame: Frames, found: PixelData, piece: FramePiece) -> FrameFault | None:
        """Fill in one record; returns what is wrong with it, None if it shall stay as it is."""
        if piece.size > max(FRAME_BYTES_MIN_MAX, 4 * found.image.native_bytes):
            return FrameFault.CORRUPT
        data = received_pixels.bytes_of(found, piece)
        done = treated(data, found.image, piece.codec, found.transfer_syntax_uid)
        if isinstance(done, FrameFault):
            return done
        if self._stays_lossless(done):
            return None
        treatment, stream = done.treatment, done.stream
        if len(piece.ranges) > 1 and FrameTreatment.REENCODED not in treatment:
            treatment |= FrameTreatment.JOINED
            stream = data if stream is None else stream
        if stream is None and not found.in_pack:
            stream = data
        if stream is None:
            offset = piece.ranges[0][0]
            frame["fragment_offset"] = found.data_set.base + offset
        else:
            data = stream + b"\0" * (len(stream) % 2)
            frame["fragment_offset"], frame["spooled"] = self._spool.add(data), True
        frame["fragment_size"] = len(data)
        frame["fragment_digest"] = np.frombuffer(hashlib.sha256(data).digest(), "u1")
        frame["rows"], frame["columns"] = found.image.rows, found.image.columns
        frame["encoding"], frame["treatment"] = done.encoding, treatment
        frame["earlier"], frame["source_size"] = done.earlier, piece.size
        return FrameFault.NONE

    def _stays_lossless(self, done: TreatedFrame) -> bool:
        return (
            self._settings.keep_lossless
            and FrameTreatment.REENCODED in done.treatment
            and done.earlier is Compression.LOSSLESS
        )

    def _reader(self, pack: int) -> PackReader:
        if self._open is None or self._open[0] != pack:
            self._close()
            path = self._settings.home / self._packs[pack].storage_key
            self._open = pack, PackReader(path)
        return self._open[1]

    def _close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None


def _set_times(frames: Frames, acquired_us: int, image: Image) -> None:
    """Give each frame its time: that of the instance and, if known, what has passed since."""
    since_us = image.since_us
    frames["acquired_us"] = acquired_us
    if since_us is None or len(since_us) < len(frames):
        frames["acquired_us"][1:] = -1
        return
    frames["since_us"] = since_us[: len(frames)]
    if acquired_us >= 0:
        frames["acquired_us"] += frames["since_us"]


def _set_origin(
    frames: Frames, member: NDArray[np.void], row: NDArray[np.void], *, several: bool
) -> None:
    for name in ("pack", "row"):
        frames[name] = member[name]
    for name in ("sop_instance_uid", "instance_number"):
        frames[name] = row[name]
    frames["source_frame"] = np.arange(1, len(frames) + 1) if several else 0


def _examined(
    member: NDArray[np.void],
    frames: Frames | None = None,
    faults: Sequence[tuple[int, FrameFault]] = (),
) -> Examined:
    """faults: (frame number, 1-based, 0 for the whole instance; what is wrong)."""
    rows = np.zeros(len(faults), MEMBER)
    for name in ("pack", "row"):
        rows[name] = member[name]
    rows["source_frame"] = [number for number, _ in faults]
    rows["fault"] = [fault for _, fault in faults]
    sound = np.zeros(0, FRAME) if frames is None else frames
    return Examined(sound, rows, np.zeros(0, UNTOUCHED))


def _untouched(member: NDArray[np.void], frames: Frames) -> Examined:
    row = np.zeros(1, UNTOUCHED)
    row["pack"], row["row"], row["frame_count"] = member["pack"], member["row"], len(frames)
    row["acquired_us"] = frames["acquired_us"][0]
    return Examined(np.zeros(0, FRAME), np.zeros(0, MEMBER), row)
