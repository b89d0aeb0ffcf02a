"""Is a ZIP fit to be read? Told from its directory alone, before anything is unpacked."""

import stat
import struct
import zipfile
from pathlib import Path

from gateway.errors import FileRefused, UnsafeInput

RATIO_MAX = 200
RATIO_FREE_BYTES = 256 << 20
"""Up to this size an archive may expand as it likes: black pictures compress a thousandfold."""
UNPACKED_BYTES_MAX = 1 << 40
NAME_LENGTH_MAX = 1024
_END = struct.Struct("<4s4H2LH")
_END_BYTES = _END.size + 0xFFFF


def check_archive(path: Path, files_max: int) -> tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]:
    """Open an archive and return the files in it. Raises UnsafeInput."""
    _check_count(path, files_max)
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
        raise UnsafeInput("The ZIP file is damaged, or cut off: it has no directory.") from error
    try:
        return archive, _checked(archive, path.stat().st_size)
    except UnsafeInput:
        archive.close()
        raise


def check_length(size_bytes: int, size_max: int) -> None:
    if size_bytes > size_max:
        raise FileRefused(f"It is longer than the {size_max:,} bytes such a file may have.")


def _checked(archive: zipfile.ZipFile, archive_bytes: int) -> list[zipfile.ZipInfo]:
    infos = archive.infolist()
    seen: set[str] = set()
    for info in infos:
        _check_member(info)
        if info.filename in seen:
            raise UnsafeInput("The archive holds two files of one name.")
        seen.add(info.filename)
    total = sum(info.file_size for info in infos)
    if total > UNPACKED_BYTES_MAX:
        raise UnsafeInput("The archive claims to hold more than a terabyte.")
    if total > RATIO_FREE_BYTES and total > RATIO_MAX * archive_bytes:
        raise UnsafeInput(
            f"The archive would expand to {total // max(1, archive_bytes)} times its size:"
            " no pictures do."
        )
    return [info for info in infos if not info.is_dir()]


def _check_member(info: zipfile.ZipInfo) -> None:
    name = info.orig_filename
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
        raise UnsafeInput("The archive names a file outside of itself.")
    plain = 0 < len(info.filename) <= len(name) <= NAME_LENGTH_MAX and info.filename.isprintable()
    if "\\" in name or not plain:
        raise UnsafeInput("The archive holds a file whose name is not a plain one.")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise UnsafeInput("The archive holds a link.")
    if info.flag_bits & 0x1:
        raise UnsafeInput("The archive is encrypted.")


def _check_count(path: Path, files_max: int) -> None:
    """Read how many files the end record claims (APPNOTE 4.3.16): the rest is read at once."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _END_BYTES))
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        return  # zipfile says so too
    count, directory_bytes = _END.unpack_from(tail, at)[4:6]
    wide = tail.rfind(b"PK\x06\x06", 0, at)
    if 0xFFFF in (count, directory_bytes) or directory_bytes == 0xFFFFFFFF:
        if wide < 0 or len(tail) - wide < 48:
            return
        count, directory_bytes = struct.unpack_from("<QQ", tail, wide + 32)
    if count > files_max or directory_bytes > files_max * 256:
        raise UnsafeInput(f"The archive holds more than {files_max:,} files.")
