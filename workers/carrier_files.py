"""Instances that refer to frames in another carrier: the same, with other references."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pydicom import Dataset

from gateway.dicom import uids
from gateway.dicom.part10 import FileMeta
from gateway.settings import Settings
from workers import derived_files, stored_header
from workers.derived_files import WrittenFile
from workers.dicom_objects import RULESET, Reference

ROLE = "other-carrier"


def refer_anew(
    settings: Settings,
    path: Path,
    instead: Mapping[str, Reference],
    heartbeat: Callable[[], None],
) -> tuple[Reference, str, WrittenFile] | None:
    """Write an instance of ours once more, its references led to what stands `instead`.

    instead: by SOP Instance UID. Returns its new reference, the storage key and the file; None
    if it refers to none of them. Made again, the same file. Raises StorageError.
    """
    size = path.stat().st_size
    stored = stored_header.read(path, 0, size)
    ds, syntax = stored.data_set, stored.transfer_syntax_uid
    if not _lead(ds, instead):
        return None
    before = str(ds.SOPInstanceUID)
    del ds.SOPInstanceUID
    digest = hashlib.sha256(stored_header.encode(ds, syntax)).hexdigest()
    uid = uids.derived(settings.tenant, ROLE, before, digest, RULESET)
    ds.SOPInstanceUID = uid

    def pieces() -> Iterator[bytes]:
        yield FileMeta(str(ds.SOPClassUID), uid, syntax).encode()
        yield stored_header.encode(ds, syntax)
        yield stored.held[stored.pixels_at :]
        for piece in stored_header.pieces_after(path, 0, size):
            heartbeat()
            yield piece

    key = derived_files.storage_key(str(ds.StudyInstanceUID), f"{uid}.dcm")
    written = derived_files.write(derived_files.path_of(settings, key), pieces())
    return Reference(str(ds.SeriesInstanceUID), str(ds.SOPClassUID), uid), key, written


def _lead(ds: Dataset, instead: Mapping[str, Reference]) -> set[str]:
    """Replace references in place, at every depth; returns the Series UIDs they lead to now."""
    led: set[str] = set()
    for element in ds:
        if element.VR == "SQ":
            for item in element.value or ():
                led |= _lead(item, instead)
    there = instead.get(str(ds.get("ReferencedSOPInstanceUID", "")))
    if there is not None:
        ds.ReferencedSOPInstanceUID = there.sop_instance_uid
        if "ReferencedSOPClassUID" in ds:
            ds.ReferencedSOPClassUID = there.sop_class_uid
        led.add(there.series_instance_uid)
    elif "SeriesInstanceUID" in ds and "ReferencedSOPSequence" in ds and len(led) == 1:
        ds.SeriesInstanceUID = next(iter(led))  # PS3.3 10.2.1: a series changes as a whole
    return led
