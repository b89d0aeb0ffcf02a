"""DICOM files: kept byte for byte, with the identity they carry."""

import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import PurePosixPath

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from gateway.dicom import header, part10, uids
from gateway.dicom.part10 import FileMeta
from gateway.dicom.storage_classes import STORAGE_CLASSES, TRANSFER_SYNTAXES
from gateway.errors import FileRefused, Undecodable
from gateway.importing.frames import Prepared
from gateway.importing.keeping import Offer
from gateway.importing.plan import Plan
from gateway.importing.source import Item, Source

DIRECTORY_BYTES_MAX = 256 << 20
HELD_BYTES_MAX = 8 << 20
"""A larger file is read piece by piece while it is kept."""

IsKnown = Callable[[str, str, str], bool]
"""Study, Series, SOP Instance UID."""


def prepare(source: Source, item: Item, is_known: IsKnown) -> tuple[Prepared, str]:
    """Read what an instance says about itself; returns it, and its Study Instance UID.

    Never raises for what is wrong with the file.
    """
    try:
        pieces = source.pieces(item)
        first = next(pieces, b"")
        meta = part10.parse_file_meta(first)
        _check(meta)
        beginning = memoryview(first)[meta.data_set_offset :]
        rest = list(pieces) if item.size_bytes <= HELD_BYTES_MAX else pieces
    except (FileRefused, Undecodable) as error:
        return Prepared(item.name, "", refused=str(error)), ""
    offer = Offer(
        meta.sop_class_uid, meta.sop_instance_uid, meta.transfer_syntax_uid,
        _data_set(beginning, rest),
    )  # fmt: skip
    study_uid, series_uid = _belongs_to(beginning, meta.transfer_syntax_uid)
    known = bool(study_uid) and is_known(study_uid, series_uid, meta.sop_instance_uid)
    prepared = Prepared(item.name, meta.sop_instance_uid, offer, item.size_bytes, known)
    return prepared, study_uid


def missing(source: Source, plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield (name, reason) of the files a DICOMDIR names that are not there (PS3.10 8)."""
    present = {item.name.casefold() for item in plan.dicom}
    present |= {name.removesuffix(".dcm") for name in present}
    for directory in plan.directories:
        folder = str(PurePosixPath(directory.name).parent)
        prefix = "" if folder == "." else f"{folder}/"
        try:
            named = _named_in(source.read(directory, DIRECTORY_BYTES_MAX))
        except FileRefused as error:
            yield directory.name, str(error)
            continue
        for name in named:
            if (prefix + name).casefold() not in present:
                yield prefix + name, "The DICOMDIR names it, but it is not there."


def _named_in(data: bytes) -> list[str]:
    try:
        directory = dcmread(BytesIO(data))
        directory.decode()
        records = directory.get("DirectoryRecordSequence") or []
        parts = [record.get("ReferencedFileID") for record in records]
    except (
        InvalidDicomError, ValueError, TypeError, LookupError, AttributeError, EOFError, OSError,
        NotImplementedError, zlib.error,
    ) as error:  # fmt: skip
        raise FileRefused("The DICOMDIR cannot be read.") from error
    return ["/".join([one] if isinstance(one, str) else map(str, one)) for one in parts if one]


def _data_set(
    beginning: memoryview, rest: Iterator[bytes] | list[bytes]
) -> Iterator[bytes | memoryview]:
    yield beginning
    yield from rest


def _check(meta: FileMeta) -> None:
    if meta.sop_class_uid not in STORAGE_CLASSES:
        raise FileRefused(f"Its SOP class is not taken here: {_named(meta.sop_class_uid)}.")
    if meta.transfer_syntax_uid not in TRANSFER_SYNTAXES:
        raise FileRefused(f"Its transfer syntax is not known: {_named(meta.transfer_syntax_uid)}.")


def _named(uid: str) -> str:
    return uid if uids.is_valid(uid) else "what should name it is no UID"


def _belongs_to(beginning: memoryview, transfer_syntax_uid: str) -> tuple[str, str]:
    """Return Study and Series Instance UID; empty if they cannot be told, or are none."""
    try:
        found = header.read(beginning, transfer_syntax_uid)
    except Undecodable:
        return "", ""
    study_uid = found.text(header.STUDY_INSTANCE_UID)
    series_uid = found.text(header.SERIES_INSTANCE_UID)
    if not uids.is_valid(study_uid) or not uids.is_valid(series_uid):
        return "", ""
    return study_uid, series_uid
