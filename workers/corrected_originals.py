"""Received instances of a corrected study: the same pixels, under the identity that holds now.

What was received stays as it was received, in its pack. But delivered as it came, an original
would bring the wrong patient along; so it is written anew, with UIDs of its own.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from io import BytesIO

from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from gateway.dicom import correction, identity, part10, text, uids
from gateway.dicom.header import DEFLATED, EXPLICIT_BIG, IMPLICIT_LITTLE
from gateway.dicom.part10 import FileMeta
from gateway.dicom.storage_classes import EXPLICIT_LITTLE
from gateway.errors import LimitExceeded, Undecodable
from gateway.ledger.transitions.studies import DerivedInstance
from gateway.packs import reading
from gateway.settings import Settings
from workers import derived_files
from workers.dicom_objects import SourceStudy

INFLATED_MAX = 256 << 20
_PIXEL_DATA = 0x7FE00010


def remade(
    settings: Settings,
    study: SourceStudy,
    originals: Sequence[DerivedInstance],
    heartbeat: Callable[[], None],
) -> list[DerivedInstance]:
    """Return the originals to deliver: as they came, or written anew if the study was corrected.

    heartbeat: called with every piece written. Raises StorageError; LimitExceeded for one whose
    header is too long, Undecodable for one that cannot be read.
    """
    if not correction.is_corrected(study.attributes):
        return list(originals)
    stamp = str(study.attributes)
    renamed = {study.study_instance_uid: study.study_instance_uid}
    for one in originals:
        for uid in (one.sop_instance_uid, one.series_instance_uid):
            renamed[uid] = uids.derived(
                study.tenant, "corrected", study.study_instance_uid, uid, stamp
            )
    return [_remade(settings, study, one, renamed, heartbeat) for one in originals]


def _remade(
    settings: Settings,
    study: SourceStudy,
    original: DerivedInstance,
    renamed: Mapping[str, str],
    heartbeat: Callable[[], None],
) -> DerivedInstance:
    pack = settings.home / original.storage_key
    size = min(original.size_bytes, reading.HELD_BYTES_MAX)
    head = reading.read_range(pack, original.offset_bytes, size)
    meta = part10.parse_file_meta(head)
    if meta.transfer_syntax_uid == DEFLATED:
        whole = reading.read_range(pack, original.offset_bytes, original.size_bytes)
        held, syntax = _inflated(whole[meta.data_set_offset :]), EXPLICIT_LITTLE
        more: Iterator[bytes] = iter(())
    else:
        held, syntax = head[meta.data_set_offset :], meta.transfer_syntax_uid
        start = original.offset_bytes + size
        more = reading.pieces(pack, start, original.size_bytes - size)
    with disable_value_validation():
        ds, pixels_at = _read(held, syntax, whole=original.size_bytes == size)
        text.decode_all(ds)
        correction.apply(ds, study.attributes)
        _rename(ds, renamed, study.study_instance_uid)
        encoded = _encode(ds, syntax)
    sop_instance_uid = renamed[original.sop_instance_uid]
    new_meta = FileMeta(original.sop_class_uid, sop_instance_uid, syntax, meta.source_ae_title)
    key = derived_files.storage_key(study.study_instance_uid, f"{sop_instance_uid}.dcm")
    written = derived_files.write(
        derived_files.path_of(settings, key),
        _beating((new_meta.encode(), encoded, held[pixels_at:]), more, heartbeat),
    )
    return replace(
        original, storage_key=key, offset_bytes=0, size_bytes=written.size_bytes,
        digest=written.digest, transfer_syntax_uid=syntax, sop_instance_uid=sop_instance_uid,
        series_instance_uid=renamed[original.series_instance_uid],
    )  # fmt: skip


def _beating(
    held: Sequence[bytes], more: Iterator[bytes], heartbeat: Callable[[], None]
) -> Iterator[bytes]:
    for piece in held:
        heartbeat()
        yield piece
    for piece in more:
        heartbeat()
        yield piece


def _inflated(data: bytes) -> bytes:
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = unpacker.decompress(data, INFLATED_MAX)
    if unpacker.unconsumed_tail:
        raise LimitExceeded("A deflated instance is too large to be given another identity.")
    return inflated


def _read(held: bytes, syntax: str, *, whole: bool) -> tuple[Dataset, int]:
    """Return (what comes before the pixel data, where that begins). whole: nothing follows."""
    stream = BytesIO(held)
    try:
        ds = read_dataset(
            stream,
            is_implicit_VR=syntax == IMPLICIT_LITTLE,
            is_little_endian=syntax != EXPLICIT_BIG,
            stop_when=lambda tag, _vr, _length: tag >= _PIXEL_DATA,
        )
    except identity.UNREADABLE as error:
        raise Undecodable(f"An original cannot be given another identity: {error}.") from error
    if stream.tell() >= len(held) and not whole:
        raise LimitExceeded("The header of an original is too long for another identity.")
    return ds, stream.tell()


def _rename(ds: Dataset, renamed: Mapping[str, str], study_instance_uid: str) -> None:
    received = str(ds.get("StudyInstanceUID", ""))
    names = {**renamed, received: study_instance_uid}

    def rename(_: Dataset, element: object) -> None:
        if getattr(element, "VR", "") == "UI" and str(getattr(element, "value", "")) in names:
            element.value = names[str(element.value)]  # type: ignore[attr-defined]

    ds.walk(rename)


def _encode(ds: Dataset, syntax: str) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian = syntax != EXPLICIT_BIG
    buffer.is_implicit_VR = syntax == IMPLICIT_LITTLE
    write_dataset(buffer, ds)
    encoded: bytes = buffer.getvalue()
    return encoded
