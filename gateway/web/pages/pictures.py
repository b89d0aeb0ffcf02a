"""The pictures of a study, read out of the instances that carry them."""

from pathlib import Path

from flask import Blueprint, Response, request

from gateway.dicom.part10 import first_fragment
from gateway.errors import NotFound, ObjectMissing
from gateway.ledger.queries import studies as queries
from gateway.ledger.schema import Derived
from gateway.model import DerivedRole
from gateway.web.reach import gateway

blueprint = Blueprint("pictures", __name__, url_prefix="/studies")

PICTURE_BYTES_MAX = 64 << 20
CACHE_S = 86_400
JPEG_END = b"\xff\xd9"


@blueprint.get("/<row:study_id>/key-frames/<row:rank>.jpg")
def key_frame(study_id: int, rank: int) -> Response:
    with gateway().ledger.reading() as session:
        study = queries.get(session, study_id)
        for frame in queries.key_frames(session, study):
            if frame.rank == rank:
                return _answer(queries.derived_one(session, frame.derived_id))
    raise NotFound(f"Study {study_id} has no key frame {rank}.")


@blueprint.get("/<row:study_id>/contact-sheet.jpg")
def contact_sheet(study_id: int) -> Response:
    with gateway().ledger.reading() as session:
        for one in queries.derived(session, study_id):
            if one.role is DerivedRole.CONTACT_SHEET:
                return _answer(one)
    raise NotFound(f"Study {study_id} has no contact sheet.")


def _answer(derived: Derived) -> Response:
    """Answer with the JPEG stream; only this browser may keep it, and only for this version."""
    response = Response(jpeg_of(gateway().settings.home, derived), mimetype="image/jpeg")
    if request.args.get("v") == derived.digest[:12]:
        response.headers["Cache-Control"] = f"private, max-age={CACHE_S}, immutable"
    return response


def jpeg_of(home: Path, derived: Derived) -> bytes:
    """Return the JPEG stream of a single-frame instance.

    Raises ObjectMissing if the file is gone or cut off, Undecodable if it holds no such stream.
    """
    path = (home / derived.storage_key).resolve()
    if not path.is_relative_to(home.resolve()):
        raise ObjectMissing(f"The instance {derived.sop_instance_uid} lies outside the store.")
    length = min(derived.size_bytes, PICTURE_BYTES_MAX)
    try:
        with path.open("rb") as file:
            file.seek(derived.offset_bytes)
            data = file.read(length)
    except OSError as error:
        raise ObjectMissing(
            f"The file of instance {derived.sop_instance_uid} cannot be read."
        ) from error
    if len(data) < length:
        raise ObjectMissing(f"The file of instance {derived.sop_instance_uid} is cut off.")
    fragment = first_fragment(data)
    # A fragment has an even length (PS3.5 A.4): a zero may follow the end of the stream.
    return fragment[:-1] if fragment.endswith(JPEG_END + b"\0") else fragment
