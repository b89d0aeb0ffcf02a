"""One item after the other over one channel: sent, and what was answered noted."""

import threading
from collections import deque
from collections.abc import Callable, Sequence

from gateway import log
from gateway.dimse.store_scu import SopInstance
from gateway.dimse.stored import StoredInstance
from gateway.errors import (
    CannotDeidentify,
    ContextNotAccepted,
    IntegrityError,
    ObjectMissing,
    OutcomeUnknown,
    PreflightFailed,
    StoreRefused,
    TooLargeThere,
)
from gateway.ledger.delivery_schema import Destination
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import outgoing
from gateway.ledger.queries.outgoing import Outgoing
from gateway.settings import Settings
from gateway.status import describe, in_words, is_stored
from workers.deliver.channel import Channel, Stored
from workers.deliver.pace import Pace, Paced
from workers.deliver.progress import Progress

PAGE = 64
"""Rows a thread takes at once: a transfer may have 100,000 items."""

_logger = log.get(__name__)


class Queue:
    """The items still to send, shared by the associations of one attempt."""

    def __init__(self, item_ids: Sequence[int]) -> None:
        self._item_ids, self._lock = deque(item_ids), threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._item_ids)

    def take(self, share: int) -> list[int]:
        """Return the next items for one of `share` associations, none if all are taken."""
        with self._lock:
            count = min(PAGE, -(-len(self._item_ids) // share))
            return [self._item_ids.popleft() for _ in range(count)]

    def give_back(self, item_ids: Sequence[int]) -> None:
        with self._lock:
            self._item_ids.extendleft(reversed(item_ids))


class Sender:
    """Sends items of one transfer to one destination. For one thread.

    require: raises SendError for an instance the destination may not have.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        destination: Destination,
        progress: Progress,
        require: Callable[[Outgoing], None],
    ) -> None:
        self._settings, self._ledger = settings, ledger
        self._destination, self._progress = destination, progress
        self._require = require
        rate = destination.bandwidth_bytes_s
        self._pace = Pace(rate / destination.associations_max, progress.beat) if rate else None

    def run(self, channel: Channel, queue: Queue, *, share: int) -> None:
        """Send until nothing is left, or until a damaged file has cost the channel."""
        while channel.is_usable and (page := queue.take(share)):
            with self._ledger.reading() as session:
                sent = outgoing.of_items(session, page)
            for position, item_id in enumerate(page):
                self._progress.require_wanted()
                self._send(channel, sent[item_id])
                if not channel.is_usable:
                    queue.give_back(page[position + 1 :])
                    break

    def _send(self, channel: Channel, sent: Outgoing) -> None:
        instance = SopInstance(sent.sop_class_uid, sent.sop_instance_uid, sent.transfer_syntax_uid)
        try:
            self._require(sent)
            self._require_fits(sent)
            channel.require(instance)
            self._progress.checked(sent)
            with StoredInstance(
                self._settings.home / sent.storage_key,
                instance,
                offset_bytes=sent.offset_bytes,
                size_bytes=sent.size_bytes,
                digest=sent.digest,
            ) as stored:
                paced: Stored = stored if self._pace is None else Paced(stored, self._pace)
                answer = channel.store(instance, paced)
        except (
            CannotDeidentify, ContextNotAccepted, PreflightFailed, ObjectMissing, IntegrityError,
            TooLargeThere,
        ) as error:  # fmt: skip
            _logger.error("deliver.refused", item=sent.item_id, code=error.code, error=str(error))
            self._progress.refused(sent.item_id, error)
            return
        except OutcomeUnknown:
            if channel.has_left:
                self._progress.unanswered(sent.item_id)
            raise
        if is_stored(answer.status):
            self._progress.acknowledged(sent.item_id, answer.status)
            return
        self._refuse(sent, answer.status, answer.words)

    def _refuse(self, sent: Outgoing, status: int, words: str) -> None:
        """Note a refusal for good; raise StoreRefused if trying again can help."""
        said = f" ({words})" if words else ""
        refusal = StoreRefused(
            f"{self._peer} refused {sent.sop_instance_uid}: {in_words(status)}{said}.",
            status=status,
            permanent=not describe(status).retry,
        )
        if not refusal.permanent:
            raise refusal
        self._progress.refused(sent.item_id, refusal)

    @property
    def _peer(self) -> str:
        one = self._destination
        return one.base_url or f"{one.ae_title} at {one.host}:{one.port}"

    def _require_fits(self, sent: Outgoing) -> None:
        one = self._destination
        if one.frames_max is not None and sent.frame_count > one.frames_max:
            raise TooLargeThere(
                f"{sent.sop_instance_uid} has {sent.frame_count} frames, and {one.name} takes"
                f" {one.frames_max}."
            )
        if one.instance_bytes_max is not None and sent.size_bytes > one.instance_bytes_max:
            raise TooLargeThere(
                f"{sent.sop_instance_uid} has {sent.size_bytes} bytes, and {one.name} takes"
                f" {one.instance_bytes_max}."
            )
