"""C-MOVE as an SCP (PS3.4 C.4.2): sub-operations by the same C-STORE SCU as delivery."""

from collections.abc import Iterator

from gateway import log
from gateway.dimse.association import Association, open_association
from gateway.dimse.connection import Timeouts
from gateway.dimse.negotiation import CONTEXTS_MAX, Peer, Proposal
from gateway.dimse.store_scu import MoveOriginator, SopInstance, StoreScu
from gateway.errors import (
    ContextNotAccepted,
    GatewayError,
    MoveDestinationUnknown,
    NotConvertible,
    OutcomeUnknown,
    RequestorGone,
    SendError,
    StorageError,
)
from gateway.holdings.held import Holdings
from gateway.holdings.selection import Item, Selection
from gateway.ledger.queries import holdings as queries
from gateway.scp.services.negotiated import Negotiated
from gateway.scp.services.operation import Operation
from gateway.scp.services.retrieve import FALLBACKS, Progress, chosen, refuse, stream

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
        uid = item.instance.sop_instance_uid
        try:
            proposal = accepted_proposal(association, item.instance)
            syntax = association.context(proposal).transfer_syntax_uid
            with stream(self._held, item, syntax) as data_set:
                status = scu.store(
                    item.instance,
                    data_set,
                    data_set.size_bytes,
                    verify=data_set.verify,
                    proposal=proposal,
                    originator=self._originator,
                )
        except (ContextNotAccepted, NotConvertible, StorageError) as error:
            _logger.warning("retrieve.not-sent", instance=uid, code=error.code, error=str(error))
            self._progress.not_sent(uid)
            return
        except OutcomeUnknown:
            self._progress.not_sent(uid)
            raise
        self._progress.sent(uid, status)


def proposals(kinds: list[tuple[str, str]]) -> tuple[Proposal, ...]:
    """Propose each kind as it is stored, then each SOP class as it can be rewritten."""
    stored = [Proposal(kind, (syntax,)) for kind, syntax in kinds]
    fallbacks = [Proposal(kind, FALLBACKS) for kind in sorted({kind for kind, _ in kinds})]
    return tuple([*stored, *fallbacks][:CONTEXTS_MAX])


def accepted_proposal(association: Association, instance: SopInstance) -> Proposal:
    """Return what the peer takes an instance in. Raises ContextNotAccepted, for the stored form."""
    fallback = Proposal(instance.sop_class_uid, FALLBACKS)
    try:
        association.context(instance.proposal)
    except ContextNotAccepted as refused:
        try:
            association.context(fallback)
        except ContextNotAccepted:
            raise refused from None
        return fallback
    return instance.proposal
