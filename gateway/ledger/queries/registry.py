"""Who may send and who receives."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from gateway.errors import NotFound
from gateway.ledger.delivery_schema import Destination, Route
from gateway.ledger.schema import Source


@dataclass(frozen=True)
class RouteLine:
    source_ae_title: str | None  # None: every source
    destination_name: str
    id: int = 0
    conditions: Mapping[str, str] = field(default_factory=dict)


def sources(session: Session) -> list[Source]:
    return list(session.scalars(select(Source).order_by(Source.ae_title)))


def source(session: Session, ae_title: str) -> Source | None:
    return session.scalar(select(Source).where(Source.ae_title == ae_title))


def charset_of(session: Session, ae_title: str) -> str:
    """Return the character set an operator set for a source; empty if none, or no such source."""
    return session.scalar(select(Source.charset).where(Source.ae_title == ae_title)) or ""


def source_count(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(Source)) or 0


def destinations(session: Session) -> list[Destination]:
    return list(session.scalars(select(Destination).order_by(Destination.name)))


def destination(session: Session, name: str) -> Destination:
    """Return the row. Raises NotFound."""
    row = session.scalar(select(Destination).where(Destination.name == name))
    if row is None:
        raise NotFound(f"There is no destination {name}.")
    return row


def routes(session: Session) -> list[RouteLine]:
    rows = session.execute(
        select(Source.ae_title, Destination.name, Route.id, Route.conditions)
        .select_from(Route)
        .join(Destination, Destination.id == Route.destination_id)
        .join(Source, Source.id == Route.source_id, isouter=True)
        .order_by(Destination.name, Source.ae_title, Route.id)
    )
    return [RouteLine(row.ae_title, row.name, row.id, row.conditions) for row in rows]
