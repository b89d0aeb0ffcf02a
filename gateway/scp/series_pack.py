"""The open pack of a Series within one association."""

import time

from gateway.dicom import identity
from gateway.dicom.header import Header
from gateway.errors import LedgerError, ReceiveError, StorageError
from gateway.ledger.queries import registry
from gateway.ledger.transitions import reception as record
from gateway.model import AssociationOutcome
from gateway.packs import index as pack_index
from gateway.packs import tar
from gateway.packs.index import Kept
from gateway.packs.known import KnownInstances, Place
from gateway.packs.writer import MemberStream, PackWriter
from gateway.scp import abandoned
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
        abandoned.seal_all_in(context.settings, self._directory)
        self.known = KnownInstances(self._directory)
        self._writer: PackWriter | None = None
        self._row_id = 0
        self._describer = pack_index.Describer()
        self._records = bytearray()  # of what is described
        self._undescribed: list[Kept] = []
        self._count = 0  # durable members of the open pack
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

    @property
    def is_arriving(self) -> bool:
        """Whether large instances are still on their way."""
        return bool(self._unfinished)

    def abandon_large(self, stream: MemberStream) -> None:
        """Remove what was written of a large instance, unless it is kept."""
        if stream.pack in self._unfinished:
            self._unfinished.remove(stream.pack)
            stream.pack.discard()

    def stage(self, instance: Instance, found: Header) -> None:
        """Put an instance into the pack; it is durable when `flush` returns. found: its header."""
        if instance.stream is not None:
            self._keep_large(instance, found, instance.stream)
            return
        writer = self._current(instance)
        meta = instance.file_meta()
        encoded_meta = meta.encode()
        data_set, meta_size = instance.data_set, len(encoded_meta)
        digest = tar.content_digest(encoded_meta, data_set)
        offset = writer.stage(instance.member_name, (encoded_meta, data_set), digest=digest)
        size = meta_size + len(data_set)
        self._undescribed.append(Kept(meta, meta_size, found, data_set, offset, size, digest))
        self.known.add(meta.sop_instance_uid, Place(writer.path, offset, size))

    def flush(self) -> None:
        """Make what was staged durable, all with one write.

        Raises StorageError; then what was staged is as if it had never come.
        """
        if self._writer is None:
            return
        durable = self._count - len(self._records) // pack_index.RECORD.itemsize
        try:
            self._writer.flush()
        except StorageError:
            for kept in self._undescribed[durable:]:
                self.known.forget(kept.meta.sop_instance_uid)
            del self._undescribed[durable:]
            raise
        self._count += len(self._undescribed) - durable

    def describe(self) -> None:
        """Bring the index up to what is durable; the pack tells the same without it.

        Apart from `flush`, because the sender need not wait for it.
        """
        undescribed, self._undescribed = self._undescribed, []
        for one in undescribed:
            self._records += self._describer.describe(one)

    def _keep_large(self, instance: Instance, found: Header, stream: MemberStream) -> None:
        self.flush()
        self._seal()  # records are noted for one pack at a time
        offset, digest = stream.commit()
        writer = stream.pack
        row_id = self._enter(instance, writer)
        self._unfinished.remove(writer)
        self._writer, self._row_id = writer, row_id
        meta, size = instance.file_meta(), stream.size_bytes
        meta_size = len(meta.encode())
        self._undescribed.append(
            Kept(meta, meta_size, found, instance.data_set, offset, size, digest)
        )
        self._count = 1
        self.known.add(meta.sop_instance_uid, Place(writer.path, offset, size))
        self._seal()

    def _current(self, instance: Instance) -> PackWriter:
        """Return the open pack; opens one, and its ledger rows, at the first new instance."""
        full = self._writer is not None and (
            self._writer.size_bytes >= self._context.settings.pack_bytes_max
            or self._count + len(self._undescribed) >= PACK_MEMBERS_MAX
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
        writer, count = self._writer, self._count
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
            self.describe()
            self._writer.seal(pack_index.from_records(self._records))
            self._sealed.append((self._row_id, self._count, self._writer.size_bytes))
            self._writer, self._records, self._count = None, bytearray(), 0

    def _create(self) -> PackWriter:
        stamp = self._context.now().strftime("%Y%m%dT%H%M%S")
        self._sequence += 1
        name = f"{stamp}-{self._context.peer.association_id[:12]}-{self._sequence:04d}.tar"
        return PackWriter(self._directory / name, sync=self._context.settings.sync)

    def _enter(self, instance: Instance, writer: PackWriter) -> int:
        """Record the pack, and its study and series if they are new; returns the pack's row."""
        context = self._context
        with context.ledger.reading() as session:
            charset = registry.charset_of(session, context.peer.calling_ae_title)
        study, series = identity.read(
            bytes(instance.head), instance.transfer_syntax_uid, charset=charset
        )
        with context.ledger.transaction() as session:
            return record.open_pack(
                session, study, series,
                storage_key=str(writer.path.relative_to(context.settings.home)),
                association_id=context.peer.association_id,
                calling_ae_title=context.peer.calling_ae_title,
                now=context.now(),
            )  # fmt: skip
