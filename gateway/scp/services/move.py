"""C-MOVE as an SCP (PS3.4 C.4.2): sub-operations by the same C-STORE SCU as delivery."""

from collections.abc import Iterator

from gateway import log
from gateway.dimse.association import Association, open_association
from gateway.dimse.connection import Timeouts
from gateway.dimse.negotiation import CONTEXTS_MAX, Peer, Proposal
from gateway.dimse.store_scu import MoveOriginator, StoreScu
from gateway.dimse.stored import StoredInstance
from gateway.errors import (
    ContextNotAccepted,
    GatewayError,
    MoveDestinationUnknown,
    OutcomeUnknown,
    RequestorGone,
    SendError,
    StorageError,
)
from gateway.ledger.queries import holdings as queries
from gateway.scp.services.holdings import Holdings
from gateway.scp.services.negotiated import Negotiated
from gateway.scp.services.operation import Operation
from gateway.scp.services.retrieve import Progress, chosen, refuse
from gateway.scp.services.selection import Item, Selection

CONNECT_TIMEOUT_S, ASSOCIATE_TIMEOUT_S = 10.0, 30.0
BEAT_S = 1.0
"""How often a sub-operation that waits looks whether the requestor is still there."""
BROKEN_MAX = 3
"""Associations that may break in one request; then the rest is given up."""

_logger = log.get(__name__)


def serve(
    operation: Operation, encoded: bytes, destination: str, held: Holdings, negotiated: Negotiated
) -> None:
    """Answer a C-MOVE request. Raises RequestorGone."""
    try:
        peer = _peer(held, destination)
        selection = chosen(operation, encoded, held, negotiated)
    except RequestorGone:
        raise
    except GatewayError as error:
        refuse(operation, error)
        return
    progress = Progress(operation, len(selection))
    mover = _Mover(operation, held, peer, selection, progress)
    mover.run()
    progress.finish()
    _logger.info(
        "retrieve.moved",
        calling=operation.calling_ae_title,
        destination=destination,
        completed=progress.completed,
        failed=len(progress.failed),
    )


def _peer(held: Holdings, ae_title: str) -> Peer:
    """Return a configured destination. Raises MoveDestinationUnknown."""
    with held.ledger.reading() as session:
        row = queries.destination(session, ae_title)
    if row is None:
        raise MoveDestinationUnknown(f"{ae_title!r} is not a destination of this gateway.")
    return Peer(row.ae_title, row.host, row.port, held.settings.ae_title)


class _Mover:
    """Sends a selection over as few associations as it takes."""

    def __init__(
        self,
        operation: Operation,
        held: Holdings,
        peer: Peer,
        selection: Selection,
        progress: Progress,
    ) -> None:
        self._operation, self._held, self._peer = operation, held, peer
        self._selection, self._progress = selection, progress
        self._originator = MoveOriginator(operation.calling_ae_title, operation.message_id)

    def run(self) -> None:
        items = iter(self._selection)
        broken = 0
        while self._progress.remaining and not self._operation.is_cancelled:
            try:
                if broken < BROKEN_MAX:
                    self._over_one_association(items)
            except RequestorGone:
                raise
            except SendError as error:
                _logger.warning("retrieve.association", peer=str(self._peer), error=str(error))
                broken = broken + 1 if isinstance(error, OutcomeUnknown) else BROKEN_MAX
            if broken >= BROKEN_MAX:
                for item in items:
                    self._progress.not_sent(item.instance.sop_instance_uid)

    def _over_one_association(self, items: Iterator[Item]) -> None:
        timeouts = Timeouts(
            CONNECT_TIMEOUT_S, ASSOCIATE_TIMEOUT_S, self._held.settings.dimse_timeout_s
        )
        with open_association(
            self._peer,
            proposals(self._selection.kinds()),
            timeouts=timeouts,
            beat=self._operation.check,
            beat_s=BEAT_S,
        ) as association:
            scu = StoreScu(association)
            for item in items:
                self._send(scu, association, item)
                if self._operation.is_cancelled or not association.is_idle:
                    return

    def _send(self, scu: StoreScu, association: Association, item: Item) -> None:
        uid, place = item.instance.sop_instance_uid, item.place
        try:
            association.context(item.instance.proposal)
            with StoredInstance(
                self._held.settings.home / place.storage_key,
                item.instance,
                offset_bytes=place.offset_bytes,
                size_bytes=place.size_bytes,
                digest=item.digest,
            ) as stored:
                status = scu.store(
                    item.instance,
                    stored,
                    stored.size_bytes,
                    verify=stored.verify,
                    originator=self._originator,
                )
        except (ContextNotAccepted, StorageError) as error:
            _logger.warning("retrieve.not-sent", instance=uid, code=error.code, error=str(error))
            self._progress.not_sent(uid)
            return
        except OutcomeUnknown:
            self._progress.not_sent(uid)
            raise
        self._progress.sent(uid, status)


def proposals(kinds: list[tuple[str, str]]) -> tuple[Proposal, ...]:
    return tuple(Proposal(kind, (syntax,)) for kind, syntax in kinds[:CONTEXTS_MAX])
