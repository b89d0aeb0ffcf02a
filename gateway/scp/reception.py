"""One association's instances on their way into packs: check, keep, record, answer.

All of it runs in one thread, the one that reads the association's socket.
"""

import uuid
from collections.abc import Callable, Sequence

from gateway import log
from gateway.dicom import header, uids
from gateway.dicom.layout import HeaderReader
from gateway.errors import (
    GatewayError,
    IdentityConflict,
    LedgerError,
    ReceiveError,
    StorageError,
    StorageUnavailable,
)
from gateway.ledger.transitions import reception as record
from gateway.ledger.transitions.reception import AssociationCounts
from gateway.model import AssociationOutcome, Disposition, QuarantineNote
from gateway.scp.aside import keep_aside
from gateway.scp.checks import checked_identity
from gateway.scp.context import Context
from gateway.scp.held import HeldBytes
from gateway.scp.incoming import Instance
from gateway.scp.series_pack import SeriesPack
from gateway.scp.wire.command import StoreRequest
from gateway.status import CANNOT_UNDERSTAND, SUCCESS

PACKS_OPEN_MAX = 32
"""Of one association. Each holds a file open and EXTENT_BYTES of the disk."""
REFUSED_KEPT_MAX = 1000
"""Of one association, the bytes of no more refused instances than this are kept aside."""

Answer = tuple[int, str]
"""Status and error comment of a C-STORE-RSP."""
STAGED: Answer = (-1, "staged")

_logger = log.get(__name__)


