"""WADO-RS (PS3.18 10.4.1.1.6, 10.4.1.1.3): frames, as they are stored or as pictures."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotAcceptable

from gateway.dicom.header import IMPLICIT_LITTLE
from gateway.dicom.image import Image
from gateway.dicom.storage_classes import EXPLICIT_LITTLE, JPEG_BASELINE
from gateway.errors import NoPixelData, NotFound, QueryInvalid
from gateway.holdings.frames import FrameTable
from gateway.holdings.rewritten import picture, uncompressed
from gateway.holdings.selection import Item
from gateway.web.dicomweb import accept, bodies
from gateway.web.dicomweb.accept import Form
from gateway.web.dicomweb.reach import Address, services

blueprint = Blueprint("frames", __name__)

FRAMES_MAX = 100_000
"""Of one request: they are read one by one as they leave."""
THUMBNAIL = 160
SIDE_MAX = 4096
_QUALITIES = frozenset(map(str, range(1, 101)))
_RANGE = re.compile(r"(\d{1,7})(?:-(\d{1,7}))?", re.ASCII)
_INSTANCE = "/studies/<uid:study>/series/<uid:series>/instances/<uid:instance>"


@blueprint.get(f"{_INSTANCE}/frames/<numbers>")
def frames(study: str, series: str, instance: str, numbers: str) -> ResponseReturnValue:
    """Answer with frames, 1-based: numbers and ranges (ours: 5-9) with commas between."""
    wanted = accept.choices(request.headers.getlist("Accept"))
    address = Address(study, series, instance)
    table = services().tables.of(services().item(address).place)
    asked = _asked(numbers, len(table))
    syntax = table.transfer_syntax_uid
    image = table.image() if table.encapsulated and _wants_samples(wanted) else None
    form = accept.frame_form(
        wanted, syntax, convertible=image is not None and image.bits_allocated == 8
    )
    if form is None:
        raise NotAcceptable("These frames have none of the forms that are accepted.")
    kind = f"{form.media_type}; transfer-syntax={_said(form)}"
    if not form.multipart:
        if len(asked) != 1:
            raise NotAcceptable("Several frames are given as multipart/related.")
        span = table.span(asked[0] - 1) if form.stored else None
        if span is not None:
            return bodies.range_of_file(span, kind)
        return Response(
            _content(table, asked[0] - 1, image if not form.stored else None), content_type=kind
        )
    base = f"{address.url()}/frames/"
    parts = (
        (kind, f"{base}{one}", [_content(table, one - 1, image if not form.stored else None)])
        for one in asked
    )
    return bodies.multipart(form.media_type, parts)


@blueprint.get(f"{_INSTANCE}/rendered")
@blueprint.get(f"{_INSTANCE}/frames/<numbers>/rendered")
def rendered(study: str, series: str, instance: str, numbers: str = "1") -> ResponseReturnValue:
    """Answer with a picture of a frame: the stored JPEG itself where nothing is to be changed."""
    item = services().item(Address(study, series, instance))
    return _picture(item, numbers, viewport=None)


@blueprint.get("/studies/<uid:study>/thumbnail")
@blueprint.get("/studies/<uid:study>/series/<uid:series>/thumbnail")
@blueprint.get(f"{_INSTANCE}/thumbnail")
@blueprint.get(f"{_INSTANCE}/frames/<numbers>/thumbnail")
def thumbnail(
    study: str, series: str = "", instance: str = "", numbers: str = "1"
) -> ResponseReturnValue:
    address = Address(study, series, instance)
    for item in services().selection(address):
        try:
            return _picture(item, numbers, viewport=(THUMBNAIL, THUMBNAIL))
        except NoPixelData:
            continue
    raise NoPixelData("There is no picture under this address.")


def _content(table: FrameTable, frame_index: int, image: Image | None) -> bytes:
    """Return a frame. image: to have it uncompressed."""
    if image is not None:
        return uncompressed(table, frame_index, image)
    data = table.read(frame_index)
    # A fragment has an even length (PS3.5 A.4): a zero may follow the end of a JPEG stream.
    return data[:-1] if table.encapsulated and data.endswith(b"\xff\xd9\0") else data


def _said(form: Form) -> str:
    """Return the transfer syntax of a part: how elements are encoded means nothing to frames."""
    return EXPLICIT_LITTLE if form.transfer_syntax == IMPLICIT_LITTLE else form.transfer_syntax


def _wants_samples(wanted: list[accept.Choice]) -> bool:
    return any(one.media_type == accept.OCTETS and one.transfer_syntax != "*" for one in wanted)


def _asked(numbers: str, count: int) -> list[int]:
    """Return frame numbers, 1-based. Raises QueryInvalid, NotFound."""
    found: list[int] = []
    for one in numbers.split(","):
        match = _RANGE.fullmatch(one.strip())
        if match is None:
            raise QueryInvalid("Frames are asked for by number, from 1 on, with commas between.")
        first, last = int(match[1]), int(match[2] or match[1])
        if first < 1 or last < first:
            raise QueryInvalid("Frames are numbered from 1 on, and ranges go upwards.")
        if last > count:
            raise NotFound(f"There are {count} frames in this instance.")
        if len(found) + last - first >= FRAMES_MAX:
            raise QueryInvalid(f"One request names {FRAMES_MAX} frames at most.")
        found += range(first, last + 1)
    return found


@dataclass(frozen=True)
class _Look:
    """How a picture is asked for. viewport: (width, height) it must fit in, or None."""

    media_type: str
    viewport: tuple[int, int] | None
    quality: int | None


def _picture(item: Item, numbers: str, *, viewport: tuple[int, int] | None) -> Response:
    look = _look(viewport)
    table = services().tables.of(item.place)
    asked = _asked(numbers, len(table))
    plain = look == _Look(accept.JPEG, None, None) and table.transfer_syntax_uid == JPEG_BASELINE
    if len(asked) > 1:
        parts = ((look.media_type, "", _drawn(table, one, look, plain)) for one in asked)
        return bodies.multipart(look.media_type, parts)
    span = table.span(asked[0] - 1) if plain else None
    if span is not None:
        return bodies.range_of_file(span, look.media_type)
    return Response(_drawn(table, asked[0], look, plain), content_type=look.media_type)


def _drawn(table: FrameTable, number: int, look: _Look, plain: bool) -> Iterator[bytes]:
    if plain:
        return iter([table.read(number - 1)])
    pixels = picture(table, number - 1, table.image())
    if look.viewport is not None:
        rows, columns = pixels.shape[:2]
        scale = min(look.viewport[0] / columns, look.viewport[1] / rows)
        size = max(1, round(columns * scale)), max(1, round(rows * scale))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        pixels = cv2.resize(pixels, size, interpolation=how)  # type: ignore[assignment]
    shown = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    options = (
        [] if look.media_type == accept.PNG else [cv2.IMWRITE_JPEG_QUALITY, look.quality or 90]
    )
    suffix = ".png" if look.media_type == accept.PNG else ".jpg"
    return iter([cv2.imencode(suffix, shown, options)[1].tobytes()])


def _look(viewport: tuple[int, int] | None) -> _Look:
    """Read what is asked of a picture. Raises QueryInvalid, NotAcceptable."""
    media_type = accept.picture_type(accept.choices(request.headers.getlist("Accept")))
    if media_type is None:
        raise NotAcceptable("Pictures are given as image/jpeg or image/png.")
    if "viewport" in request.args:
        sides = request.args["viewport"].split(",")
        if len(sides) != 2 or not all(one.isascii() and one.isdigit() for one in sides):
            raise QueryInvalid("viewport is a width and a height; parts of a picture are not cut.")
        viewport = int(sides[0][:6]), int(sides[1][:6])
        if not all(1 <= one <= SIDE_MAX for one in viewport):
            raise QueryInvalid(f"A viewport has 1 to {SIDE_MAX} pixels each way.")
    quality = request.args.get("quality")
    if quality is not None and not (
        quality.isascii() and quality.isdigit() and 1 <= int(quality[:4]) <= 100
    ):
        raise QueryInvalid("quality is a number from 1 to 100.")
    return _Look(media_type, viewport, int(quality) if quality else None)
