"""What a destination said, on its way into the ledger; and the lease, while we wait for it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.errors import GatewayError, InstancesRefused, Postponed, StaleTransition, StoreRefused
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import outgoing
from gateway.ledger.queries.outgoing import Outgoing
from gateway.ledger.transitions import transfers
from gateway.model import DerivedRole
from gateway.settings import Settings
from workers.deliver import preflight

Clock = Callable[[], datetime]

RECORD_COUNT, RECORD_S = 200, 0.5
"""Answers are recorded together, this many or this often. If we die before, those instances are
sent once more with the same UIDs; a transaction for each would halve the speed of small ones."""
LOOK_S = 1.0
"""How soon a transfer ends that was cancelled: after a correction, nothing wrong may follow."""


@dataclass(frozen=True)
class _Refusal:
    item_id: int
    status: int | None
    reason: str


class Progress:
    """One attempt at a transfer, by one or several associations, a thread each. Every write
    checks that the claim still holds.

    Raises StaleTransition when it does not: an operator, or another worker, was faster.
    """

    def __init__(
        self, settings: Settings, ledger: Ledger, transfer_id: int, attempt: int, now: Clock
    ) -> None:
        self._settings = settings
        self._ledger, self._transfer_id, self._attempt = ledger, transfer_id, attempt
        self._lease_s, self._now = settings.lease_s, now
        self._acknowledged: dict[int, list[int]] = {}  # item ids by status
        self._refused: list[_Refusal] = []
        self._recorded_at = self._renewed_at = self._looked_at = now()
        self._refused_count = 0
        self._first_refusal: GatewayError | None = None
        self._lock = threading.RLock()
        self._ended: BaseException | None = None

    @property
    def beat_s(self) -> float:
        """How often `beat` must be called."""
        return min(1.0, self._lease_s / 6)

    def checked(self, sent: Outgoing) -> None:
        """Let an instance of ours through the preflight before it is sent for the first time.

        Raises PreflightFailed. What was received is sent as it came, whatever it is.
        """
        if sent.role is DerivedRole.ORIGINAL or sent.is_checked:
            return
        preflight.require(self._settings.home / sent.storage_key, sent.sop_instance_uid)
        with self._ledger.transaction() as session:
            transfers.note_checked(session, sent.derived_id, sent.adapted_id, now=self._now())

    def acknowledged(self, item_id: int, status: int) -> None:
        with self._lock:
            self._acknowledged.setdefault(status, []).append(item_id)
            self._record_if_due()

    def unanswered(self, item_id: int) -> None:
        """Note that all of an instance left, and that nobody knows whether it arrived."""
        with self._lock, self._ledger.transaction() as session:
            transfers.note_sent(session, self._transfer_id, self._attempt, item_id, now=self._now())

    def refused(self, item_id: int, error: GatewayError) -> None:
        """Note that an instance is not taken, for good; the others go on."""
        status = error.status if isinstance(error, StoreRefused) else None
        with self._lock:
            self._refused.append(_Refusal(item_id, status, str(error)))
            self._refused_count += 1
            self._first_refusal = self._first_refusal or error
            self._record_if_due()

    def beat(self) -> None:
        """Renew the lease when a third of it is over, and look whether we shall go on.

        Raises StaleTransition if the claim is lost, Postponed if the destination was paused.
        """
        with self._lock:
            if self._ended is not None:
                raise self._ended
            try:
                self._beat()
            except (StaleTransition, Postponed) as error:
                self._ended = error  # the other associations end with this one
                raise

    def end(self, error: BaseException) -> None:
        """Let the other associations of the attempt end: this one has."""
        with self._lock:
            self._ended = self._ended or error

    def require_wanted(self) -> None:
        """Raise what ended another association of the attempt, if something did."""
        if self._ended is not None:
            raise self._ended

    @property
    def has_refusals(self) -> bool:
        return self._refused_count > 0

    def _beat(self) -> None:
        now = self._now()
        if now - self._renewed_at >= timedelta(seconds=self._lease_s / 3):
            self.record(renew=True)
        elif now - self._looked_at >= timedelta(seconds=LOOK_S):
            try:
                with self._ledger.reading() as session:
                    transfers.wanted(session, self._transfer_id, self._attempt, now=now)
            except StaleTransition:
                self._record_late()
                raise
            self._looked_at = now

    def record(self, *, renew: bool = False) -> None:
        """Write what is noted, in one transaction.

        If the claim is lost, what was acknowledged until then is still written down.
        """
        with self._lock:
            try:
                self._record(renew=renew)
            except StaleTransition:
                self._record_late()
                raise

    def _record_late(self) -> None:
        with self._ledger.transaction() as session:
            for status, item_ids in self._acknowledged.items():
                transfers.note_late_acknowledgements(
                    session, self._transfer_id, item_ids, status=status, now=self._now()
                )

    def _record(self, *, renew: bool) -> None:
        now = self._now()
        with self._ledger.transaction() as session:
            if renew:
                transfers.renew(
                    session, self._transfer_id, self._attempt, lease_s=self._lease_s, now=now
                )
            for status, item_ids in self._acknowledged.items():
                transfers.acknowledge_items(
                    session, self._transfer_id, self._attempt, item_ids, status=status, now=now
                )
            for one in self._refused:
                transfers.refuse_item(
                    session, self._transfer_id, self._attempt, one.item_id,
                    status=one.status, reason=one.reason,
                )  # fmt: skip
        self._acknowledged.clear()
        self._refused.clear()
        self._recorded_at = self._looked_at = now
        if renew:
            self._renewed_at = now

    def finish(self) -> None:
        """Declare the transfer sent. Raises InstancesRefused if some instances were not taken."""
        self.record()
        if self._first_refusal is not None:
            raise InstancesRefused(
                f"{self._refused_count} instances were not taken. The first: {self._first_refusal}",
                remedy=self._first_refusal.remedy,
            )
        with self._ledger.transaction() as session:
            assert not outgoing.unsent(session, self._transfer_id), "each was sent or refused"
            transfers.finish_send(session, self._transfer_id, self._attempt, now=self._now())

    def _record_if_due(self) -> None:
        noted = sum(map(len, self._acknowledged.values())) + len(self._refused)
        if noted >= RECORD_COUNT or self._now() - self._recorded_at >= timedelta(seconds=RECORD_S):
            self.record()
