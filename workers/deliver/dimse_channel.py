"""Sending by C-STORE: one association to a destination."""

from collections.abc import Sequence
from types import TracebackType

from gateway.dimse.association import Association, open_association
from gateway.dimse.connection import Timeouts
from gateway.dimse.negotiation import CONTEXTS_MAX, Peer, Proposal
from gateway.dimse.store_scu import SopInstance, StoreScu
from gateway.ledger.delivery_schema import Destination
from gateway.settings import Settings
from workers.deliver.channel import Answer, Stored, Waiting

CONNECT_TIMEOUT_S = 10.0
ASSOCIATE_TIMEOUT_S = 30.0


class DimseChannel:
    """A workers.deliver.channel.Channel."""

    def __init__(self, association: Association) -> None:
        self._association, self._scu = association, StoreScu(association)

    @property
    def is_usable(self) -> bool:
        return self._association.is_idle

    @property
    def has_left(self) -> bool:
        return self._scu.has_left

    def require(self, instance: SopInstance) -> None:
        self._association.context(instance.proposal)

    def store(self, instance: SopInstance, stored: Stored) -> Answer:
        status = self._scu.store(instance, stored, stored.size_bytes, verify=stored.verify)
        return Answer(status)

    def __enter__(self) -> "DimseChannel":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._association.__exit__(kind, error, traceback)


def open_channel(
    settings: Settings,
    destination: Destination,
    kinds: Sequence[tuple[str, str]],
    waiting: Waiting,
) -> DimseChannel:
    """Associate, proposing exactly the presentation contexts the instances need.

    Raises PeerUnreachable or AssociationRejected: nothing was sent.
    """
    association = open_association(
        peer_of(settings, destination),
        [Proposal(kind, (syntax,)) for kind, syntax in kinds[:CONTEXTS_MAX]],
        timeouts=timeouts_of(settings),
        beat=waiting.beat,
        beat_s=waiting.beat_s,
    )
    if destination.pdu_bytes_max is not None:
        association.limit_pdus(destination.pdu_bytes_max)
    return DimseChannel(association)


def peer_of(settings: Settings, destination: Destination) -> Peer:
    """Return whom to send to."""
    return Peer(
        ae_title=destination.ae_title,
        host=destination.host,
        port=destination.port,
        calling_ae_title=destination.calling_ae_title or settings.ae_title,
    )


def commitment_peer(settings: Settings, destination: Destination) -> Peer:
    """Return whom to ask for Storage Commitment."""
    return Peer(
        ae_title=destination.commitment_ae_title or destination.ae_title,
        host=destination.commitment_host or destination.host,
        port=destination.commitment_port or destination.port,
        calling_ae_title=destination.calling_ae_title or settings.ae_title,
    )


def query_peer(settings: Settings, destination: Destination) -> Peer:
    """Return whom to ask what the destination holds."""
    return Peer(
        ae_title=destination.query_ae_title or destination.ae_title,
        host=destination.query_host or destination.host,
        port=destination.query_port or destination.port,
        calling_ae_title=destination.calling_ae_title or settings.ae_title,
    )


def timeouts_of(settings: Settings) -> Timeouts:
    return Timeouts(CONNECT_TIMEOUT_S, ASSOCIATE_TIMEOUT_S, settings.dimse_timeout_s)
