"""Where derived instances lie, and how they get there: whole and durable, or not at all."""

import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.dicom import uids
from gateway.packs.index import sync_directory
from gateway.packs.writer import storage_error
from gateway.settings import Settings

WRITE_BYTES = 1 << 20
"""Handed to the operating system at once: more of it falls out of the processor's cache."""
PIECES_MAX = 512
"""The same, in pieces: the operating system takes 1,024."""


@dataclass(frozen=True)
class WrittenFile:
    """digest: SHA-256 of the contents, hexadecimal."""

    size_bytes: int
    digest: str


def storage_key(study_instance_uid: str, file_name: str) -> str:
    """Return the key of a derived file: its path below Settings.home.

    file_name: <SOP Instance UID>.dcm, or the name of something that lies beside instances.
    """
    assert uids.is_valid(study_instance_uid), "checked when it was received"
    assert "/" not in file_name
    return f"derived/{study_instance_uid}/{file_name}"


def path_of(settings: Settings, key: str) -> Path:
    return settings.home / key


class Draft:
    """A file on its way to its name. Readers see what was there before until `publish`.

    Making, filling, syncing and publishing raise StorageFull or StorageUnavailable.
    """

    def __init__(self, final: Path) -> None:
        self._final, self.path = final, _draft_of(final)
        try:
            _make_directory(final.parent)
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC)
        except OSError as error:
            raise storage_error(error, final) from error

    def fill(self, pieces: Iterable[bytes | memoryview]) -> None:
        """Append pieces, many in one call. What `pieces` raises passes through."""
        held: list[bytes | memoryview] = []
        size_bytes = 0
        for piece in pieces:
            held.append(piece)
            size_bytes += len(piece)
            if size_bytes >= WRITE_BYTES or len(held) >= PIECES_MAX:
                self._append(held, size_bytes)
                held, size_bytes = [], 0
        self._append(held, size_bytes)

    def _append(self, pieces: list[bytes | memoryview], size_bytes: int) -> None:
        try:
            written = os.writev(self._fd, pieces) if pieces else 0
            rest = memoryview(b"".join(pieces))[written:] if written < size_bytes else b""
            while rest:  # a disk that fills up takes a part first
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            raise storage_error(error, self._final) from error

    def sync(self) -> None:
        """Make the contents durable."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise storage_error(error, self._final) from error

    def publish(self) -> None:
        """Give the file its name; durable when its directory was synced."""
        try:
            self.path.replace(self._final)
        except OSError as error:
            raise storage_error(error, self._final) from error

    def close(self) -> None:
        """Close it, and remove it unless it was published. A second call does nothing."""
        if self._fd < 0:
            return
        os.close(self._fd)
        self._fd = -1
        with suppress(OSError):  # tidying up must not hide what happened
            self.path.unlink()


def write(path: Path, pieces: Iterable[bytes | memoryview]) -> WrittenFile:
    """Write a file from its pieces; when this returns, contents and name are durable.

    A file that is already there is replaced. Raises StorageFull or StorageUnavailable; errors
    from `pieces` pass through. Nothing is left behind.
    """
    digest, size_bytes = hashlib.sha256(), 0

    def told() -> Iterator[bytes | memoryview]:
        nonlocal size_bytes
        for piece in pieces:
            digest.update(piece)
            size_bytes += len(piece)
            yield piece

    with closing(Draft(path)) as draft:
        draft.fill(told())
        draft.sync()
        draft.publish()
        synced(path.parent)
    return WrittenFile(size_bytes, digest.hexdigest())


def synced(directory: Path) -> None:
    """Make the names in a directory durable. Raises StorageFull or StorageUnavailable."""
    try:
        sync_directory(directory)
    except OSError as error:
        raise storage_error(error, directory) from error


class Batch:
    """Files of one directory that become durable together, when the `with` block ends.

    A hundred files synced one after the other, each with its name, wait for the disk two
    hundred times; written first and synced then, a quarter as long. If the block fails,
    nothing of it is left behind.
    """

    def __init__(self, directory: Path, heartbeat: Callable[[], None]) -> None:
        """heartbeat: called with every file; what it raises ends the work."""
        self._directory, self._heartbeat = directory, heartbeat
        self._drafts: dict[Path, Path] = {}

    def add(self, file_name: str, contents: bytes | memoryview) -> WrittenFile:
        """Take a file; durable only at the end of the block. Raises StorageError."""
        self._heartbeat()
        path = self._directory / file_name
        draft = self._drafts.setdefault(path, _draft_of(path))
        try:
            _make_directory(self._directory)
            draft.write_bytes(contents)
        except OSError as error:
            raise storage_error(error, path) from error
        return WrittenFile(len(contents), hashlib.sha256(contents).hexdigest())

    def already(self, file_name: str) -> bytes | None:
        """Return what lies there from an earlier run, if anything. Raises StorageError."""
        path = self._directory / file_name
        try:
            return path.read_bytes() if path.is_file() else None
        except OSError as error:
            raise storage_error(error, path) from error

    def _commit(self) -> None:
        for path, draft in self._drafts.items():
            self._heartbeat()
            try:
                with draft.open("rb") as file:
                    os.fsync(file.fileno())
            except OSError as error:
                raise storage_error(error, path) from error
        try:
            for path, draft in self._drafts.items():
                draft.replace(path)
        except OSError as error:
            raise storage_error(error, self._directory) from error
        if self._drafts:
            synced(self._directory)

    def __enter__(self) -> "Batch":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._commit()
        finally:
            for draft in self._drafts.values():
                with suppress(OSError):
                    draft.unlink()


def remove_drafts(directory: Path) -> None:
    """Remove what killed workers left half-written in a study's directory.

    Only for who holds the lease: a worker that lost it and still writes fails at its next step.
    """
    for draft in directory.glob("*.draft"):
        draft.unlink(missing_ok=True)


def _draft_of(path: Path) -> Path:
    # A worker that lost its lease may still write the same file, in another container under
    # the same process id: drafts never share a name.
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}.draft")


def _make_directory(directory: Path) -> None:
    if directory.is_dir():
        return
    _make_directory(directory.parent)
    directory.mkdir(exist_ok=True, mode=0o750)
    sync_directory(directory.parent)
