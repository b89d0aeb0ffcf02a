"""STOW-RS (PS3.18 10.5): the same reception as C-STORE, into the same packs.

What is answered as stored is durable. A request is an association of its own in the ledger; a
client that sends again what it is not sure of finds it known.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from flask import Blueprint, Response, current_app, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest, ServiceUnavailable, UnsupportedMediaType
from werkzeug.http import parse_options_header

from gateway import log
from gateway.dicom import header, part10, uids
from gateway.dicom.part10 import FileMeta
from gateway.dicom.storage_classes import STORAGE_CLASSES, TRANSFER_SYNTAXES
from gateway.errors import Interrupted, QueryInvalid, Undecodable
from gateway.importing.keeping import LocalAssociation, Offer, is_kept
from gateway.scp.presence import Presence
from gateway.status import CANNOT_UNDERSTAND
from gateway.web.dicomweb import accept, model
from gateway.web.dicomweb.access import caller
from gateway.web.dicomweb.parts import Part, PartReader
from gateway.web.dicomweb.reach import Address, services

blueprint = Blueprint("storing", __name__)

KEY = "capsule-gateway.dicomweb.presence"
PARTS_MAX = 20_000
"""Of one request: some more than a colon capsule takes in an hour."""
BEGINNING_BYTES = 1 << 20
"""Read of a part before it is begun: what names it stands there."""
CLASS_NOT_SUPPORTED, DOES_NOT_MATCH = 0x0122, 0xA900
RETRY_S = 30

_logger = log.get(__name__)


class Receiving:
    """The name under which this process receives: taken when something is first stored."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._presence: Presence | None = None

    def presence(self) -> Presence:
        with self._lock:
            if self._presence is None:
                self._presence = Presence(services().held.settings)
            return self._presence


@dataclass(frozen=True)
class _Outcome:
    """What became of one part. status: 0 is stored."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    status: int


@blueprint.post("/studies")
@blueprint.post("/studies/<uid:study>")
def store(study: str = "") -> ResponseReturnValue:
    reader = _reader()
    held, receiving = services().held, current_app.extensions[KEY]
    outcomes: list[_Outcome] = []
    try:
        with LocalAssociation(
            held.settings, held.ledger, now=held.now,
            caller=(caller(), f"http {request.remote_addr}"[:64]), presence=receiving.presence(),
        ) as association:  # fmt: skip
            for count, part in enumerate(reader.parts()):
                if count >= PARTS_MAX:
                    raise QueryInvalid(f"One request brings {PARTS_MAX} instances at most.")
                outcomes.append(_keep(association, part, study))
    except Interrupted as error:
        _logger.error("dicomweb.store", error=str(error))
        raise ServiceUnavailable(str(error), retry_after=RETRY_S) from error
    if not outcomes:
        raise BadRequest("There is no instance in this request.")
    return _answer(outcomes, study)


def _reader() -> PartReader:
    """Return the parts of the request. Raises UnsupportedMediaType, QueryInvalid."""
    kind, options = parse_options_header(request.headers.get("Content-Type", ""))
    inner = options.get("type", accept.DICOM).lower()
    if kind != "multipart/related" or inner != accept.DICOM:
        raise UnsupportedMediaType("Instances come as multipart/related of application/dicom.")
    request.max_content_length = None  # a study is larger than a form; each instance has a limit
    return PartReader(request.stream.read, options.get("boundary", ""))


def _keep(association: LocalAssociation, part: Part, study: str) -> _Outcome:
    """Keep one instance, or say why not. Raises Interrupted, QueryInvalid."""
    kind, _ = parse_options_header(part.content_type)
    beginning = bytearray()
    for piece in part.pieces:
        beginning += piece
        if len(beginning) >= BEGINNING_BYTES:
            break
    try:
        meta = part10.parse_file_meta(bytes(beginning))
        if kind and kind != accept.DICOM:
            raise Undecodable("A part is no application/dicom.")
    except Undecodable:
        return _Outcome("", "", "", "", CANNOT_UNDERSTAND)
    study_uid, series_uid = _belongs_to(beginning, meta)
    status = _refused(meta)
    if not status and study and study_uid != study:
        status = DOES_NOT_MATCH
    if not status:
        pieces = _data_set(memoryview(beginning)[meta.data_set_offset :], part.pieces)
        offer = Offer(meta.sop_class_uid, meta.sop_instance_uid, meta.transfer_syntax_uid, pieces)
        (answer,) = association.keep([offer])
        status = 0 if is_kept(answer) else answer[0]
    return _Outcome(meta.sop_class_uid, meta.sop_instance_uid, study_uid, series_uid, status)


def _data_set(beginning: memoryview, rest: Iterator[bytes]) -> Iterator[bytes | memoryview]:
    yield beginning
    yield from rest


def _refused(meta: FileMeta) -> int:
    """Return why an instance cannot be taken, as C-STORE's negotiation would; 0 if it can."""
    if meta.sop_class_uid not in STORAGE_CLASSES:
        return CLASS_NOT_SUPPORTED
    return 0 if meta.transfer_syntax_uid in TRANSFER_SYNTAXES else CANNOT_UNDERSTAND


def _belongs_to(beginning: bytearray, meta: FileMeta) -> tuple[str, str]:
    """Return Study and Series Instance UID; empty if they cannot be told."""
    try:
        found = header.read(
            bytes(beginning[meta.data_set_offset :]), meta.transfer_syntax_uid, cut=True
        )
    except Undecodable:
        return "", ""
    return found.text(header.STUDY_INSTANCE_UID), found.text(header.SERIES_INSTANCE_UID)


def _answer(outcomes: list[_Outcome], study: str) -> Response:
    """Answer by PS3.18 10.5.3 and Table I.2-1."""
    stored = [one for one in outcomes if not one.status]
    failed = [one for one in outcomes if one.status]
    body: model.Json = {}
    studies = {one.study_instance_uid for one in stored}
    if study or len(studies) == 1:
        url = Address(study or studies.pop()).url()
        body["00081190"] = {"vr": "UR", "Value": [url]}
    if failed:
        items = [{**_reference(one), "00081197": _number(one.status)} for one in failed]
        body["00081198"] = {"vr": "SQ", "Value": items}
    if stored:
        body["00081199"] = {"vr": "SQ", "Value": [_stored(one) for one in stored]}
    response = jsonify(body)
    response.status_code = 200 if not failed else 202 if stored else 409
    response.content_type = accept.JSON
    return response


def _stored(one: _Outcome) -> model.Json:
    address = Address(one.study_instance_uid, one.series_instance_uid, one.sop_instance_uid)
    return {**_reference(one), "00081190": {"vr": "UR", "Value": [address.url()]}}


def _reference(one: _Outcome) -> model.Json:
    """Name an instance, if what should name it is a UID."""
    named = {"00081150": one.sop_class_uid, "00081155": one.sop_instance_uid}
    return {tag: {"vr": "UI", "Value": [uid]} for tag, uid in named.items() if uids.is_valid(uid)}


def _number(value: int) -> model.Json:
    return {"vr": "US", "Value": [value]}
