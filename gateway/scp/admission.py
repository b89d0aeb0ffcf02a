"""Who may associate with us: pure decision over what the ledger knows."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from gateway.ledger.schema import Source

CALLING_AE_NOT_RECOGNISED = 0x03
CALLED_AE_NOT_RECOGNISED = 0x07
"""Reasons of A-ASSOCIATE-RJ by the service user (PS3.8 9.3.4)."""


@dataclass(frozen=True)
class Refusal:
    """A permanent rejection. reason: the code of PS3.8 9.3.4; words: for the console."""

    reason: int
    words: str


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
