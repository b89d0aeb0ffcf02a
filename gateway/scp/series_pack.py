"""The open pack of a Series within one association."""

import time

from gateway.dicom import identity
from gateway.dicom.header import Header
from gateway.errors import LedgerError
from gateway.ledger.transitions import reception as record
from gateway.model import AssociationOutcome
from gateway.packs import index as pack_index
from gateway.packs.known import KnownInstances, Place
from gateway.packs.writer import PackWriter
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
        self._sealed: list[tuple[int, int, int]] = []  # (row, members, bytes) not yet recorded
        self._sequence = 0
        self._reported = (0, 0.0)  # members, monotonic time

    def writer(self, instance: Instance) -> PackWriter:
        """Return the open pack; opens one, and its ledger rows, at the first new instance."""
        full = self._writer is not None and (
            self._writer.size_bytes >= self._context.settings.pack_bytes_max
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
        with self._context.ledger.transaction() as session:
            record.record_progress(
                session, self._row_id, instance_count=count, size_bytes=writer.size_bytes,
                now=self._context.now(),
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
            with self._context.ledger.transaction() as session:
                record.seal_pack(
                    session, row_id, outcome=outcome, instance_count=count,
                    size_bytes=size_bytes, now=self._context.now(),
                )  # fmt: skip
            del self._sealed[0]

    def _open(self, instance: Instance) -> PackWriter:
        context = self._context
        study, series = identity.read(bytes(instance.head), instance.transfer_syntax_uid)
        stamp = context.now().strftime("%Y%m%dT%H%M%S")
        self._sequence += 1
        name = f"{stamp}-{context.peer.association_id[:12]}-{self._sequence:04d}.tar"
        path = self._directory / name
        writer = PackWriter(path)
        try:
            with context.ledger.transaction() as session:
                self._row_id = record.open_pack(
                    session, study, series,
                    storage_key=str(path.relative_to(context.settings.home)),
                    association_id=context.peer.association_id,
                    calling_ae_title=context.peer.calling_ae_title,
                    now=context.now(),
                )  # fmt: skip
        except LedgerError:
            writer.discard()
            raise
        return writer
