"""QIDO-RS (PS3.18 10.6): the matching of C-FIND, answered in JSON."""

import json
from collections.abc import Iterator
from itertools import islice

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotAcceptable

from gateway.holdings.keys import Level
from gateway.holdings.query import Query, Value
from gateway.web.dicomweb import accept, asking, model
from gateway.web.dicomweb.asking import Asked
from gateway.web.dicomweb.reach import Address, services

blueprint = Blueprint("query", __name__)

_MORE = "There are additional results that can be requested."


@blueprint.get("/studies")
def studies() -> ResponseReturnValue:
    return _answer(Level.STUDY)


@blueprint.get("/series")
@blueprint.get("/studies/<uid:study>/series")
def series(study: str = "") -> ResponseReturnValue:
    return _answer(Level.SERIES, study=study)


@blueprint.get("/instances")
@blueprint.get("/studies/<uid:study>/instances")
@blueprint.get("/studies/<uid:study>/series/<uid:series>/instances")
def instances(study: str = "", series: str = "") -> ResponseReturnValue:
    return _answer(Level.IMAGE, study=study, series=series)


def _answer(level: Level, *, study: str = "", series: str = "") -> ResponseReturnValue:
    if not accept.takes_json(accept.choices(request.headers.getlist("Accept"))):
        raise NotAcceptable("Matches are given as application/dicom+json.")
    path = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
    asked = asking.read(
        level, {name: uid for name, uid in path.items() if uid}, request.args.items(multi=True)
    )
    most = services().held.settings.query_matches_max
    limit = most if asked.limit is None else min(asked.limit, most)
    found = _matches(asked, limit + 1)
    warnings = list(asked.warnings)
    if asked.limit is None or asked.limit > most:
        # Whether there are more has to be said first: what is said then is bounded by `most`.
        every = list(found)
        if len(every) > limit:
            warnings.append(_MORE)
        found = iter(every)
    first = next(found, None) if limit else None
    if first is None:
        response = Response(status=204)
    else:
        response = Response(
            _listed(first, islice(found, limit - 1)), content_type="application/dicom+json"
        )
    for words in warnings:
        response.headers.add("Warning", f'299 capsule-gateway "{words}"')
    return response


def _matches(asked: Asked, count: int) -> Iterator[bytes]:
    held = services().held
    query = Query(held.settings, held.ledger, held.headers, asked.identifier, combined=True)
    for value in islice(query.matches(), asked.offset, asked.offset + count):
        address = _address(value, asked.identifier.level).url()
        yield json.dumps(model.match(value, asked.fields, address), ensure_ascii=False).encode()


def _listed(first: bytes, more: Iterator[bytes]) -> Iterator[bytes]:
    yield b"[" + first
    for one in more:
        yield b"," + one
    yield b"]"


def _address(value: Value, level: Level) -> Address:
    names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")[: int(level)]
    return Address(*(next(iter(value(name)), "") for name in names))
