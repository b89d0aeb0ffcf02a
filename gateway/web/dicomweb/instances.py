"""WADO-RS (PS3.18 10.4): studies, series and instances as DICOM, their metadata and bulk data."""

import hashlib
import json
import zlib
from collections.abc import Iterator
from io import BytesIO

from flask import Blueprint, Response, request, stream_with_context
from flask.typing import ResponseReturnValue
from pydicom import Dataset
from werkzeug.exceptions import NotAcceptable

from gateway import log
from gateway.dicom import data_set, identity, part10
from gateway.dicom.header import DEFLATED, PIXEL_DATA
from gateway.dicom.storage_classes import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from gateway.errors import GatewayError, IntegrityError, NoPixelData, NotFound, Undecodable
from gateway.holdings.frames import Span
from gateway.holdings.rewritten import DOCUMENT_BYTES_MAX, Rewritten, require_undamaged
from gateway.holdings.selection import Item, Selection
from gateway.packs import reading
from gateway.web.dicomweb import accept, bodies, model
from gateway.web.dicomweb.accept import Form
from gateway.web.dicomweb.reach import Address, services

blueprint = Blueprint("instances", __name__)

_logger = log.get(__name__)
_UNTIL_THE_END = 1 << 32


@blueprint.get("/studies/<uid:study>")
@blueprint.get("/studies/<uid:study>/series/<uid:series>")
@blueprint.get("/studies/<uid:study>/series/<uid:series>/instances/<uid:instance>")
def retrieve(study: str, series: str = "", instance: str = "") -> ResponseReturnValue:
    """Answer with Part 10 files. What has no acceptable form is left out: then it is a 206."""
    wanted = accept.choices(request.headers.getlist("Accept"))
    selection = services().selection(Address(study, series, instance))
    forms = {
        (sop_class, syntax): accept.instance_form(wanted, syntax)
        for sop_class, syntax in selection.kinds()
    }
    usable = {kind: form for kind, form in forms.items() if form is not None}
    if not usable:
        raise NotAcceptable("These instances have none of the forms that are accepted.")
    if instance and not next(iter(usable.values())).multipart:
        return _single(next(iter(selection)), next(iter(usable.values())))
    if not all(form.multipart for form in usable.values()):
        raise NotAcceptable("Several instances are given as multipart/related.")
    response = bodies.multipart(accept.DICOM, _files(selection, usable, study))
    response.status_code = 200 if len(usable) == len(forms) else 206
    return response


@blueprint.get("/studies/<uid:study>/metadata")
@blueprint.get("/studies/<uid:study>/series/<uid:series>/metadata")
@blueprint.get("/studies/<uid:study>/series/<uid:series>/instances/<uid:instance>/metadata")
def metadata(study: str, series: str = "", instance: str = "") -> ResponseReturnValue:
    if not accept.takes_json(accept.choices(request.headers.getlist("Accept"))):
        raise NotAcceptable("Metadata is given as application/dicom+json.")
    selection = services().selection(Address(study, series, instance))
    body = stream_with_context(_listed(selection, study))
    return Response(body, content_type=accept.JSON)


@blueprint.get(
    "/studies/<uid:study>/series/<uid:series>/instances/<uid:instance>/bulkdata/<tag:tag>"
)
def bulk_data(study: str, series: str, instance: str, tag: str) -> ResponseReturnValue:
    """Answer with a value that the metadata gave by its address."""
    wanted = accept.choices(request.headers.getlist("Accept"))
    address = Address(study, series, instance)
    item = services().item(address)
    if int(tag, 16) == PIXEL_DATA:
        return _pixel_data(item, address)
    ds = _data_set(item)
    element = ds.get_item(int(tag, 16))
    value = element.value if element is not None else None
    if not isinstance(value, bytes | str):
        raise NotFound("There is no such value in this instance.")
    content = value.encode() if isinstance(value, str) else value
    choice = next((one for one in wanted if one.is_any or one.media_type == accept.OCTETS), None)
    if choice is None:
        raise NotAcceptable("A value is given as application/octet-stream.")
    if choice.multipart and not choice.is_any:
        return bodies.multipart(accept.OCTETS, [(accept.OCTETS, "", [content])])
    return Response(content, content_type=accept.OCTETS)


def _pixel_data(item: Item, address: Address) -> Response:
    table = services().tables.of(item.place)
    if not table.encapsulated:
        size = int(table.ends[-1] - table.starts[0])
        return bodies.range_of_file(Span(table.path, int(table.starts[0]), size), accept.OCTETS)
    media_type = accept.IMAGE_TYPES.get(table.transfer_syntax_uid, accept.OCTETS)
    kind = f"{media_type}; transfer-syntax={table.transfer_syntax_uid}"
    frames = ((kind, "", [table.read(one)]) for one in range(len(table)))
    return bodies.multipart(media_type, frames)


