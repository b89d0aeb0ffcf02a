"""What everything inside one association needs to know."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gateway.ledger.engine import Ledger
from gateway.packs.room import Room
from gateway.settings import Settings


@dataclass(frozen=True)
class Peer:
    """The two ends of an association."""

    association_id: str
    calling_ae_title: str
    called_ae_title: str
    address: str


@dataclass(frozen=True)
class Context:
    settings: Settings
    ledger: Ledger
    peer: Peer
    now: Callable[[], datetime]
    room: Room
