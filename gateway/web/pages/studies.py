"""The list of studies: what is here, and how far each one is."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from gateway.ledger.queries import disk, registry
from gateway.ledger.queries import studies as queries
from gateway.ledger.queries import transfers as transfer_queries
from gateway.model import ItemState, StudyState, TransferState
from gateway.web import typed
from gateway.web.answers import page
from gateway.web.completeness import judge
from gateway.web.reach import gateway
from gateway.web.steps import bars, last_activity, standing

blueprint = Blueprint("studies", __name__)

PAGE_ROWS = 50
_DONE = (ItemState.ACKNOWLEDGED, ItemState.COMMITTED)


@blueprint.route("/", methods=["GET", "POST"])
def index() -> ResponseReturnValue:
    """Show the list. A search is posted: it holds names, which have no place in an address."""
    search = typed.text("search", 64)
    state = state_of(request.args.get("state", ""))
    number = typed.page_number()
    return page(
        "studies.html",
        fragments={"studies": "studies/_live.html"},
        search=search,
        state=state,
        states=list(StudyState),
        number=number,
        page_rows=PAGE_ROWS,
        **_content(search, state, number),
    )


def state_of(value: str) -> StudyState | None:
    return StudyState(value) if value in tuple(StudyState) else None


def _row(line: queries.StudyLine, items: Mapping[int, tuple[int, int]]) -> dict[str, Any]:
    steps = bars(line, items)
    return {
        "line": line,
        "study": line.study,
        "bars": steps,
        "standing": standing(steps, line),
        "completeness": judge(line.study.report),
        "at": last_activity(line),
    }


def _content(search: str, state: StudyState | None, number: int) -> dict[str, Any]:
    reach = gateway()
    with reach.ledger.reading() as session:
        lines = queries.lines(
            session,
            search=search,
            state=state,
            limit=PAGE_ROWS,
            offset=(number - 1) * PAGE_ROWS,
        )
        wanted = [one.id for line in lines for one in line.transfers]
        items = {
            transfer_id: (sum(counts.get(one, 0) for one in _DONE), sum(counts.values()))
            for transfer_id, counts in transfer_queries.item_counts(session, wanted).items()
        }
        rows = [_row(line, items) for line in lines]
        by_state = queries.count_by_state(session)
        transfers = transfer_queries.count_by_state(session)
        return {
            "rows": rows,
            "total": queries.count(session, search=search, state=state),
            "by_state": by_state,
            "study_count": sum(by_state.values()),
            "transfers": {one: transfers.get(one, 0) for one in TransferState},
            "source_count": registry.source_count(session),
            "destination_count": len(registry.destinations(session)),
            "disk": disk.latest(session),
            "settings": reach.settings,
            "dicom_port": reach.dicom_port(),
        }
