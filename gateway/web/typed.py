"""What a request asks for, made harmless before it reaches the ledger."""

from flask import request
from werkzeug.routing import IntegerConverter

ROW_ID_MAX = (1 << 31) - 1
"""What an INTEGER column of PostgreSQL holds; more is not a row that could exist."""
PAGE_MAX = 1_000_000


class RowConverter(IntegerConverter):
    """A row id in an address: <row:study_id>. Anything beyond is a 404 without a question."""

    def __init__(self, map: object) -> None:  # noqa: A002 - the library's name for it
        super().__init__(map, max=ROW_ID_MAX)  # type: ignore[arg-type]


def text(name: str, length_max: int = 255) -> str:
    """Return a field of the posted form: one line, without control characters."""
    posted = request.form.get(name, "")
    return "".join(one for one in posted if one.isprintable()).strip()[:length_max]


def page_number() -> int:
    """Return which page of a list is asked for, from 1 on."""
    return min(max(1, request.args.get("page", 1, type=int)), PAGE_MAX)
