"""Received instances of a corrected study: the same pixels, under the identity that holds now.

What was received stays as it was received, in its pack. But delivered as it came, an original
would bring the wrong patient along; so it is written anew, with UIDs of its own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from pydicom import Dataset
from pydicom.config import disable_value_validation

from gateway.dicom import correction, text, uids
from gateway.dicom.part10 import FileMeta
from gateway.ledger.transitions.studies import DerivedInstance
from gateway.settings import Settings
from workers import derived_files, stored_header
from workers.dicom_objects import SourceStudy


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
    with disable_value_validation():
        stored = stored_header.read(pack, original.offset_bytes, original.size_bytes)
        ds, syntax = stored.data_set, stored.transfer_syntax_uid
        text.decode_all(ds)
        correction.apply(ds, study.attributes)
        _rename(ds, renamed, study.study_instance_uid)
        encoded = stored_header.encode(ds, syntax)
    more: Iterator[bytes] = iter(())
    if not stored.whole:
        more = stored_header.pieces_after(pack, original.offset_bytes, original.size_bytes)
    sop_instance_uid = renamed[original.sop_instance_uid]
    new_meta = FileMeta(
        original.sop_class_uid, sop_instance_uid, syntax, stored.meta.source_ae_title
    )
    key = derived_files.storage_key(study.study_instance_uid, f"{sop_instance_uid}.dcm")
    written = derived_files.write(
        derived_files.path_of(settings, key),
        _beating((new_meta.encode(), encoded, stored.held[stored.pixels_at :]), more, heartbeat),
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


def _rename(ds: Dataset, renamed: Mapping[str, str], study_instance_uid: str) -> None:
    received = str(ds.get("StudyInstanceUID", ""))
    names = {**renamed, received: study_instance_uid}

    def rename(_: Dataset, element: object) -> None:
        if getattr(element, "VR", "") == "UI" and str(getattr(element, "value", "")) in names:
            element.value = names[str(element.value)]  # type: ignore[attr-defined]

    ds.walk(rename)
