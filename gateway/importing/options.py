"""Pure: what an operator can say about an import."""

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.importing.clock import TimeFrom
from gateway.importing.keeping import AE_TITLE
from gateway.importing.order import Order


@dataclass(frozen=True)
class Options:
    """order: what is stated. listed: asks a worklist by accession number. time_list: a CSV file.

    likely_accession_number: asked for if nothing else says whose frames these are.
    """

    order: Order = field(default_factory=Order)
    listed: Callable[[str], Order] | None = None
    likely_accession_number: str = ""
    time_from: TimeFrom = TimeFrom.AUTO
    time_list: bytes | None = None
    time_pattern: str = ""
    ae_title: str = AE_TITLE
