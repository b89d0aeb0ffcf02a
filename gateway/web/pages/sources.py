"""Sources: who may send to us, who tried and was refused, and what came over the network."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, make_response, render_template, url_for
from flask.typing import ResponseReturnValue

from gateway.dicom import charsets
from gateway.errors import ConfigurationError
from gateway.ledger.queries import associations
from gateway.ledger.queries import registry as queries
from gateway.ledger.schema import Association
from gateway.ledger.transitions import registry as transitions
from gateway.model import AssociationOutcome
from gateway.web import typed
from gateway.web.answers import done, page
from gateway.web.reach import gateway, now
from gateway.web.signin import actor

blueprint = Blueprint("sources", __name__, url_prefix="/sources")

ASSOCIATIONS_SHOWN = 30
REFUSED_READ = 500


@dataclass(frozen=True)
class Refused:
    """An AE that was turned away, with its latest attempt. admissible: it is not a source yet."""

    ae_title: str
    called: str
    peer: str
    reason: str
    count: int
    at: datetime
    admissible: bool


@blueprint.get("/")
def index() -> ResponseReturnValue:
    return page("sources.html", fragments={"sources": "sources/_live.html"}, **_content())


@blueprint.post("/")
def add() -> ResponseReturnValue:
    form = {key: typed.text(key) for key in ("ae_title", "host", "description", "charset")}
    try:
        with gateway().ledger.transaction() as session:
            transitions.add_source(
                session, form["ae_title"], host=form["host"], description=form["description"],
                charset=charsets.normal_term(form["charset"]), now=now(), actor=actor(),
            )  # fmt: skip
    except ConfigurationError as error:
        text = render_template("sources.html", typed=form, fault=str(error), **_content())
        return make_response(text, 422)
    return done(f"{form['ae_title']} may send now.", url_for("sources.index"))


@blueprint.post("/admit")
def admit() -> ResponseReturnValue:
    """Make a refused AE a source."""
    ae_title = typed.text("ae_title")
    with gateway().ledger.transaction() as session:
        transitions.add_source(
            session, ae_title, now=now(), actor=actor(), description="admitted after it was refused"
        )
    return done(f"{ae_title} may send now; let it try again.", url_for("sources.index"))


@blueprint.post("/remove")
def remove() -> ResponseReturnValue:
    ae_title = typed.text("ae_title")
    with gateway().ledger.transaction() as session:
        transitions.remove_source(session, ae_title, now=now(), actor=actor())
    return done(f"{ae_title} may no longer send.", url_for("sources.index"))


def _content() -> dict[str, Any]:
    reach = gateway()
    with reach.ledger.reading() as session:
        sources = queries.sources(session)
        rejected = associations.latest(
            session, outcome=AssociationOutcome.REJECTED, limit=REFUSED_READ
        )
        latest = associations.latest(session, limit=ASSOCIATIONS_SHOWN)
    return {
        "sources": sources,
        "refused": refused(rejected, {one.ae_title for one in sources}),
        "associations": latest,
        "settings": reach.settings,
        "dicom_port": reach.dicom_port(),
    }


def refused(rejected: Sequence[Association], known: set[str]) -> list[Refused]:
    """Return one line for each refused AE. rejected: the latest first."""
    found: dict[str, Refused] = {}
    for one in rejected:
        before = found.get(one.calling_ae_title)
        latest = before or Refused(
            ae_title=one.calling_ae_title,
            called=one.called_ae_title,
            peer=one.peer,
            reason=one.reason,
            count=0,
            at=one.opened_at,
            admissible=one.calling_ae_title not in known,
        )
        found[one.calling_ae_title] = Refused(**{**vars(latest), "count": latest.count + 1})
    return list(found.values())
