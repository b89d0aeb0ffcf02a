"""Who may send, who receives, and which way studies go."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from gateway.errors import ConfigurationError, NotFound
from gateway.ledger import events
from gateway.ledger.schema import Destination, Route, Source, Study, Transfer
from gateway.ledger.transitions import transfers
from gateway.model import StudyState


def add_source(
    session: Session,
    ae_title: str,
    *,
    now: datetime,
    actor: str,
    host: str = "",
    description: str = "",
    associations_max: int | None = None,
    charset: str = "",
) -> int:
    """Let an AE send to us. associations_max: at once; None: what the settings say.

    charset: a term of gateway.dicom.charsets its text is read as, whatever it declares.
    Raises ConfigurationError if its AE title is known or illegal.
    """
    check_ae_title(ae_title)
    if session.scalar(select(Source.id).where(Source.ae_title == ae_title)):
        raise ConfigurationError(f"The source {ae_title} exists already.")
    source = Source(
        ae_title=ae_title,
        host=host,
        description=description,
        associations_max=associations_max,
        charset=charset,
        created_at=now,
    )
    session.add(source)
    session.flush()
    events.append(session, "source", source.id, "added", now=now, actor=actor, detail=ae_title)
    return source.id


def edit_source(
    session: Session,
    ae_title: str,
    *,
    now: datetime,
    actor: str,
    host: str | None = None,
    description: str | None = None,
    charset: str | None = None,
    enabled: bool | None = None,
) -> None:
    """Change the given columns of a source; what was received already stays as it was read."""
    row = session.scalar(select(Source).where(Source.ae_title == ae_title))
    if row is None:
        raise NotFound(f"There is no source {ae_title}.")
    changes = {"host": host, "description": description, "charset": charset, "enabled": enabled}
    given = {key: value for key, value in changes.items() if value is not None}
    for key, value in given.items():
        setattr(row, key, value)
    events.append(
        session,
        "source",
        row.id,
        "edited",
        now=now,
        actor=actor,
        detail=ae_title + ": " + ", ".join(f"{key}={value}" for key, value in given.items()),
    )


def remove_source(session: Session, ae_title: str, *, now: datetime, actor: str) -> None:
    source = session.scalar(select(Source).where(Source.ae_title == ae_title))
    if source is None:
        raise NotFound(f"There is no source {ae_title}.")
    session.delete(source)
    events.append(session, "source", source.id, "removed", now=now, actor=actor, detail=ae_title)


def add_destination(
    session: Session,
    name: str,
    *,
    ae_title: str,
    host: str,
    port: int,
    now: datetime,
    actor: str,
    commitment: bool = True,
    route_all: bool = False,
) -> int:
    """Add a destination; route_all: studies of every source go there.

    Raises ConfigurationError for a known name, an illegal AE title, host or port.
    """
    check_ae_title(ae_title)
    if not name.strip() or not host.strip() or not 1 <= port <= 65535:
        raise ConfigurationError("A destination needs a name, a host and a port of 1 to 65535.")
    if session.scalar(select(Destination.id).where(Destination.name == name)):
        raise ConfigurationError(f"The destination {name} exists already.")
    row = Destination(
        name=name, ae_title=ae_title, host=host, port=port, commitment=commitment, created_at=now
    )
    session.add(row)
    session.flush()
    events.append(
        session,
        "destination",
        row.id,
        "added",
        now=now,
        actor=actor,
        detail=f"{name}: {ae_title} at {host}:{port}",
    )
    if route_all:
        add_route(session, name, now=now, actor=actor)
    return row.id


def edit_destination(
    session: Session,
    name: str,
    *,
    now: datetime,
    actor: str,
    ae_title: str | None = None,
    host: str | None = None,
    port: int | None = None,
    commitment: bool | None = None,
    enabled: bool | None = None,
) -> None:
    """Change the given columns of a destination."""
    row = destination(session, name)
    if ae_title is not None:
        check_ae_title(ae_title)
    if port is not None and not 1 <= port <= 65535:
        raise ConfigurationError("A port is 1 to 65535.")
    changes = {
        "ae_title": ae_title,
        "host": host,
        "port": port,
        "commitment": commitment,
        "enabled": enabled,
    }
    given = {key: value for key, value in changes.items() if value is not None}
    for key, value in given.items():
        setattr(row, key, value)
    events.append(
        session,
        "destination",
        row.id,
        "edited",
        now=now,
        actor=actor,
        detail=", ".join(f"{key}={value}" for key, value in given.items()),
    )


def remove_destination(session: Session, name: str, *, now: datetime, actor: str) -> None:
    """Remove a destination that was never delivered to.

    Raises ConfigurationError if it has transfers: history is kept; disable it instead.
    """
    row = destination(session, name)
    if session.scalar(select(Transfer.id).where(Transfer.destination_id == row.id).limit(1)):
        raise ConfigurationError(f"{name} has transfers: disable it instead of removing it.")
    session.delete(row)
    events.append(session, "destination", row.id, "removed", now=now, actor=actor, detail=name)


def add_route(
    session: Session,
    destination_name: str,
    *,
    now: datetime,
    actor: str,
    source_ae_title: str | None = None,
) -> None:
    """Send studies of a source (None: of every source) to a destination from now on."""
    target = destination(session, destination_name)
    source_id: int | None = None
    if source_ae_title is not None:
        source_id = session.scalar(select(Source.id).where(Source.ae_title == source_ae_title))
        if source_id is None:
            raise NotFound(f"There is no source {source_ae_title}.")
    known = session.scalar(
        select(Route.id).where(
            Route.destination_id == target.id,
            Route.source_id.is_(None) if source_id is None else Route.source_id == source_id,
        )
    )
    if known is not None:
        raise ConfigurationError("This route exists already.")
    session.add(Route(source_id=source_id, destination_id=target.id, created_at=now))
    session.flush()
    events.append(
        session,
        "route",
        target.id,
        "added",
        now=now,
        actor=actor,
        detail=f"{source_ae_title or 'any source'} to {destination_name}",
    )


def remove_route(
    session: Session,
    destination_name: str,
    *,
    now: datetime,
    actor: str,
    source_ae_title: str | None = None,
) -> None:
    target = destination(session, destination_name)
    source_id = None
    if source_ae_title is not None:
        source_id = session.scalar(select(Source.id).where(Source.ae_title == source_ae_title))
    row = session.scalar(
        select(Route).where(
            Route.destination_id == target.id,
            Route.source_id.is_(None) if source_ae_title is None else Route.source_id == source_id,
        )
    )
    if row is None:
        raise NotFound("There is no such route.")
    session.delete(row)
    events.append(
        session,
        "route",
        target.id,
        "removed",
        now=now,
        actor=actor,
        detail=f"{source_ae_title or 'any source'} to {destination_name}",
    )


def record_echo(session: Session, name: str, *, ok: bool, detail: str, now: datetime) -> None:
    """Keep what the last C-ECHO to a destination said."""
    row = destination(session, name)
    row.echo_at, row.echo_ok, row.echo_detail = now, ok, detail[:400]


def send_now(
    session: Session, study_id: int, destination_name: str, *, now: datetime, actor: str
) -> int:
    """Plan the transfer of a ready study to a destination no route names; returns its id."""
    study = session.get(Study, study_id)
    if study is None or study.state is not StudyState.READY:
        raise NotFound(f"There is no ready study {study_id}.")
    target = destination(session, destination_name)
    return transfers.plan_one(session, study, target.id, now=now, actor=actor)


def destination(session: Session, name: str) -> Destination:
    """Return the row. Raises NotFound."""
    row = session.scalar(select(Destination).where(Destination.name == name))
    if row is None:
        raise NotFound(f"There is no destination {name}.")
    return row


def check_ae_title(ae_title: str) -> None:
    """Raise ConfigurationError unless it is 1 to 16 printable ASCII characters (PS3.5 6.2, AE)."""
    legal = (
        ae_title.isascii()
        and ae_title.isprintable()
        and "\\" not in ae_title
        and ae_title.strip() == ae_title
        and 1 <= len(ae_title) <= 16
    )
    if not legal:
        raise ConfigurationError(
            f"{ae_title!r} is not an AE title: 1 to 16 printable ASCII characters, no backslash."
        )