def _single(item: Item, form: Form) -> Response:
    kind = f"{accept.DICOM}; transfer-syntax={form.transfer_syntax}"
    if not form.stored:
        return Response(_rewritten(item, form.transfer_syntax), content_type=kind)
    home = services().held.settings.home
    require_undamaged(home, item.place, item.digest)
    place = item.place
    span = Span(home / place.storage_key, place.offset_bytes, place.size_bytes)
    return bodies.range_of_file(span, kind)


def _files(
    selection: Selection, forms: dict[tuple[str, str], Form], study: str
) -> Iterator[tuple[str, str, Iterator[bytes]]]:
    for item in selection:
        one = item.instance
        form = forms.get((one.sop_class_uid, one.transfer_syntax_uid))
        if form is not None:
            pieces = _stored(item) if form.stored else _rewritten(item, form.transfer_syntax)
            yield f"{accept.DICOM}; transfer-syntax={form.transfer_syntax}", "", pieces


def _stored(item: Item) -> Iterator[bytes]:
    """Yield a file as it lies there. Raises IntegrityError before the last piece if it differs:
    then the body ends too early, which no client takes for whole."""
    place, found = item.place, hashlib.sha256()
    path = services().held.settings.home / place.storage_key
    last = b""
    for piece in reading.pieces(path, place.offset_bytes, place.size_bytes):
        if last:
            yield last
        found.update(piece)
        last = piece
    if found.hexdigest() != item.digest:
        raise IntegrityError(f"The stored bytes of {item.instance.sop_instance_uid} differ.")
    yield last


def _rewritten(item: Item, transfer_syntax_uid: str) -> Iterator[bytes]:
    home, one = services().held.settings.home, item.instance
    require_undamaged(home, item.place, item.digest)
    body = Rewritten(home, item.place, implicit=transfer_syntax_uid == IMPLICIT_LITTLE)
    meta = part10.encode_file_meta(
        sop_class_uid=one.sop_class_uid,
        sop_instance_uid=one.sop_instance_uid,
        transfer_syntax_uid=transfer_syntax_uid,
    )
    return _chained(meta, body.pieces())


def _chained(first: bytes, more: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from more


def _listed(selection: Selection, study: str) -> Iterator[bytes]:
    between = b"["
    for item in selection:
        try:
            found = _described(item, study)
        except GatewayError as error:  # of one instance; the others are still told
            uid = item.instance.sop_instance_uid
            _logger.error("dicomweb.metadata", instance=uid, code=error.code, error=str(error))
            continue
        yield between + json.dumps(found, ensure_ascii=False).encode()
        between = b","
    yield b"[]" if between == b"[" else b"]"


def _described(item: Item, study: str) -> model.Json:
    ds = _data_set(item)
    uid = item.instance.sop_instance_uid
    series = str(ds.get("SeriesInstanceUID", ""))
    bulk = f"{Address(study, series, uid).url()}/bulkdata/"
    found = model.data_set(ds, lambda tag: f"{bulk}{tag:08X}")
    syntax = item.instance.transfer_syntax_uid
    found["00083002"] = {"vr": "UI", "Value": [syntax]}
    try:
        table = services().tables.of(item.place)
    except NoPixelData:
        return dict(sorted(found.items()))
    vr = "OW" if not table.encapsulated and ds.get("BitsAllocated", 8) > 8 else "OB"
    found["7FE00010"] = {"vr": vr, "BulkDataURI": f"{bulk}7FE00010"}
    return dict(sorted(found.items()))


def _data_set(item: Item) -> Dataset:
    """Return what stands before the pixel data. Raises IntegrityError, StorageError."""
    place, uid = item.place, item.instance.sop_instance_uid
    try:
        table = services().tables.of(place)
        content, syntax, until = table.head(), table.transfer_syntax_uid, PIXEL_DATA
    except NoPixelData:
        path = services().held.settings.home / place.storage_key
        size = min(place.size_bytes, DOCUMENT_BYTES_MAX)
        content = reading.read_range(path, place.offset_bytes, size)
        syntax, until = item.instance.transfer_syntax_uid, _UNTIL_THE_END
        content = content[_meta_size(content, uid) :]
    try:
        if syntax == DEFLATED:
            unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
            content, syntax = unpacker.decompress(content, DOCUMENT_BYTES_MAX), EXPLICIT_LITTLE
        return data_set.read(BytesIO(content), syntax, until=until)
    except identity.UNREADABLE as error:
        raise IntegrityError(f"{uid} cannot be read: {error}") from error


def _meta_size(content: bytes, uid: str) -> int:
    try:
        return part10.parse_file_meta(content).data_set_offset
    except Undecodable as error:
        raise IntegrityError(f"{uid} cannot be read: {error}") from error
