"""The open pack of a Series within one association."""

import time
from dataclasses import replace

from gateway.dicom import identity
from gateway.dicom.header import Header
from gateway.errors import LedgerError, ReceiveError, StorageError
from gateway.ledger.transitions import reception as record
from gateway.model import AssociationOutcome
from gateway.packs import index as pack_index
from gateway.packs import tar
from gateway.packs.known import KnownInstances, Place
from gateway.packs.writer import MemberStream, PackWriter
from gateway.scp.context import Context
from gateway.scp.incoming import Instance

PACK_MEMBERS_MAX = 65_536
"""A pack is also sealed at this many members, which bounds what is known by heart about it."""
PROGRESS_INTERVAL_S = 0.5


class SeriesPack:
    """The open pack of one Series in one association, and what the Series holds already."""

    def __init__(self, context: Context, study_uid: str, series_uid: str) -> None:
        self._context = context
        self._directory = context.settings.packs_dir / study_uid / series_uid
        self.known = KnownInstances(self._directory)
        self._writer: PackWriter | None = None
        self._row_id = 0
        self._records: list[pack_index.Index] = []
        self._durable_count = 0  # of the records
        self._sealed: list[tuple[int, int, int]] = []  # (row, members, bytes) not yet recorded
        self._unfinished: list[PackWriter] = []  # of large instances that are still arriving
        self._sequence = 0
        self._reported = (0, 0.0)  # members, monotonic time

    def begin_large(self, instance: Instance) -> MemberStream:
        """Start a pack of its own for an instance that is too large to hold.

        Other instances of the Series may arrive, on other contexts, before this one is whole.
        """
        writer = self._create()
        self._unfinished.append(writer)
        return writer.begin(instance.member_name)

    def stage(self, instance: Instance, found: Header) -> None:
        """Put an instance into the pack; it is durable when `flush` returns. found: its header."""
        if instance.stream is not None:
            self._keep_large(instance, found, instance.stream)
            return
        writer = self._current(instance)
        meta = instance.file_meta().encode()
        digest = tar.content_digest(meta, instance.head)
        offset = writer.stage(instance.member_name, [meta, instance.head], digest=digest)
        size = len(meta) + len(instance.head)
        self._note(instance, found, writer, offset=offset, size=size, digest=digest)

    def flush(self) -> None:
        """Make what was staged durable, all with one write.

        Raises StorageError; then what was staged is as if it had never come.
        """
        if self._writer is None:
            return
        try:
            self._writer.flush()
        except StorageError:
            for row in self._records[self._durable_count :]:
                self.known.forget(str(row["sop_instance_uid"].item().decode()))
            del self._records[self._durable_count :]
            raise
        self._durable_count = len(self._records)

    def _keep_large(self, instance: Instance, found: Header, stream: MemberStream) -> None:
        offset, digest = stream.commit()
        writer = stream.pack
        row_id = self._enter(instance, writer)
        self._unfinished.remove(writer)
        self.flush()
        self._seal()  # records are noted for one pack at a time
        self._writer, self._row_id = writer, row_id
        self._note(instance, found, writer, offset=offset, size=stream.size_bytes, digest=digest)
        self._seal()

    def _note(
        self,
        instance: Instance,
        found: Header,
        writer: PackWriter,
        *,
        offset: int,
        size: int,
        digest: bytes,
    ) -> None:
        meta = instance.file_meta()
        meta = replace(meta, data_set_offset=len(meta.encode()))
        row = pack_index.describe(
            found, instance.head, meta, offset=offset, size=size, digest=digest
        )
        self._records.append(row)
        self.known.add(instance.request.sop_instance_uid, Place(writer.path, offset, size))

    def _current(self, instance: Instance) -> PackWriter:
        """Return the open pack; opens one, and its ledger rows, at the first new instance."""
        full = self._writer is not None and (
            self._writer.size_bytes >= self._context.settings.pack_bytes_max
            or len(self._records) >= PACK_MEMBERS_MAX
        )
        if full:
            self.flush()
            self.close(AssociationOutcome.OPEN)
        if self._writer is None:
            writer = self._create()
            try:
                self._row_id = self._enter(instance, writer)
            except (LedgerError, ReceiveError):
                writer.discard()
                raise
            self._writer = writer
        return self._writer

    def report_progress(self) -> None:
        """Write the counts to the ledger if they changed and the last time is a while ago."""
        writer, count = self._writer, self._durable_count
        reported_count, reported_at = self._reported
        moment = time.monotonic()
        if writer is None or count == reported_count or moment - reported_at < PROGRESS_INTERVAL_S:
            return
        self._reported = (count, moment)
        with self._context.ledger.transaction() as session:
            record.record_progress(
                session, self._row_id, instance_count=count, size_bytes=writer.size_bytes,
                now=self._context.now(),
            )  # fmt: skip

    def close(self, outcome: AssociationOutcome) -> None:
        """Seal the pack, then say so in the ledger.

        Raises StorageError or LedgerError; what was not done is done by the next call.
        """
        self._seal()
        if outcome is not AssociationOutcome.OPEN:
            while self._unfinished:
                self._unfinished.pop().discard()
        while self._sealed:
            row_id, count, size_bytes = self._sealed[0]
            with self._context.ledger.transaction() as session:
                record.seal_pack(
                    session, row_id, outcome=outcome, instance_count=count,
                    size_bytes=size_bytes, now=self._context.now(),
                )  # fmt: skip
            del self._sealed[0]

    def _seal(self) -> None:
        if self._writer is not None:
            self._writer.seal(pack_index.from_records(self._records))
            self._sealed.append((self._row_id, len(self._records), self._writer.size_bytes))
            self._writer, self._records, self._durable_count = None, [], 0

    def _create(self) -> PackWriter:
        stamp = self._context.now().strftime("%Y%m%dT%H%M%S")
        self._sequence += 1
        name = f"{stamp}-{self._context.peer.association_id[:12]}-{self._sequence:04d}.tar"
        return PackWriter(self._directory / name)

    def _enter(self, instance: Instance, writer: PackWriter) -> int:
        """Record the pack, and its study and series if they are new; returns the pack's row."""
        context = self._context
        study, series = identity.read(bytes(instance.head), instance.transfer_syntax_uid)
        with context.ledger.transaction() as session:
            return record.open_pack(
                session, study, series,
                storage_key=str(writer.path.relative_to(context.settings.home)),
                association_id=context.peer.association_id,
                calling_ae_title=context.peer.calling_ae_title,
                now=context.now(),
            )  # fmt: skip
