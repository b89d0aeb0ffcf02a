"""The manifest of a study as CSV: every frame delivered, and the instance it came from."""

import csv
from collections.abc import Iterator
from dataclasses import astuple
from io import StringIO
from pathlib import Path

from flask import Blueprint, Response

from gateway.errors import NotFound
from gateway.ledger.queries import studies as queries
from gateway.model import DerivedRole
from gateway.packs import manifest
from gateway.web.reach import gateway

blueprint = Blueprint("manifest", __name__, url_prefix="/studies")


@blueprint.get("/<row:study_id>/manifest.csv")
def download(study_id: int) -> Response:
    with gateway().ledger.reading() as session:
        study = queries.get(session, study_id)
        rows = queries.derived(session, study_id)
    parts = [
        gateway().settings.home / one.storage_key
        for one in rows
        if one.role is DerivedRole.FRAMES and not one.offset_bytes
    ]
    if not parts:
        raise NotFound(f"Study {study_id} has no frames that were wrapped.")
    manifest_name = f"manifest-{study.study_instance_uid}-{study.revision}.csv"
    return Response(
        _text(parts),
        mimetype="text/csv",
        headers={"Content-Disposition": f'attachment; filename="{manifest_name}"'},
    )


def _text(parts: list[Path]) -> Iterator[str]:
    """Yield the table, a part at a time: 100,000 frames are 30 MB."""
    yield ",".join(manifest.COLUMNS) + "\r\n"
    for part in parts:
        buffer = StringIO()
        writer = csv.writer(buffer)
        writer.writerows(astuple(line) for line in manifest.lines(part))
        yield buffer.getvalue()
