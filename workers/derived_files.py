"""Where derived instances lie, and how they get there: whole and durable, or not at all."""

import hashlib
import os
import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.dicom import uids
from gateway.packs.index import sync_directory
from gateway.packs.writer import storage_error
from gateway.settings import Settings

WRITE_BYTES = 1 << 20
"""Handed to the operating system at once."""


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


def write(
    path: Path,
    pieces: Iterable[bytes | memoryview],
    *,
    verify: Callable[[Path], None] | None = None,
) -> WrittenFile:
    """Write a file from its pieces; when this returns, contents and name are durable.

    A file that is already there is replaced; readers see the old one or the new one. verify is
    shown the durable draft before it gets its name, and may raise. Raises StorageFull or
    StorageUnavailable; errors from `pieces` and `verify` pass through. Nothing is left behind.
    """
    draft = _draft_of(path)
    digest, size = hashlib.sha256(), 0
    try:
        _make_directory(path.parent)
        with draft.open("wb", buffering=WRITE_BYTES) as file:
            for piece in pieces:
                file.write(piece)
                digest.update(piece)
                size += len(piece)
            file.flush()
            os.fsync(file.fileno())
        if verify is not None:
            verify(draft)
        draft.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        with suppress(OSError):  # tidying up must not hide what happened
            draft.unlink()
    return WrittenFile(size, digest.hexdigest())


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
            if self._drafts:
                sync_directory(self._directory)
        except OSError as error:
            raise storage_error(error, self._directory) from error

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
