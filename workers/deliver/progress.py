"""What a destination said, on its way into the ledger; and the lease, while we wait for it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.errors import GatewayError, InstancesRefused, StoreRefused
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import transfers as queries
from gateway.ledger.transitions import transfers
from gateway.settings import Settings

Clock = Callable[[], datetime]

RECORD_COUNT, RECORD_S = 200, 0.5
"""Answers are recorded together, this many or this often. If we die before, those instances are
sent once more with the same UIDs; a transaction for each would halve the speed of small ones."""


@dataclass(frozen=True)
class _Refusal:
    item_id: int
    status: int | None
    reason: str


class Progress:
    """One attempt at a transfer. Every write checks that the claim still holds.

    Raises StaleTransition when it does not: an operator, or another worker, was faster.
    """

    def __init__(
        self, settings: Settings, ledger: Ledger, transfer_id: int, attempt: int, now: Clock
    ) -> None:
        self._ledger, self._transfer_id, self._attempt = ledger, transfer_id, attempt
        self._lease_s, self._now = settings.lease_s, now
        self._acknowledged: dict[int, list[int]] = {}  # item ids by status
        self._refused: list[_Refusal] = []
        self._recorded_at = self._renewed_at = now()
        self._refused_count = 0
        self._first_refusal: GatewayError | None = None

    @property
    def beat_s(self) -> float:
        """How often `beat` must be called."""
        return min(1.0, self._lease_s / 6)

    def acknowledged(self, item_id: int, status: int) -> None:
        self._acknowledged.setdefault(status, []).append(item_id)
        self._record_if_due()

    def refused(self, item_id: int, error: GatewayError) -> None:
        """Note that an instance is not taken, for good; the others go on."""
        status = error.status if isinstance(error, StoreRefused) else None
        self._refused.append(_Refusal(item_id, status, str(error)))
        self._refused_count += 1
        self._first_refusal = self._first_refusal or error
        self._record_if_due()

    def beat(self) -> None:
        """Renew the lease when a third of it is over."""
        if self._now() - self._renewed_at >= timedelta(seconds=self._lease_s / 3):
            self.record(renew=True)

    def record(self, *, renew: bool = False) -> None:
        """Write what is noted, in one transaction."""
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
        self._recorded_at = now
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
            assert not queries.unsent(session, self._transfer_id), "each was sent or refused"
            transfers.finish_send(session, self._transfer_id, self._attempt, now=self._now())

    def _record_if_due(self) -> None:
        noted = sum(map(len, self._acknowledged.values())) + len(self._refused)
        if noted >= RECORD_COUNT or self._now() - self._recorded_at >= timedelta(seconds=RECORD_S):
            self.record()
