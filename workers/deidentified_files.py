"""Makes the de-identified file of one instance: its header anew, its frames one at a time.

Memory does not grow with the instance: cleaned frames lie in a spool until the table of their
offsets can be written.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset
from pydicom.config import disable_value_validation

from gateway.deidentify import build
from gateway.deidentify.build import Changes
from gateway.deidentify.pixels import NATIVE, Cleaner
from gateway.deidentify.profile import Profile
from gateway.deidentify.pseudonyms import Domain
from gateway.dicom import encapsulation, text
from gateway.dicom.part10 import FileMeta
from gateway.dicom.storage_classes import DOCUMENT_CLASSES, EXPLICIT_BIG, IMPLICIT_LITTLE
from gateway.errors import CannotDeidentify, LimitExceeded, Undecodable
from gateway.ledger.schema import Derived
from gateway.ledger.transitions.studies import DerivedInstance
from gateway.model import DerivedRole
from gateway.packs import reading
from gateway.settings import Settings
from workers import derived_files, stored_header
from workers.frame_spool import FrameSpool
from workers.stored_header import StoredHeader

_UNDEFINED = 0xFFFFFFFF
_OFFSET_MAX = 0xFFFFFFFF
_DELIMITER = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


@dataclass(frozen=True)
class Commission:
    """How instances of one study are made. source: the calling AE title it came from.

    patient_id, issuer: of the study, for instances that do not say themselves. known: UIDs that
    stand for others already. heartbeat: called with every frame or piece.
    """

    profile: Profile
    domain: Domain
    source: str
    patient_id: str
    issuer: str
    known: frozenset[str]
    heartbeat: Callable[[], None]


@dataclass(frozen=True)
class MadeFile:
    instance: DerivedInstance
    subject: build.Subject
    study_instance_uid: str
    made_study_instance_uid: str
    changes: Changes
    blanked_count: int
    metadata_bytes: int


def make(settings: Settings, row: Derived, how: Commission) -> MadeFile:
    """Make the file of an instance; durable when this returns. The same again: the same bytes.

    Raises CannotDeidentify for what may not be sent, and StorageError.
    """
    if row.role is DerivedRole.ORIGINAL and row.sop_class_uid in DOCUMENT_CLASSES:
        raise CannotDeidentify(
            "A received document holds text nobody here can tell from a name: it is not sent."
        )
    path = settings.home / row.storage_key
    try:
        with disable_value_validation():
            stored = stored_header.read(path, row.offset_bytes, row.size_bytes)
            text.decode_all(stored.data_set)
            return _made(settings, row, stored, how)
    except (LimitExceeded, Undecodable) as error:
        raise CannotDeidentify(f"The instance cannot be taken apart: {error}") from error


def _made(settings: Settings, row: Derived, stored: StoredHeader, how: Commission) -> MadeFile:
    ds, syntax = stored.data_set, stored.transfer_syntax_uid
    subject = build.subject_of(ds, patient_id=how.patient_id, issuer=how.issuer, known=how.known)
    has_pixels = not (stored.whole and stored.pixels_at >= len(stored.held))
    if row.role is DerivedRole.ORIGINAL and not has_pixels:
        raise CannotDeidentify("A received instance without a picture: it is not sent.")
    cleaner = Cleaner(ds, syntax, how.profile.regions, how.source) if has_pixels else None
    cleaned = cleaner is not None and bool(cleaner.rectangles)
    made, changes = build.build(ds, how.profile, how.domain, subject, pixels_cleaned=cleaned)
    uid, study_uid = str(made.SOPInstanceUID), str(made.StudyInstanceUID)
    head = FileMeta(row.sop_class_uid, uid, syntax).encode() + stored_header.encode(made, syntax)
    key = derived_files.storage_key(study_uid, f"{uid}.dcm")
    target = derived_files.path_of(settings, key)
    with FrameSpool(target.parent) as spool:
        source = _Source(settings.home / row.storage_key, row, stored, how.heartbeat)
        pixels: Iterator[bytes] = iter(())
        if cleaner is not None and syntax in NATIVE:
            pixels = _native(source, cleaner)
        elif cleaner is not None:
            pixels = _encapsulated(source, cleaner, spool)
        written = derived_files.write(target, _beating(head, pixels, how.heartbeat))
    instance = DerivedInstance(
        role=row.role, number=row.number, series_instance_uid=str(made.SeriesInstanceUID),
        sop_class_uid=row.sop_class_uid, sop_instance_uid=uid, transfer_syntax_uid=syntax,
        storage_key=key, size_bytes=written.size_bytes, frame_count=row.frame_count,
        digest=written.digest,
    )  # fmt: skip
    return MadeFile(
        instance, subject, str(ds.StudyInstanceUID), study_uid, changes,
        cleaner.blanked_count if cleaner else 0, cleaner.metadata_bytes if cleaner else 0,
    )  # fmt: skip


def _beating(
    head: bytes, pixels: Iterator[bytes], heartbeat: Callable[[], None]
) -> Iterator[bytes]:
    yield head
    for piece in pixels:
        heartbeat()
        yield piece


class _Source:
    """The pixel data element of a stored instance, wherever its bytes are."""

    def __init__(
        self, path: Path, row: Derived, stored: StoredHeader, heartbeat: Callable[[], None]
    ) -> None:
        self._path, self._held, self._whole = path, stored.held, stored.whole
        self.heartbeat = heartbeat
        self.data_set: Dataset = stored.data_set
        self.syntax = stored.transfer_syntax_uid
        self._offset = stored.data_set_offset
        rest = row.offset_bytes + row.size_bytes - stored.data_set_offset
        self.end = len(stored.held) if stored.whole else rest
        """Of the data set, counted from its beginning, as all offsets here."""
        self.start = stored.pixels_at + (8 if self.syntax == IMPLICIT_LITTLE else 12)
        """Of the element's value."""
        order = ">L" if self.syntax == EXPLICIT_BIG else "<L"
        (self.length,) = struct.unpack(order, self.read(self.start - 4, 4).ljust(4, b"\0"))

    def read(self, offset: int, size: int) -> bytes:
        """Return the bytes there; fewer where the instance ends. Raises StorageError."""
        size = max(min(size, self.end - offset), 0)
        if offset + size <= len(self._held):
            return self._held[offset : offset + size]
        return reading.read_range(self._path, self._offset + offset, size)


