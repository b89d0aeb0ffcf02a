"""What every service needs at hand."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gateway.holdings.headers import Headers
from gateway.ledger.engine import Ledger
from gateway.settings import Settings


@dataclass(frozen=True)
class Holdings:
    """One for all associations of a process."""

    settings: Settings
    ledger: Ledger
    headers: Headers
    now: Callable[[], datetime]