class Reception:
    """What one association sends. `begin` starts an instance; `close` seals the packs."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.held = HeldBytes()
        self.instance_bytes_max = context.settings.instance_bytes_max
        self._headers = HeaderReader()
        self._packs: dict[tuple[str, str], SeriesPack] = {}
        self._received = self._duplicates = self._refused = 0
        self._closed = False

    def begin(self, request: StoreRequest, transfer_syntax_uid: str) -> Instance:
        return Instance(self, request, transfer_syntax_uid)

    def keep(self, instances: Sequence[Instance]) -> list[Answer]:
        """Decide about whole instances; returns (status, comment for the sender) of each.

        1. Its identity must be complete, legal and what the request said.
        2. The same instance again is Success; the same UID with other bytes is refused.
        3. It is staged for the pack of its Series.
        4. What was staged becomes durable with one write a pack, and only then is Success.
        """
        answers = [self._guarded(instance, self._stage) for instance in instances]
        for pack in self._packs.values():
            try:
                pack.flush()
            except StorageError as error:
                _logger.error("receive.failed", code=error.code, error=str(error))
        for instance in instances:
            instance.finish()
        return [
            self._after_flush(instance) if answer is STAGED else answer
            for instance, answer in zip(instances, answers, strict=True)
        ]

    def answered(self) -> None:
        """Do what the sender need not wait for: bring the indexes up to date."""
        for pack in self._packs.values():
            pack.describe()

    def _after_flush(self, instance: Instance) -> Answer:
        """Answer Success only for what is known to lie in its pack; a failed write forgets it."""
        kept = instance.pack and instance.pack.known.place(instance.request.sop_instance_uid)
        if kept is None:
            self._refused += 1
            return StorageUnavailable.status, StorageUnavailable.code
        self._received += 1
        return SUCCESS, ""

    def _guarded(self, instance: Instance, decide: Callable[[Instance], Answer]) -> Answer:
        try:
            return decide(instance)
        except ReceiveError as error:
            return self._refuse(instance, error)
        except (StorageError, LedgerError) as error:
            _logger.error("receive.failed", code=error.code, error=str(error))
            self._refused += 1
            return error.status, error.code
        except Exception:  # outermost frame: no association dies of one instance
            _logger.exception("receive.unexpected", association=self.context.peer.association_id)
            self._refused += 1
            return CANNOT_UNDERSTAND, "unexpected failure, see the gateway's log"

    def _stage(self, instance: Instance) -> Answer:
        self.context.room.take(len(instance.head))
        # Step 1.
        instance.raise_if_failed()
        found = instance.header or self._headers.read(
            instance.data_set, instance.transfer_syntax_uid
        )
        pack = self.series_pack(*checked_identity(found, instance.request))
        # Step 2.
        known = pack.known.place(instance.request.sop_instance_uid)
        if known is not None:
            pack.flush()  # the one it is compared with may be staged only
            if instance.equals(known):
                self._duplicates += 1
                return SUCCESS, ""
            raise IdentityConflict(
                f"{instance.request.sop_instance_uid} is kept already, with other contents."
            )
        # Step 3.
        pack.stage(instance, found)
        instance.pack = pack
        return STAGED

    def series_pack(self, study_uid: str, series_uid: str) -> SeriesPack:
        key = (study_uid, series_uid)
        if key not in self._packs:
            if len(self._packs) >= PACKS_OPEN_MAX:
                self._seal_oldest()
            self._packs[key] = SeriesPack(self.context, study_uid, series_uid)
        return self._packs[key]

    def _seal_oldest(self) -> None:
        """Seal the pack begun first, of those into which no large instance arrives.

        More of its Series, if it comes, goes into another one.
        """
        for key, pack in self._packs.items():
            if not pack.is_arriving:
                pack.flush()
                pack.close(AssociationOutcome.OPEN)
                del self._packs[key]
                return

    def _refuse(self, instance: Instance, error: ReceiveError) -> tuple[int, str]:
        context = self.context
        settings, ledger, peer, now = context.settings, context.ledger, context.peer, context.now
        self._refused += 1
        _logger.warning("receive.refused", code=error.code, calling=peer.calling_ae_title)
        uid = instance.request.sop_instance_uid
        try:
            storage_key = ""
            if self._refused <= REFUSED_KEPT_MAX:
                parts = instance.kept_parts()
                storage_key = keep_aside(settings.quarantine_dir, settings.home, parts, now=now())
            note = QuarantineNote(
                code=error.code,
                reason=str(error),
                disposition=Disposition.REFUSED,
                status=error.status,
                calling_ae_title=peer.calling_ae_title,
                association_id=peer.association_id,
                study_instance_uid=_study_uid(instance),
                sop_instance_uid=uid if uids.is_valid(uid) else "",
                storage_key=storage_key,
                size_bytes=instance.size_bytes,
            )
            with ledger.transaction() as session:
                record.quarantine(session, note, now=now())
        except (StorageError, LedgerError) as trouble:  # refused all the same; said in the log
            _logger.error("receive.quarantine-failed", code=trouble.code, error=str(trouble))
        return error.status, error.code

    def report_progress(self) -> None:
        """Show in the ledger how far the open packs have come."""
        for pack in list(self._packs.values()):
            pack.report_progress()

    def released(self) -> None:
        """Seal everything before the release is answered.

        A sender that comes back at once finds its study complete, and what it sends again known.
        """
        self.close(AssociationOutcome.RELEASED)

    def close(self, outcome: AssociationOutcome) -> bool:
        """Seal what is open and record how the association ended.

        Returns False if something could not be done; the next call, or the recovery at the
        next start, does it.
        """
        if self._closed:
            return True
        counts = AssociationCounts(self._received, self._duplicates, self._refused)
        try:
            for pack in self._packs.values():
                pack.close(outcome)
            with self.context.ledger.transaction() as session:
                record.close_association(
                    session,
                    self.context.peer.association_id,
                    outcome,
                    counts,
                    now=self.context.now(),
                )
        except GatewayError as error:
            _logger.error("receive.close-failed", code=error.code, error=str(error))
            return False
        self._closed = True
        _logger.info(
            "association.closed",
            calling=self.context.peer.calling_ae_title,
            outcome=str(outcome),
            received=self._received,
            duplicates=self._duplicates,
            refused=self._refused,
        )
        return True


def new_association_id() -> str:
    return uuid.uuid4().hex


def _study_uid(instance: Instance) -> str:
    """Return the Study Instance UID of a refused instance if it can be told; never raises."""
    try:
        found = header.read(instance.head, instance.transfer_syntax_uid, cut=True)
    except ReceiveError:
        return ""
    uid = found.text(header.STUDY_INSTANCE_UID)
    return uid if uids.is_valid(uid) else ""
