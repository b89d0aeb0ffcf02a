"""An instance on its way in, and the pack of the Series it belongs to."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.dicom import header, identity, part10
from gateway.dicom.header import Header
from gateway.dicom.part10 import FileMeta
from gateway.errors import InstanceTooLarge, LedgerError, ReceiveError, StorageError
from gateway.ledger.transitions import reception as record
from gateway.model import AssociationOutcome
from gateway.packs import index as pack_index
from gateway.packs import tar
from gateway.packs.known import KnownInstances, Place
from gateway.packs.reading import HELD_BYTES_MAX, read_range
from gateway.packs.writer import MemberStream, PackWriter
from gateway.scp.checks import checked_identity

if TYPE_CHECKING:
    from gateway.scp.reception import Reception
    from gateway.scp.wire.command import StoreRequest

PACK_MEMBERS_MAX = 65_536
"""A pack is also sealed at this many members, which bounds what is known by heart about it."""
PROGRESS_INTERVAL_S = 0.5
FILE_META_BYTES_MAX = 64 << 10


class Comparison:
    """Takes in a large instance that is known already, and only compares it."""

    def __init__(self, known: Place) -> None:
        head = read_range(known.pack, known.offset, min(known.size, FILE_META_BYTES_MAX))
        skipped = part10.parse_file_meta(head).data_set_offset
        self._known = known
        self._position, self._end = known.offset + skipped, known.offset + known.size
        self._differs = False

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        size = len(piece)
        if self._differs or self._position + size > self._end:
            self._differs = True
            return
        self._differs = read_range(self._known.pack, self._position, size) != piece
        self._position += size

    @property
    def equal(self) -> bool:
        return not self._differs and self._position == self._end


class Instance:
    """Collects the data set in memory up to HELD_BYTES_MAX, then passes it on piece by piece.

    `write` never raises: a failure is kept and decides the answer.
    """

    def __init__(
        self, reception: Reception, request: StoreRequest, transfer_syntax_uid: str
    ) -> None:
        self.request, self.transfer_syntax_uid = request, transfer_syntax_uid
        self._reception = reception
        self._held = bytearray()
        self._sink: MemberStream | Comparison | None = None
        self._failure: ReceiveError | StorageError | LedgerError | None = None
        self.size_bytes = 0  # of the data set

    def write(self, fragment: memoryview) -> None:
        self.size_bytes += len(fragment)
        if self._failure is not None:
            return
        if self.size_bytes > self._reception.settings.instance_bytes_max:
            self._failure = InstanceTooLarge("The instance is larger than this gateway accepts.")
        elif self._sink is None and len(self._held) + len(fragment) <= HELD_BYTES_MAX:
            self._held += fragment
        else:
            self._pass_on(fragment)

    def _pass_on(self, fragment: memoryview) -> None:
        try:
            if self._sink is None:
                self._sink = self._begin_large()
            self._sink.write(fragment)
        except (ReceiveError, StorageError, LedgerError) as error:
            self._failure = error

    def _begin_large(self) -> MemberStream | Comparison:
        """Pass on what was held so far; it stays in memory to describe the instance by."""
        found = header.read(self.head, self.transfer_syntax_uid)
        pack = self._reception.series_pack(*checked_identity(found, self.request))
        known = pack.known.place(self.request.sop_instance_uid)
        sink: MemberStream | Comparison
        if known is not None:
            sink = Comparison(known)
        else:
            sink = pack.writer(self).begin(f"{self.request.sop_instance_uid}.dcm")
            sink.write(self.file_meta().encode())
        sink.write(self._held)
        return sink

    def finish(self) -> tuple[int, str]:
        return self._reception.keep(self)

    @property
    def head(self) -> memoryview:
        """The beginning of the data set, or all of it if it was held."""
        return memoryview(self._held)

    def raise_if_failed(self) -> None:
        if self._failure is not None:
            raise self._failure

    def file_meta(self) -> FileMeta:
        """Return the file meta information for this instance."""
        return FileMeta(
            sop_class_uid=self.request.sop_class_uid,
            sop_instance_uid=self.request.sop_instance_uid,
            transfer_syntax_uid=self.transfer_syntax_uid,
            source_ae_title=self._reception.peer.calling_ae_title,
        )

    def kept_parts(self) -> list[bytes | memoryview]:
        """Return what to lay aside when the instance is refused: its beginning, if it is large."""
        try:
            return [self.file_meta().encode(), self.head]
        except UnicodeEncodeError:  # a UID that is not even ASCII
            return [self.head]

    def append_to(self, pack: PackWriter, found: Header) -> pack_index.Index:
        """Write the instance durably; returns its record, shape (). found: its header."""
        meta = self.file_meta()
        encoded = meta.encode()
        if isinstance(self._sink, MemberStream):
            offset, digest = self._sink.commit()
            size = self._sink.size_bytes
        else:
            size, digest = len(encoded) + len(self._held), tar.content_digest(encoded, self._held)
            name = f"{self.request.sop_instance_uid}.dcm"
            offset = pack.append(name, [encoded, self._held], digest=digest)
        meta = replace(meta, data_set_offset=len(encoded))
        return pack_index.describe(found, self.head, meta, offset=offset, size=size, digest=digest)

    def equals(self, known: Place) -> bool:
        """Tell whether a kept instance has the same data set, byte for byte."""
        if not isinstance(self._sink, Comparison):
            comparison = Comparison(known)
            comparison.write(self._held)
            return comparison.equal
        return self._sink.equal


class SeriesPack:
    """The open pack of one Series in one association, and what the Series holds already."""

    def __init__(self, reception: Reception, study_uid: str, series_uid: str) -> None:
        self._reception = reception
        self._directory = reception.settings.packs_dir / study_uid / series_uid
        self.known = KnownInstances(self._directory)
        self._writer: PackWriter | None = None
        self._row_id = 0
        self._records: list[pack_index.Index] = []
        self._sealed: list[tuple[int, int, int]] = []  # (row, members, bytes) not yet recorded
        self._sequence = 0
        self._reported = (0, 0.0)  # members, monotonic time

    def writer(self, instance: Instance) -> PackWriter:
        """Return the open pack; opens one, and its ledger rows, at the first new instance."""
        full = self._writer is not None and (
            self._writer.size_bytes >= self._reception.settings.pack_bytes_max
            or len(self._records) >= PACK_MEMBERS_MAX
        )
        if full:
            self.close(AssociationOutcome.OPEN)
        if self._writer is None:
            self._writer = self._open(instance)
        return self._writer

    def keep(self, instance: Instance, found: Header) -> None:
        """Append an instance durably and note its record. found: its header."""
        writer = self.writer(instance)
        row = instance.append_to(writer, found)
        self._records.append(row)
        place = Place(writer.path, int(row["offset"]), int(row["size"]))
        self.known.add(instance.request.sop_instance_uid, place)

    def report_progress(self) -> None:
        """Write the counts to the ledger if they changed and the last time is a while ago."""
        writer, count = self._writer, len(self._records)
        reported_count, reported_at = self._reported
        moment = time.monotonic()
        if writer is None or count == reported_count or moment - reported_at < PROGRESS_INTERVAL_S:
            return
        self._reported = (count, moment)
        with self._reception.ledger.transaction() as session:
            record.record_progress(
                session, self._row_id, instance_count=count, size_bytes=writer.size_bytes,
                now=self._reception.now(),
            )  # fmt: skip

    def close(self, outcome: AssociationOutcome) -> None:
        """Seal the pack, then say so in the ledger.

        Raises StorageError or LedgerError; what was not done is done by the next call.
        """
        if self._writer is not None:
            self._writer.seal(pack_index.from_records(self._records))
            self._sealed.append((self._row_id, len(self._records), self._writer.size_bytes))
            self._writer, self._records = None, []
        while self._sealed:
            row_id, count, size_bytes = self._sealed[0]
            with self._reception.ledger.transaction() as session:
                record.seal_pack(
                    session, row_id, outcome=outcome, instance_count=count,
                    size_bytes=size_bytes, now=self._reception.now(),
                )  # fmt: skip
            del self._sealed[0]

    def _open(self, instance: Instance) -> PackWriter:
        reception = self._reception
        study, series = identity.read(bytes(instance.head), instance.transfer_syntax_uid)
        stamp = reception.now().strftime("%Y%m%dT%H%M%S")
        self._sequence += 1
        name = f"{stamp}-{reception.peer.association_id[:12]}-{self._sequence:04d}.tar"
        path = self._directory / name
        writer = PackWriter(path)
        try:
            with reception.ledger.transaction() as session:
                self._row_id = record.open_pack(
                    session, study, series,
                    storage_key=str(path.relative_to(reception.settings.home)),
                    association_id=reception.peer.association_id,
                    calling_ae_title=reception.peer.calling_ae_title,
                    now=reception.now(),
                )  # fmt: skip
        except LedgerError:
            writer.discard()
            raise
        return writer
