"""Quarantine: instances a human should look at, and why."""

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gateway.errors import NotFound
from gateway.ledger.queries import studies as queries
from gateway.web.answers import page
from gateway.web.reach import gateway

blueprint = Blueprint("quarantine", __name__, url_prefix="/quarantine")

ROWS_MAX = 200


@blueprint.get("/")
def index() -> ResponseReturnValue:
    with gateway().ledger.reading() as session:
        rows = queries.quarantine(session, limit=ROWS_MAX)
        studies = {}
        for uid in {row.study_instance_uid for row in rows if row.study_instance_uid}:
            try:
                studies[uid] = queries.by_uid(session, uid)
            except NotFound:  # refused instances may be all there ever was of a study
                continue
    return page(
        "quarantine.html",
        fragments={"quarantine": "quarantine/_live.html"},
        rows=rows,
        rows_max=ROWS_MAX,
        studies=studies,
    )
