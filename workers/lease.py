"""The claim on a study, kept alive by the worker that holds it."""

from collections.abc import Callable
from datetime import datetime, timedelta

from gateway.ledger.engine import Ledger
from gateway.ledger.transitions import studies
from gateway.model import StudyState

Clock = Callable[[], datetime]


class StudyLease:
    """The claim of one step on one study, renewed while work goes on."""

    def __init__(
        self,
        ledger: Ledger,
        claim: tuple[int, int],
        state: StudyState,
        *,
        lease_s: float,
        now: Clock,
    ) -> None:
        """claim: id of the study and attempt. state: the step's own, see studies.STEP_STATES."""
        self._ledger, (self._study_id, self._attempt), self._state = ledger, claim, state
        self._lease_s, self._now = lease_s, now
        self._due_at = now()

    def keep(self) -> None:
        """Renew if a third of the lease has passed. Cheap enough to call for every frame."""
        if self._now() >= self._due_at:
            self.renew()

    def renew(self) -> None:
        """Extend the lease. Raises StaleTransition if it was lost, or the step is recorded."""
        at = self._now()
        with self._ledger.transaction() as session:
            # The same message may come twice: its second run must not touch the next step.
            studies.holding(session, self._study_id, self._attempt, self._state)
            studies.renew(session, self._study_id, self._attempt, lease_s=self._lease_s, now=at)
        self._due_at = at + timedelta(seconds=self._lease_s / 3)
