"""Who may send, who receives, and which way studies go."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from gateway import routing
from gateway.errors import ConfigurationError, NotFound
from gateway.ledger import events
from gateway.ledger.delivery_schema import Capability, Destination, Route
from gateway.ledger.schema import Source, Study, Transfer
from gateway.ledger.transitions import planning
from gateway.model import DestinationKind, StudyState, Truth
from gateway.profile import FIELDS, NOT_AN_AE_TITLE, check, is_ae_title

NAME_MAX = 64


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
    now: datetime,
    actor: str,
    route_all: bool = False,
    **profile: object,
) -> int:
    """Add a destination; route_all: studies of every source go there.

    profile: fields of gateway.profile.Profile. Without Storage Commitment and unless said
    otherwise, a delivery there is done when it is acknowledged.
    Raises ConfigurationError for a known name or a bad profile.
    """
    if not name.strip() or len(name) > NAME_MAX:
        raise ConfigurationError(f"A destination needs a name of up to {NAME_MAX} characters.")
    if session.scalar(select(Destination.id).where(Destination.name == name)):
        raise ConfigurationError(f"The destination {name} exists already.")
    wanted = check(_weakened(profile, profile))
    row = Destination(name=name, created_at=now, **wanted.model_dump())
    session.add(row)
    session.flush()
    where = wanted.base_url or f"{wanted.ae_title} at {wanted.host}:{wanted.port}"
    events.append(
        session, "destination", row.id, "added", now=now, actor=actor, detail=f"{name}: {where}"
    )
    if route_all:
        add_route(session, name, now=now, actor=actor)
    return row.id


def edit_destination(
    session: Session, name: str, *, now: datetime, actor: str, **changes: object
) -> None:
    """Change the given fields of a destination's profile; None leaves a field as it is.

    Raises ConfigurationError if the profile would not hold together.
    """
    row = destination(session, name)
    given = {key: value for key, value in changes.items() if value is not None}
    before = {field: getattr(row, field) for field in FIELDS}
    wanted = check(_weakened({**before, **given}, given)).model_dump()
    for key, value in wanted.items():
        setattr(row, key, value)
    if wanted["ae_title"] != before["ae_title"] or wanted["host"] != before["host"]:
        row.probed_at, row.probe_detail = None, ""  # what the other one could says nothing
        session.execute(delete(Capability).where(Capability.destination_id == row.id))
    changed = {key: value for key, value in wanted.items() if value != before[key]}
    events.append(
        session,
        "destination",
        row.id,
        "edited",
        now=now,
        actor=actor,
        detail=", ".join(f"{key}={value}" for key, value in changed.items()),
    )


def _weakened(profile: Mapping[str, object], given: Mapping[str, object]) -> dict[str, object]:
    """Let what a delivery has to reach follow from whether commitment is asked for."""
    dicomweb = profile.get("kind") == DestinationKind.DICOMWEB
    asked = profile.get("commitment", True) not in (False, "false", "no", "0") and not dicomweb
    said = profile.get("green_at", Truth.COMMITTED)
    if "green_at" in given or (said == Truth.COMMITTED) is asked or said == Truth.VERIFIED:
        return dict(profile)
    return {**profile, "green_at": Truth.COMMITTED if asked else Truth.ACKNOWLEDGED}


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
    conditions: Mapping[str, str] | None = None,
) -> int:
    """Send studies of a source (None: of every source) to a destination from now on.

    conditions: see gateway.routing.check. Raises NotFound, ConfigurationError.
    """
    target = destination(session, destination_name)
    source_id = None if source_ae_title is None else _source_id(session, source_ae_title)
    checked = routing.check(conditions or {})
    for known in _routes(session, target.id, source_id):
        if known.conditions == checked:
            raise ConfigurationError("This route exists already.")
    row = Route(source_id=source_id, destination_id=target.id, conditions=checked, created_at=now)
    session.add(row)
    session.flush()
    detail = _in_words(source_ae_title, destination_name, checked)
    events.append(session, "route", target.id, "added", now=now, actor=actor, detail=detail)
    return row.id


def remove_route(
    session: Session,
    destination_name: str,
    *,
    now: datetime,
    actor: str,
    source_ae_title: str | None = None,
    route_id: int | None = None,
) -> None:
    """Remove a route: the one with this id, or every one from this source. Raises NotFound."""
    target = destination(session, destination_name)
    source_id = None if source_ae_title is None else _source_id(session, source_ae_title)
    if route_id is not None:
        rows = list(session.scalars(select(Route).where(Route.id == route_id)))
    else:
        rows = _routes(session, target.id, source_id)
    if not rows:
        raise NotFound("There is no such route.")
    for row in rows:
        session.delete(row)
        detail = _in_words(source_ae_title, destination_name, row.conditions)
        events.append(session, "route", target.id, "removed", now=now, actor=actor, detail=detail)


def _source_id(session: Session, ae_title: str) -> int:
    source_id = session.scalar(select(Source.id).where(Source.ae_title == ae_title))
    if source_id is None:
        raise NotFound(f"There is no source {ae_title}.")
    return source_id


def _routes(session: Session, destination_id: int, source_id: int | None) -> list[Route]:
    return list(
        session.scalars(
            select(Route).where(
                Route.destination_id == destination_id,
                Route.source_id.is_(None) if source_id is None else Route.source_id == source_id,
            )
        )
    )


def _in_words(source: str | None, destination_name: str, conditions: Mapping[str, str]) -> str:
    # Patterns may name a patient; events hold no patient data.
    where = f" where {', '.join(conditions)} match" if conditions else ""
    return f"{source or 'any source'} to {destination_name}{where}"


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
    return planning.plan_one(session, study, target.id, now=now, actor=actor)


def destination(session: Session, name: str) -> Destination:
    """Return the row. Raises NotFound."""
    row = session.scalar(select(Destination).where(Destination.name == name))
    if row is None:
        raise NotFound(f"There is no destination {name}.")
    return row


def check_ae_title(ae_title: str) -> None:
    """Raise ConfigurationError unless it is 1 to 16 printable ASCII characters (PS3.5 6.2, AE)."""
    if not is_ae_title(ae_title):
        raise ConfigurationError(NOT_AN_AE_TITLE.format(ae_title) + ".")
