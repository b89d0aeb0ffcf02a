"""One association that is being served, or negotiated: how long it may take, how it ends."""

import contextlib
import socket
import time
from collections.abc import Callable
from typing import Any

from gateway import log
from gateway.errors import LedgerError
from gateway.ledger.transitions import reception as record
from gateway.model import AssociationOutcome
from gateway.network import unread_bytes
from gateway.scp.pace import Pace
from gateway.scp.reception import Reception
from gateway.scp.services.serving import Serving
from gateway.scp.wire.reader import StoreReader
from gateway.settings import Settings

ABORT_GRACE_S = 2.0
"""How long an association may take to send its A-ABORT; then its connection is closed."""

_logger = log.get(__name__)


class LiveAssociation:
    """A pynetdicom association, what reads it, and what it sends. One thread looks after it.

    leave: called once, as soon as its place may be given to another.
    """

    def __init__(
        self,
        assoc: Any,
        connection: socket.socket,
        settings: Settings,
        *,
        leave: Callable[[], None],
    ) -> None:
        self.assoc = assoc
        self.reader = StoreReader(assoc, pdu_bytes_max=settings.pdu_bytes_max)
        self.reception: Reception | None = None
        self.serving: Serving | None = None
        self._connection, self._leave = connection, leave
        self._left = False
        self._aborted_s: float | None = None
        self._pace = Pace(
            idle_timeout_s=settings.idle_timeout_s,
            dimse_timeout_s=settings.dimse_timeout_s,
            now_s=time.monotonic(),
        )

    def admit(self, reception: Reception) -> None:
        """From now on instances are received."""
        self.reception = self.reader.receiver = reception

    @property
    def is_over(self) -> bool:
        """Whether its threads have run and ended."""
        started = self.assoc.ident is not None
        return started and not self.assoc.is_alive() and not self.assoc.dul.is_alive()

    def check(self) -> None:
        """Abort it if the peer takes too long; show progress."""
        now_s = time.monotonic()
        if self._aborted_s is not None:
            if now_s - self._aborted_s > ABORT_GRACE_S:
                self._cut()
            return
        if self.reception is not None:
            with contextlib.suppress(LedgerError):  # shown a little later, then
                self.reception.report_progress()
        reader = self.reader
        why = self._pace.judge(
            received=reader.received_bytes, rested=reader.rested_bytes, now_s=now_s
        )
        serving = self.serving is not None and self.serving.is_busy
        if reader.busy or serving or (why and self._is_unread()):
            self._pace.excuse(now_s)
        elif why:
            self.abort(why)

    def abort(self, why: str) -> None:
        """Send an A-ABORT; `check` makes sure that it ends. why: for the ledger."""
        if self._aborted_s is None:
            self._aborted_s = time.monotonic()
            self.reader.trouble = self.reader.trouble or why
            self.assoc.abort(block=False)

    def leave(self) -> None:
        """Give the place to another."""
        if not self._left:
            self._left = True
            self._leave()

    def finish(self) -> bool:
        """Seal and record what it brought. False: not all could be done, call again."""
        self._cut()
        self.leave()
        self.reader.close()
        if self.reception is None:
            return True
        self._explain(self.reception)
        return self.reception.close(self._outcome())

    def _explain(self, reception: Reception) -> None:
        why, self.reader.trouble = self.reader.trouble, ""
        if not why or self.assoc.is_released:
            return
        context = reception.context
        peer = context.peer
        _logger.warning("association.broken-off", calling=peer.calling_ae_title, reason=why)
        try:
            with context.ledger.transaction() as session:
                record.explain_association(session, peer.association_id, why, now=context.now())
        except LedgerError as error:
            _logger.error("association.not-explained", code=error.code, error=str(error))

    def _outcome(self) -> AssociationOutcome:
        if self.assoc.is_released:
            return AssociationOutcome.RELEASED
        if self.assoc.is_aborted or self._aborted_s is not None:
            return AssociationOutcome.ABORTED
        return AssociationOutcome.LOST

    def _is_unread(self) -> bool:
        try:
            return unread_bytes(self._connection) > 0
        except (OSError, ValueError):  # closed meanwhile
            return False

    def _cut(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        if self.is_over:
            self._connection.close()
