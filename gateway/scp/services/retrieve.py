"""What C-MOVE and C-GET have in common: reading the request, counting, the last answer.

(PS3.4 C.4.2 and C.4.3)
"""

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from gateway import log
from gateway.dicom.storage_classes import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from gateway.dimse import pdu
from gateway.dimse.stored import StoredInstance
from gateway.errors import GatewayError, QueryInvalid, TooManyInstances
from gateway.holdings.held import Holdings
from gateway.holdings.rewritten import Rewritten, require_undamaged
from gateway.holdings.selection import Item, Selection, select
from gateway.scp.services import identifier as identifiers
from gateway.scp.services.answer import encode_failed
from gateway.scp.services.negotiated import Negotiated
from gateway.scp.services.operation import Operation
from gateway.status import SUCCESS, StatusClass, describe

PENDING, CANCELLED, SOME_FAILED = 0xFF00, 0xFE00, 0xB000
ALL_FAILED = 0xA702
COUNT_MAX = 65_535
"""Number of Remaining Sub-operations (0000,1020) and its like are US (PS3.7 9.1.4)."""
FALLBACKS = (EXPLICIT_LITTLE, IMPLICIT_LITTLE)
"""What an instance is rewritten in where nobody takes it as it is stored, the better one first."""
PENDING_INTERVAL_S = 0.2
"""Between Pending responses: loose frames go a thousand a second, and each costs a message."""

_logger = log.get(__name__)


@dataclass
class Progress:
    """The counters of one request. Every instance is counted once."""

    operation: Operation
    remaining: int
    completed: int = 0
    warnings: int = 0
    failed: list[str] = field(default_factory=list)
    _told_s: float = 0.0

    def sent(self, sop_instance_uid: str, status: int) -> None:
        """Count an instance by the status its C-STORE got, and tell the requestor now and then."""
        kind = describe(status).status_class
        if kind is StatusClass.SUCCESS:
            self.completed += 1
        elif kind is StatusClass.WARNING:
            self.warnings += 1
        else:
            self.failed.append(sop_instance_uid)
        self._counted()

    def not_sent(self, sop_instance_uid: str) -> None:
        self.failed.append(sop_instance_uid)
        self._counted()

    def finish(self) -> None:
        """Give the last answer: of all that was done, or of what was when it was cancelled."""
        if self.operation.is_cancelled and self.remaining:
            self._respond(CANCELLED, with_remaining=True)
        elif not self.failed and not self.warnings:
            self._respond(SUCCESS)
        elif self.completed or self.warnings:
            self._respond(SOME_FAILED)
        else:
            self._respond(ALL_FAILED)

    def _counted(self) -> None:
        self.remaining -= 1
        now_s = time.monotonic()
        if self.remaining and now_s - self._told_s >= PENDING_INTERVAL_S:
            self._told_s = now_s
            self._respond(PENDING, with_remaining=True)

    def _respond(self, status: int, *, with_remaining: bool = False) -> None:
        counts = {
            pdu.COMPLETED_COUNT: self.completed,
            pdu.FAILED_COUNT: len(self.failed),
            pdu.WARNING_COUNT: self.warnings,
        }
        if with_remaining:
            counts[pdu.REMAINING_COUNT] = self.remaining
        listed = self.failed if status != PENDING else ()
        implicit = self.operation.implicit
        self.operation.respond(
            status,
            counts=counts,
            identifier=encode_failed(listed, implicit=implicit) if listed else b"",
        )


def chosen(
    operation: Operation, encoded: bytes, held: Holdings, negotiated: Negotiated
) -> Selection:
    """Return what a request names. Raises QueryInvalid, TooManyInstances, LedgerError,
    IntegrityError."""
    identifier = identifiers.read(
        encoded,
        operation.sop_class_uid,
        implicit=operation.implicit,
        relational=negotiated.relational,
        retrieving=True,
    )
    selection = select(held, identifier)
    if len(selection) > COUNT_MAX:
        raise TooManyInstances(
            f"{len(selection)} instances; {COUNT_MAX} can be counted. Ask for fewer."
        )
    return selection


def stream(
    held: Holdings, item: Item, transfer_syntax_uid: str
) -> AbstractContextManager[StoredInstance | Rewritten]:
    """Open an instance: as it is stored, or rewritten in one of FALLBACKS.

    Raises StorageError, NotConvertible. What is stored is compared with its digest as it is
    read; what is rewritten, before.
    """
    place = item.place
    if transfer_syntax_uid == item.instance.transfer_syntax_uid:
        return StoredInstance(
            held.settings.home / place.storage_key,
            item.instance,
            offset_bytes=place.offset_bytes,
            size_bytes=place.size_bytes,
            digest=item.digest,
        )
    require_undamaged(held.settings.home, place, item.digest)
    implicit = transfer_syntax_uid == IMPLICIT_LITTLE
    return nullcontext(Rewritten(held.settings.home, place, implicit=implicit))


def refuse(operation: Operation, error: GatewayError) -> None:
    """Answer a request that cannot be begun. Raises RequestorGone."""
    status = getattr(error, "status", ALL_FAILED)
    _logger.warning(
        "retrieve.refused", calling=operation.calling_ae_title, code=error.code, error=str(error)
    )
    told = isinstance(error, QueryInvalid | TooManyInstances)
    operation.respond(status, comment=str(error) if told else error.code)