def _native(source: _Source, cleaner: Cleaner) -> Iterator[bytes]:
    """Yield the pixel data element of uncompressed frames."""
    length = min(source.length, source.end - source.start)
    if source.length == _UNDEFINED:
        raise CannotDeidentify("Uncompressed pixel data has no length.")
    implicit, big = source.syntax == IMPLICIT_LITTLE, source.syntax == EXPLICIT_BIG
    order = ">" if big else "<"
    yield struct.pack(order + "HH", 0x7FE0, 0x0010)
    padded = length + length % 2
    yield (
        struct.pack("<L", padded)
        if implicit
        else source.read(source.start - 8, 2) + bytes(2) + struct.pack(order + "L", padded)
    )
    step = cleaner.geometry.frame_bytes if cleaner.rectangles else 1 << 20
    if not step or step > reading.HELD_BYTES_MAX * 16:
        raise CannotDeidentify("A frame is too large to be blanked.")
    for at in range(0, length, step):
        piece = bytearray(source.read(source.start + at, min(step, length - at)))
        if len(piece) == cleaner.geometry.frame_bytes:
            cleaner.native(piece)
        yield bytes(piece)
    yield bytes(length % 2)


def _encapsulated(source: _Source, cleaner: Cleaner, spool: FrameSpool) -> Iterator[bytes]:
    """Yield the pixel data element of compressed frames, one fragment each (PS3.5 A.4)."""
    try:
        found = encapsulation.fragments(source.read, source.start, source.end)
        groups = encapsulation.frames(
            found,
            declared=int(source.data_set.get("NumberOfFrames") or 1),
            extended_table=(),
            begins=lambda one: source.read(found.offsets[one], 12),
        )
    except ValueError as error:
        raise CannotDeidentify(f"The frames cannot be told apart: {error}.") from error
    offsets, position = [], 0
    for group in groups:
        source.heartbeat()
        stream = b"".join(source.read(found.offsets[one], found.sizes[one]) for one in group)
        frame = cleaner.compressed(stream)
        frame += b"\0" * (len(frame) % 2)
        spool.add(struct.pack("<HHL", 0xFFFE, 0xE000, len(frame)) + frame)
        offsets.append(position)
        position += 8 + len(frame)
    spool.flush()
    table = struct.pack(f"<{len(offsets)}L", *offsets) if position <= _OFFSET_MAX else b""
    yield struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, _UNDEFINED)
    yield struct.pack("<HHL", 0xFFFE, 0xE000, len(table)) + table
    yield from reading.pieces(spool.path, 0, position)
    yield _DELIMITER
