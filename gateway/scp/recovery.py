"""At start: seal what a crash left open, and give the ledger what only the packs know."""

from datetime import datetime
from pathlib import Path

from gateway import log
from gateway.dicom import identity, part10
from gateway.errors import GatewayError
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import associations
from gateway.ledger.queries import studies as queries
from gateway.ledger.transitions import reception as record
from gateway.ledger.transitions.reception import AssociationCounts
from gateway.model import AssociationOutcome
from gateway.packs import index as pack_index
from gateway.packs import reading
from gateway.packs.index import Index
from gateway.settings import Settings

_logger = log.get(__name__)


def recover(settings: Settings, ledger: Ledger, now: datetime) -> int:
    """Bring packs and ledger into agreement; returns how many packs were looked after.

    1. Every pack whose writer is gone is sealed: whole members stay, a torn tail is cut off.
    2. Every sealed pack the ledger shows as open, or does not know, is recorded.
    3. Associations nobody holds any more are recorded as lost.
    """
    with ledger.reading() as session:
        open_keys = {pack.storage_key for pack in queries.open_packs(session)}
        known_keys = queries.pack_keys(session)
    touched = 0
    for path in sorted(settings.packs_dir.glob("*/*/*.tar")):
        key = str(path.relative_to(settings.home))
        if key in known_keys and key not in open_keys:
            continue
        try:
            index = reading.recover(path)  # steps 1 and 2
            if index is None:
                continue  # another living process writes to it
            _record(ledger, path, key, index, now)
            touched += 1
        except GatewayError as error:
            _logger.error("recovery.failed", pack=path.name, code=error.code, error=str(error))
    with ledger.transaction() as session:  # step 3
        for association in associations.latest(session, outcome=AssociationOutcome.OPEN, limit=500):
            record.close_association(
                session, association.id, AssociationOutcome.LOST, AssociationCounts(), now=now
            )
    return touched


def _record(ledger: Ledger, path: Path, key: str, index: Index, now: datetime) -> None:
    if len(index) == 0:
        _drop_empty(ledger, path, key, now)
        return
    first = index[0]
    head = reading.read_range(
        path, int(first["offset"]), min(int(first["size"]), reading.HELD_BYTES_MAX)
    )
    meta = part10.parse_file_meta(head)
    study, series = identity.read(head[meta.data_set_offset :], meta.transfer_syntax_uid)
    with ledger.transaction() as session:
        row_id = record.open_pack(
            session, study, series, storage_key=key, association_id="",
            calling_ae_title=meta.source_ae_title, now=now,
        )  # fmt: skip
        record.seal_pack(
            session, row_id, outcome=AssociationOutcome.LOST, instance_count=len(index),
            size_bytes=path.stat().st_size, now=now,
        )  # fmt: skip
    _logger.info("recovery.sealed", pack=path.name, instances=len(index))


def _drop_empty(ledger: Ledger, path: Path, key: str, now: datetime) -> None:
    """A pack in which nothing was ever kept: remove it; its row, if any, says 0 instances."""
    with ledger.transaction() as session:
        row_id = queries.pack_id(session, key)
        if row_id is not None:
            record.seal_pack(
                session, row_id, outcome=AssociationOutcome.LOST, instance_count=0,
                size_bytes=0, now=now,
            )  # fmt: skip
    if row_id is None:
        pack_index.path_beside(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
