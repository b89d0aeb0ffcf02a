"""The part of every page that leads to the others, and says what wants attention."""

from dataclasses import dataclass

from flask import Blueprint, render_template

from gateway.ledger.queries import studies, transfers
from gateway.model import StudyState, TransferState
from gateway.web.reach import gateway

blueprint = Blueprint("nav", __name__)


@dataclass(frozen=True)
class Attention:
    """How many need an operator."""

    studies: int
    transfers: int


@blueprint.get("/nav")
def show() -> str:
    return render_template("_nav.html").strip()


def attention() -> Attention:
    with gateway().ledger.reading() as session:
        return Attention(
            studies.count_by_state(session).get(StudyState.FAILED, 0),
            transfers.count_by_state(session).get(TransferState.FAILED, 0),
        )
