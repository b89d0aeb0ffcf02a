"""What an orchestrator asks. Open to all, so they say nothing but yes and no."""

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from gateway.errors import LedgerUnavailable
from gateway.ledger import version
from gateway.web.reach import gateway

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Answer 200: the process serves requests."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
def readyz() -> ResponseReturnValue:
    """Answer 200 if the ledger answers and has the schema of this version, else 503."""
    ledger = gateway().ledger
    try:
        with ledger.reading():  # opens a connection, and says so in our words if it cannot
            current = version.is_current(ledger)
    except LedgerUnavailable:
        return jsonify(status="the ledger does not answer"), 503
    if not current:
        return jsonify(status="the ledger is older than this gateway: migrate it"), 503
    return jsonify(status="ok")
