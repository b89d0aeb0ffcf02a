"""Video files as frames: Motion JPEG taken out as it lies there, anything else decoded once."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from gateway.dicom import jpeg, times
from gateway.errors import FileRefused
from gateway.importing import avi, content, pictures, quicktime
from gateway.importing.archive import check_length
from gateway.importing.content import Loss
from gateway.importing.frames import Job, Loaded
from gateway.importing.kinds import Kind
from gateway.importing.source import PICTURE_BYTES_MAX, Archive, Item, Source, open_plain
from gateway.importing.tracks import SAMPLES_MAX, Track
from gateway.packs.writer import storage_error

VIDEO_BYTES_MAX = 1 << 40
SPOOLED_BYTES_MAX = 64 << 30
"""A video inside an archive is unpacked beside the other temporary files; no longer than this."""
_METHODS = {
    "h264": "ISO_14496_10", "avc1": "ISO_14496_10",
    "hevc": "ISO_23008_2", "hvc1": "ISO_23008_2", "hev1": "ISO_23008_2",
    "mpg1": "ISO_13818_2", "mpg2": "ISO_13818_2", "mpeg": "ISO_13818_2",
    "mjpg": "ISO_10918_1",
}  # fmt: skip
"""Lossy Image Compression Method by codec (PS3.3 C.7.6.1.1.5.1); MPEG-1 has none of its own."""


class OpenVideo:
    """A video file open for reading; unpacked first if it lies in an archive."""

    def __init__(self, source: Source, item: Item) -> None:
        """Raises FileRefused, or StorageError where there is no room to unpack it."""
        self._cleaning = ExitStack()
        check_length(item.size_bytes, VIDEO_BYTES_MAX)
        with ExitStack() as cleaning:
            self.path = source.path_of(item) or _unpacked(source, item, cleaning)
            self._descriptor = open_plain(self.path)
            cleaning.callback(os.close, self._descriptor)
            self.size_bytes = os.fstat(self._descriptor).st_size
            self._cleaning = cleaning.pop_all()

    def read_at(self, offset: int, size: int) -> bytes:
        if offset >= self.size_bytes:
            return b""
        try:
            return os.pread(self._descriptor, min(size, self.size_bytes - offset), offset)
        except OSError as error:
            raise FileRefused(f"It cannot be read: {error.strerror}.") from error

    def digest(self) -> str:
        """Return the SHA-256 of the whole file."""
        digest = hashlib.sha256()
        for offset in range(0, self.size_bytes, 4 << 20):
            digest.update(self.read_at(offset, 4 << 20))
        return digest.hexdigest()

    def close(self) -> None:
        self._cleaning.close()


@dataclass(frozen=True)
class Video:
    """motion_jpeg: its track if its pictures are JPEG streams; else it has to be decoded.

    first_digest: of what the first frame is made from. frame_count: 0 if nobody knows before all
    of it is decoded.
    """

    file: OpenVideo
    name: str
    motion_jpeg: Track | None
    first_digest: str
    frame_count: int = 0

    @property
    def is_timed(self) -> bool:
        return self.motion_jpeg is None or self.motion_jpeg.timed


def look(file: OpenVideo, name: str, kind: Kind) -> Video:
    """Find out what a video holds. Raises FileRefused."""
    track: Track | None = None
    trouble: FileRefused | None = None
    if kind in (Kind.AVI, Kind.QUICKTIME):
        try:
            track = (avi if kind is Kind.AVI else quicktime).track(file)
        except FileRefused as error:
            trouble = error
    if track is not None and _is_motion_jpeg(file, track):
        first = file.read_at(track.samples[0].offset, track.samples[0].size)
        digest = hashlib.sha256(first).hexdigest()
        return Video(file, name, track, digest, len(track.samples))
    capture = cv2.VideoCapture(str(file.path), cv2.CAP_FFMPEG)
    opened = capture.isOpened()
    sides = [capture.get(cv2.CAP_PROP_FRAME_HEIGHT), capture.get(cv2.CAP_PROP_FRAME_WIDTH)]
    capture.release()
    if not opened:
        raise trouble or FileRefused("The video cannot be decoded.")
    pictures.check(pictures.Size(*map(int, sides)))
    return Video(file, name, None, file.digest(), len(track.samples) if track else 0)


def jobs(video: Video, *, start_us: int, fps: float) -> Iterator[Job]:
    """Yield the frames of a video in order. start_us: when the first one was taken."""
    if video.motion_jpeg is not None:
        yield from _demuxed(video, video.motion_jpeg, start_us, fps)
    else:
        yield from _decoded(video, start_us, fps)


def _is_motion_jpeg(file: OpenVideo, track: Track) -> bool:
    """Judge by the first picture: names of codecs lie, and two fields in one are no frame."""
    sample = track.samples[0]
    check_length(sample.size, PICTURE_BYTES_MAX)
    found = jpeg.scan(file.read_at(sample.offset, sample.size))
    if found is None or not found.rows:
        return False
    return track.rows in (0, found.rows) and track.columns in (0, found.columns)


def _demuxed(video: Video, track: Track, start_us: int, fps: float) -> Iterator[Job]:
    for index, sample in enumerate(track.samples):

        def load(offset: int = sample.offset, size: int = sample.size) -> Loaded:
            check_length(size, PICTURE_BYTES_MAX)
            data = video.file.read_at(offset, size)
            if len(data) < size:
                raise FileRefused("The video file ends inside this picture.")
            return Loaded(
                hashlib.sha256(data).hexdigest(),
                lambda: content.from_jpeg(data),
            )

        elapsed_us = round(index * 1_000_000 / fps) if fps else sample.elapsed_us
        known = bool(fps) or track.timed
        taken_us = start_us + elapsed_us if known and start_us >= 0 else times.UNKNOWN
        yield Job(f"{video.name} #{index + 1}", index + 1, taken_us, 2 * sample.size, load)


def _decoded(video: Video, start_us: int, fps: float) -> Iterator[Job]:
    capture = cv2.VideoCapture(str(video.file.path), cv2.CAP_FFMPEG)
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
    try:
        stated_fps = capture.get(cv2.CAP_PROP_FPS)
        codec, loss = _loss(capture, video.file.size_bytes)
        latest_us = -1
        number = 0
        while True:
            done, frame = capture.read()
            if not done:
                break
            number += 1
            pictures.check(pictures.Size(*frame.shape[:2]))
            if number > SAMPLES_MAX:
                raise FileRefused("The video has an absurd number of pictures.")
            stated_us = round(capture.get(cv2.CAP_PROP_POS_MSEC) * 1000)
            rate = fps or (stated_fps if stated_us <= latest_us else 0)
            elapsed_us = round((number - 1) * 1_000_000 / rate) if rate else stated_us
            latest_us = max(latest_us, elapsed_us)
            taken_us = start_us + elapsed_us if start_us >= 0 else times.UNKNOWN
            yield _decoded_job(video, number, taken_us, (np.asarray(frame, np.uint8), codec, loss))
        if number == 0:
            raise FileRefused("The video has no picture that can be decoded.")
    except cv2.error as error:
        raise FileRefused("The video cannot be decoded.") from error
    finally:
        capture.release()


def _decoded_job(
    video: Video,
    number: int,
    taken_us: int,
    made: tuple[NDArray[np.uint8], str, Loss | None],
) -> Job:
    frame, codec, loss = made
    digest = hashlib.sha256(f"{video.first_digest}#{number}".encode()).hexdigest()
    loaded = Loaded(
        digest,
        lambda: content.encoded(frame, f"{codec} video", loss),
    )
    return Job(f"{video.name} #{number}", number, taken_us, frame.nbytes, lambda: loaded)


def _loss(capture: cv2.VideoCapture, size_bytes: int) -> tuple[str, Loss | None]:
    """Return the codec's name and what it lost before us, as far as DICOM has a word for it."""
    code = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True)
    codec = code.decode("ascii", "replace").strip("\0 ").lower() or "unknown"
    codec = codec if codec.isascii() and codec.isprintable() else "unknown"
    method = _METHODS.get(codec)
    if method is None:
        return codec, None
    count = max(0.0, capture.get(cv2.CAP_PROP_FRAME_COUNT))
    pixels = capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
    return codec, Loss(method, round(count * pixels * 3 / max(1, size_bytes), 2))


def _unpacked(source: Source, item: Item, cleaning: ExitStack) -> Path:
    assert isinstance(source, Archive), "every other source has files"
    check_length(item.size_bytes, SPOOLED_BYTES_MAX)
    folder = cleaning.enter_context(tempfile.TemporaryDirectory(prefix="capsule-import-"))
    path = Path(folder) / "video"  # nothing an archive says becomes a path
    try:
        with path.open("xb") as file:
            for piece in source.pieces(item):
                file.write(piece)
    except OSError as error:
        raise storage_error(error, path) from error
    return path
