"""Sends a transfer: every instance the destination has not acknowledged yet."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from gateway import log
from gateway.errors import (
    AssociationRejected,
    PeerUnreachable,
    Postponed,
    SendError,
    StorageError,
)
from gateway.ledger.delivery_schema import Destination
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import gates, outgoing
from gateway.ledger.queries import transfers as queries
from gateway.ledger.queries.transfers import TransferLine
from gateway.model import Contents
from gateway.settings import Settings
from workers.deliver import deidentifying
from workers.deliver.carrying import Carrying
from workers.deliver.channel import Waiting
from workers.deliver.channels import OPENERS
from workers.deliver.deidentifying import Clearance
from workers.deliver.items import Queue, Sender
from workers.deliver.progress import Clock, Progress

SUMMARY_IS_THERE = "The summary is delivered; the rest follows in the time window."

_logger = log.get(__name__)


@dataclass(frozen=True)
class _Plan:
    """rest_from: when what does not go now may go; None: everything goes now."""

    queue: Queue
    kinds: list[tuple[str, str]]
    count: int
    rest_from: datetime | None


def send(settings: Settings, ledger: Ledger, transfer_id: int, attempt: int, *, now: Clock) -> None:
    """Send what is still to send of a transfer under a claim, then declare it sent.

    1. Make what its destination gets in place of what there is: de-identified, or in the
       carrier it takes.
    2. Send each instance, over as many associations as the claim allows; what is answered is
       recorded as it comes.
    3. An instance that is refused for good, damaged here, or fails the preflight is noted; the
       others go on.
    4. If none was, the transfer is sent.

    Raises InstancesRefused (permanent) after step 3; Postponed when the rest has to wait for the
    time window; StoreRefused (transient), PeerUnreachable, AssociationRejected, OutcomeUnknown
    or a StorageError when the attempt ends early: what was acknowledged until then is not sent
    again. Raises StaleTransition if the claim is lost.
    """
    with ledger.reading() as session:
        line = queries.line(session, transfer_id)
    progress = Progress(settings, ledger, transfer_id, attempt, now)
    claim = (transfer_id, attempt)
    # Step 1.
    clearance = deidentifying.prepare(
        settings, ledger, line, claim, now=now, heartbeat=progress.beat
    )
    Carrying(
        settings, ledger, line, claim, base=clearance.purpose, beats=(now, progress.beat)
    ).apply()
    # Step 2.
    plan = _plan(ledger, line, now())
    width = max(1, min(line.transfer.associations, plan.count))
    work = _Attempt(settings, ledger, line.destination, progress, clearance, plan, width)
    try:
        work.over_channels()
    except (SendError, StorageError):
        progress.record()
        raise
    if plan.rest_from is not None and not progress.has_refusals:
        progress.record()
        raise Postponed(SUMMARY_IS_THERE, until=plan.rest_from)
    # Step 4.
    progress.finish()
    _logger.info(
        "deliver.sent", transfer=transfer_id, instances=plan.count, to=line.destination.name
    )


def _plan(ledger: Ledger, line: TransferLine, now: datetime) -> _Plan:
    rest_from = _rest_from(line.destination, now)
    bulk = False if rest_from is not None else None
    with ledger.reading() as session:
        ids = outgoing.unsent(session, line.transfer.id, bulk=bulk)
        kinds = outgoing.unsent_kinds(session, line.transfer.id)
    return _Plan(Queue(ids), kinds, len(ids), rest_from)


def _rest_from(destination: Destination, now: datetime) -> datetime | None:
    if destination.contents is not Contents.SUMMARY_FIRST:
        return None
    opens = gates.window_from(destination, now)
    return opens if opens > now else None


@dataclass(frozen=True)
class _Attempt:
    settings: Settings
    ledger: Ledger
    destination: Destination
    progress: Progress
    clearance: Clearance
    plan: _Plan
    width: int

    def over_channels(self) -> None:
        """Send all there is, over one channel in this thread and the others in threads of theirs.

        What goes wrong first ends them all, but for a channel more that cannot be opened.
        """
        if self.width == 1:
            self._until_empty()
            return
        with ThreadPoolExecutor(self.width - 1, "deliver") as threads:
            others = [threads.submit(self._one_more) for _ in range(self.width - 1)]
            self._until_empty()
        for one in others:
            one.result()

    def _one_more(self) -> None:
        try:
            self._until_empty(is_extra=True)
        except (PeerUnreachable, AssociationRejected) as error:
            _logger.info("deliver.one-association-less", code=error.code, why=str(error))

    def _until_empty(self, *, is_extra: bool = False) -> None:
        opener = OPENERS[self.destination.kind]
        progress = self.progress
        waiting = Waiting(progress.beat, progress.beat_s)
        sender = Sender(
            self.settings, self.ledger, self.destination, progress, self.clearance.require
        )
        try:
            while self.plan.queue:
                with opener(self.settings, self.destination, self.plan.kinds, waiting) as channel:
                    sender.run(channel, self.plan.queue, share=self.width)
        except BaseException as error:
            if not is_extra or not isinstance(error, PeerUnreachable | AssociationRejected):
                progress.end(error)
            raise
