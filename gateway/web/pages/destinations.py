"""Destinations: where studies go, whether they answer, and by which routes."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue

from gateway.errors import ConfigurationError, NotFound
from gateway.ledger.delivery_schema import Destination
from gateway.ledger.queries import registry as queries
from gateway.ledger.transitions import registry as transitions
from gateway.web import typed
from gateway.web.answers import done, page
from gateway.web.echo import echo
from gateway.web.reach import gateway, now
from gateway.web.signin import actor

blueprint = Blueprint("destinations", __name__, url_prefix="/destinations")


NAME_MAX = 64


@dataclass(frozen=True)
class Form:
    """What was typed; kept when it is refused."""

    name: str = ""
    ae_title: str = ""
    host: str = ""
    port: str = "104"
    commitment: bool = True
    route_all: bool = True

    @classmethod
    def posted(cls) -> "Form":
        text = {key: typed.text(key) for key in ("ae_title", "host", "port")}
        text["name"] = typed.text("name", NAME_MAX)
        return cls(
            **text, commitment="commitment" in request.form, route_all="route_all" in request.form
        )

    def port_number(self) -> int:
        """Raises ConfigurationError unless it is a number; the ledger checks its range."""
        if not self.port.isascii() or not self.port.isdigit() or len(self.port) > 5:
            raise ConfigurationError("A port is a number from 1 to 65535.")
        return int(self.port)


@blueprint.get("/")
def index() -> ResponseReturnValue:
    return page(
        "destinations.html",
        fragments={"destinations": "destinations/_live.html"},
        **_content(),
    )


@blueprint.get("/new")
def new() -> ResponseReturnValue:
    return page("destination_form.html", form=Form(), known=None)


@blueprint.post("/new")
def add() -> ResponseReturnValue:
    form = Form.posted()
    try:
        with gateway().ledger.transaction() as session:
            transitions.add_destination(
                session,
                form.name,
                ae_title=form.ae_title,
                host=form.host,
                port=form.port_number(),
                commitment=form.commitment,
                route_all=form.route_all,
                now=now(),
                actor=actor(),
            )
    except ConfigurationError as error:
        return _refused(form, None, error)
    return done(f"{form.name} is added. Try it with Echo.", url_for("destinations.index"))


@blueprint.get("/<row:destination_id>/edit")
def edit(destination_id: int) -> ResponseReturnValue:
    known = _by_id(destination_id)
    form = Form(known.name, known.ae_title, known.host, str(known.port), known.commitment)
    return page("destination_form.html", form=form, known=known)


@blueprint.post("/<row:destination_id>/edit")
def change(destination_id: int) -> ResponseReturnValue:
    known, form = _by_id(destination_id), Form.posted()
    try:
        if not form.host:
            raise ConfigurationError("A destination needs a host.")
        _edit(
            known,
            ae_title=form.ae_title,
            host=form.host,
            port=form.port_number(),
            commitment=form.commitment,
        )
    except ConfigurationError as error:
        return _refused(form, known, error)
    return done(f"{known.name} is changed.", url_for("destinations.index"))


@blueprint.post("/<row:destination_id>/<any(enable, disable):action>")
def switch(destination_id: int, action: str) -> ResponseReturnValue:
    known = _by_id(destination_id)
    _edit(known, enabled=action == "enable")
    words = "receives again" if action == "enable" else "receives nothing until it is enabled"
    return done(f"{known.name} {words}.", url_for("destinations.index"))


@blueprint.post("/<row:destination_id>/remove")
def remove(destination_id: int) -> ResponseReturnValue:
    known = _by_id(destination_id)
    with gateway().ledger.transaction() as session:
        transitions.remove_destination(session, known.name, now=now(), actor=actor())
    return done(f"{known.name} is removed.", url_for("destinations.index"))


@blueprint.post("/<row:destination_id>/echo")
def ask(destination_id: int) -> ResponseReturnValue:
    reach, known = gateway(), _by_id(destination_id)
    result = echo(
        calling=reach.settings.ae_title, called=known.ae_title, host=known.host, port=known.port
    )
    with reach.ledger.transaction() as session:
        transitions.record_echo(session, known.name, ok=result.ok, detail=result.detail, now=now())
    words = "answers" if result.ok else "does not answer"
    return done(
        f"{known.name} {words}. {result.detail}",
        url_for("destinations.index"),
        level="success" if result.ok else "error",
    )


@blueprint.post("/routes/<any(add, remove):action>")
def route(action: str) -> ResponseReturnValue:
    name = typed.text("destination", NAME_MAX)
    source = typed.text("source") or None
    transition = transitions.add_route if action == "add" else transitions.remove_route
    with gateway().ledger.transaction() as session:
        transition(session, name, source_ae_title=source, now=now(), actor=actor())
    verb = "go" if action == "add" else "no longer go"
    return done(
        f"Studies of {source or 'every source'} {verb} to {name}.", url_for("destinations.index")
    )


def _content() -> dict[str, Any]:
    with gateway().ledger.reading() as session:
        return {
            "destinations": queries.destinations(session),
            "routes": queries.routes(session),
            "sources": queries.sources(session),
        }


def _by_id(destination_id: int) -> Destination:
    with gateway().ledger.reading() as session:
        for one in queries.destinations(session):
            if one.id == destination_id:
                return one
    raise NotFound(f"There is no destination {destination_id}.")


def _edit(known: Destination, **changes: Any) -> None:
    with gateway().ledger.transaction() as session:
        transitions.edit_destination(session, known.name, now=now(), actor=actor(), **changes)


def _refused(
    form: Form, known: Destination | None, error: ConfigurationError
) -> ResponseReturnValue:
    text = render_template("destination_form.html", form=form, known=known, fault=str(error))
    return make_response(text, 422)
