"""Who may associate with us: a pure decision over what the ledger knows, and asking the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address

from gateway.ledger.engine import Ledger
from gateway.ledger.queries import associations, registry
from gateway.ledger.schema import Source
from gateway.ledger.transitions import reception as record
from gateway.scp.context import Peer
from gateway.scp.presence import Living
from gateway.settings import Settings

PERMANENT, TRANSIENT = 0x01, 0x02
SERVICE_USER, SERVICE_PROVIDER_PRESENTATION = 0x01, 0x03
NO_REASON, CALLING_AE_NOT_RECOGNISED, CALLED_AE_NOT_RECOGNISED = 0x01, 0x03, 0x07
LOCAL_LIMIT_EXCEEDED = 0x02
"""Results, sources and reasons of A-ASSOCIATE-RJ (PS3.8 9.3.4)."""


@dataclass(frozen=True)
class Refusal:
    """A rejection. result, source, reason: the codes of PS3.8 9.3.4; words: for the console."""

    reason: int
    words: str
    result: int = PERMANENT
    source: int = SERVICE_USER


def decide(
    *,
    calling: str,
    called: str,
    address: str,
    our_ae_title: str,
    sources: Sequence[Source],
    destination_ae_titles: Sequence[str],
) -> Refusal | None:
    """Return why an association is refused, or None to accept it.

    While no Source is configured, anyone on this machine may try the gateway out. A
    Destination may call back to report a Storage Commitment (PS3.4 J.3.3).
    """
    if called != our_ae_title:
        return Refusal(
            CALLED_AE_NOT_RECOGNISED, f"It called us {called!r}; our AE title is {our_ae_title}."
        )
    for source in sources:
        if source.ae_title == calling:
            return _check_source(source, address)
    if calling in destination_ae_titles:
        return None
    if not sources and _is_loopback(address):
        return None
    return Refusal(CALLING_AE_NOT_RECOGNISED, f"{calling!r} is not a source of this gateway.")


def check_count(calling: str, *, open_count: int, associations_max: int) -> Refusal | None:
    """Return why one more association of this AE is refused, or None."""
    if open_count < associations_max:
        return None
    return Refusal(
        LOCAL_LIMIT_EXCEEDED,
        f"{calling} has {open_count} associations open, as many as it may have.",
        result=TRANSIENT,
        source=SERVICE_PROVIDER_PRESENTATION,
    )


def admit(
    settings: Settings, ledger: Ledger, peer: Peer, *, listener: str, now: datetime
) -> Refusal | None:
    """Decide about an association and record it, in one transaction: no two take one place.

    listener: our name, which the association gets. Raises LedgerError.
    """
    calling, called = peer.calling_ae_title, peer.called_ae_title
    with ledger.transaction() as session:
        associations.lock_admissions(session)
        sources = registry.sources(session)
        refusal = decide(
            calling=calling,
            called=called,
            address=peer.address,
            our_ae_title=settings.ae_title,
            sources=sources,
            destination_ae_titles=[one.ae_title for one in registry.destinations(session)],
        ) or check_count(
            calling,
            open_count=associations.open_count(session, calling, Living(settings)),
            associations_max=_limit_of(calling, sources) or settings.source_associations_max,
        )
        ends = {"calling": calling[:16], "called": called[:16], "peer": peer.address}
        if refusal is None:
            record.open_association(
                session, peer.association_id, listener=listener, now=now, **ends
            )
        else:
            record.reject_association(
                session, peer.association_id, reason=refusal.words, now=now, **ends
            )
    return refusal


def _limit_of(calling: str, sources: Sequence[Source]) -> int | None:
    return next((one.associations_max for one in sources if one.ae_title == calling), None)


def _check_source(source: Source, address: str) -> Refusal | None:
    if not source.enabled:
        return Refusal(CALLING_AE_NOT_RECOGNISED, f"The source {source.ae_title} is disabled.")
    if source.host and source.host != address:
        return Refusal(
            CALLING_AE_NOT_RECOGNISED,
            f"{source.ae_title} is expected from {source.host}, not from {address}.",
        )
    return None


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
