"""What lies at a path: files by name, read one at a time. Folders and ZIPs look the same.

Nothing is ever unpacked by the name an archive gives it, no link is followed, and every count
and size has a bound.
"""

import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from gateway.dicom import times
from gateway.errors import FileRefused, NothingToImport, UnsafeInput
from gateway.importing import kinds
from gateway.importing.archive import check_archive, check_length
from gateway.importing.kinds import Kind

FILES_MAX = 2_000_000
"""The longest recording known has 400,000 frames."""
DEPTH_MAX = 16
PICTURE_BYTES_MAX = 256 << 20
PIECE_BYTES = 1 << 20
_CLUTTER = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


@dataclass(frozen=True, slots=True)
class Item:
    """A file. name: its path from the root, with '/'. modified_us: wall-clock, as times have it."""

    name: str
    size_bytes: int
    modified_us: int


class Source(Protocol):
    """root: where it lies; refused: name and reason of what is not among the items."""

    root: Path
    items: list[Item]
    refused: list[tuple[str, str]]

    def read(self, item: Item, size_max: int = PICTURE_BYTES_MAX) -> bytes:
        """Return the whole content. Raises FileRefused, also if it is longer than size_max."""

    def pieces(self, item: Item) -> Iterator[bytes]:
        """Yield the content piece by piece. Raises FileRefused."""

    def head(self, item: Item) -> bytes:
        """Return the first bytes, enough for kinds.of. Raises FileRefused."""

    def path_of(self, item: Item) -> Path | None:
        """Return where it lies as a file of its own, if it does."""

    def close(self) -> None: ...


def open_source(path: Path) -> Source:
    """Look at a folder, a ZIP or a single file.

    Raises NothingToImport if there is none, UnsafeInput if it could do harm.
    """
    try:
        found = path.stat(follow_symlinks=False)
    except OSError as error:
        raise NothingToImport(f"{path.name} cannot be read: {error.strerror}.") from error
    if stat.S_ISLNK(found.st_mode):
        raise UnsafeInput(f"{path.name} is a link: name what it points to.")
    if stat.S_ISDIR(found.st_mode):
        return Folder(path)
    if not stat.S_ISREG(found.st_mode):
        raise UnsafeInput(f"{path.name} is neither a file nor a folder.")
    single = SingleFile(path)
    if kinds.of(single.head(single.items[0])) is Kind.ZIP:
        return Archive(path)
    return single


@dataclass
class Folder:
    root: Path
    items: list[Item] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._walk(self.root, "", 0)

    def _walk(self, folder: Path, prefix: str, depth: int) -> None:
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self.refused.append((prefix or ".", f"cannot be read: {error.strerror}"))
            return
        for entry in found:
            name = prefix + entry.name
            if entry.name.startswith(".") or entry.name.casefold() in _CLUTTER:
                continue
            if entry.is_symlink():
                self.refused.append((name, "is a link"))
            elif entry.is_dir(follow_symlinks=False):
                if depth >= DEPTH_MAX:
                    raise UnsafeInput(f"Folders are nested more than {DEPTH_MAX} deep.")
                self._walk(Path(entry.path), name + "/", depth + 1)
            elif entry.is_file(follow_symlinks=False):
                self._add(name, entry)
            else:
                self.refused.append((name, "is neither a file nor a folder"))

    def _add(self, name: str, entry: os.DirEntry[str]) -> None:
        if not name.isprintable():
            self.refused.append((ascii(name), "has a name that cannot be written"))
            return
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError as error:
            self.refused.append((name, f"cannot be read: {error.strerror}"))
            return
        self.items.append(Item(name, found.st_size, _local_us(found.st_mtime)))
        if len(self.items) > FILES_MAX:
            raise UnsafeInput(f"There are more than {FILES_MAX:,} files in the folder.")

    def read(self, item: Item, size_max: int = PICTURE_BYTES_MAX) -> bytes:
        check_length(item.size_bytes, size_max)
        data = read_plain(self.root / item.name, size_max + 1)
        check_length(len(data), size_max)
        return data

    def pieces(self, item: Item) -> Iterator[bytes]:
        descriptor = open_plain(self.root / item.name)
        try:
            while piece := os.read(descriptor, PIECE_BYTES):
                yield piece
        except OSError as error:
            raise FileRefused(f"It cannot be read: {error.strerror}.") from error
        finally:
            os.close(descriptor)

    def head(self, item: Item) -> bytes:
        return read_plain(self.root / item.name, kinds.HEAD_BYTES)

    def path_of(self, item: Item) -> Path | None:
        return self.root / item.name

    def close(self) -> None:
        pass


class SingleFile(Folder):
    """One file, as if it lay alone in its folder."""

    def __post_init__(self) -> None:
        found = self.root.stat()
        self.items.append(Item(self.root.name, found.st_size, _local_us(found.st_mtime)))
        self.root = self.root.parent


@dataclass
class Archive:
    root: Path
    items: list[Item] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._members: dict[str, zipfile.ZipInfo] = {}
        self._zip, infos = check_archive(self.root, FILES_MAX)
        for info in infos:
            parts = info.filename.split("/")
            if any(part.startswith(".") or part.casefold() in _CLUTTER for part in parts):
                continue
            self._members[info.filename] = info
            self.items.append(Item(info.filename, info.file_size, _zip_us(info)))

    def read(self, item: Item, size_max: int = PICTURE_BYTES_MAX) -> bytes:
        check_length(item.size_bytes, size_max)
        return b"".join(self.pieces(item))

    def head(self, item: Item) -> bytes:
        return next(self.pieces(item, kinds.HEAD_BYTES), b"")

    def pieces(self, item: Item, piece_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
        """Yield the content piece by piece, never more of it than the archive says it has."""
        try:
            with self._zip.open(self._members[item.name]) as file:
                while piece := file.read(piece_bytes):
                    yield piece
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
            raise FileRefused("It is damaged in the archive, or cut off.") from error
        except (NotImplementedError, RuntimeError) as error:
            raise FileRefused(f"It cannot be unpacked: {error}.") from error

    def path_of(self, item: Item) -> Path | None:
        return None

    def close(self) -> None:
        self._zip.close()


def open_plain(path: Path) -> int:
    """Open a regular file for reading without following a link. Raises FileRefused."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise FileRefused(f"It cannot be read: {error.strerror}.") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileRefused("It is not a regular file.")
    return descriptor


def read_plain(path: Path, size: int) -> bytes:
    """Return the first `size` bytes of a regular file that is no link. Raises FileRefused."""
    descriptor = open_plain(path)
    try:
        size = min(size, os.fstat(descriptor).st_size)
        data = os.read(descriptor, size)
        while len(data) < size and (more := os.read(descriptor, size - len(data))):
            data += more
        return data
    except OSError as error:
        raise FileRefused(f"It cannot be read: {error.strerror}.") from error
    finally:
        os.close(descriptor)


def _local_us(seconds: float) -> int:
    # Wall-clock time of this machine.
    return times.from_datetime(datetime.fromtimestamp(seconds))  # noqa: DTZ006


def _zip_us(info: zipfile.ZipInfo) -> int:
    try:
        return times.from_datetime(datetime(*info.date_time))  # noqa: DTZ001 - ZIP knows no zone
    except ValueError:
        return times.UNKNOWN
