"""Seal what a crash left open, and give the ledger what only the packs know."""

from datetime import datetime
from pathlib import Path

from gateway import log
from gateway.dicom import identity, part10
from gateway.errors import GatewayError
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import associations, registry
from gateway.ledger.queries import studies as queries
from gateway.ledger.transitions import reception as record
from gateway.ledger.transitions.reception import AssociationCounts
from gateway.model import AssociationOutcome
from gateway.packs import index as pack_index
from gateway.packs import reading
from gateway.packs.index import Index
from gateway.scp import abandoned
from gateway.scp.presence import Living
from gateway.settings import Settings

_logger = log.get(__name__)


def recover(settings: Settings, ledger: Ledger, now: datetime) -> int:
    """Bring packs and ledger into agreement; returns how many packs were looked after.

    At start, and whenever a process of the listener, or an import, has died; the others go on
    meanwhile.
    1. Every pack whose writer is gone is sealed: whole members stay, a torn tail is cut off.
    2. Every sealed pack the ledger shows as open, or does not know, is recorded.
    3. Associations whose process is gone are recorded as lost.
    """
    living = Living(settings)
    with ledger.reading() as session:
        held = associations.open_by_listener(session)
    dead = [one for one, listener in held.items() if listener not in living]
    touched = _seal(settings, ledger, now)  # steps 1 and 2
    for association_id in dead:  # step 3
        with ledger.transaction() as session:
            counts = AssociationCounts(received=associations.kept_count(session, association_id))
            record.close_association(
                session, association_id, AssociationOutcome.LOST, counts, now=now
            )
    living.forget_ended()
    return touched


def _seal(settings: Settings, ledger: Ledger, now: datetime) -> int:
    touched = 0
    for path in _abandoned(settings, ledger, sorted(settings.packs_dir.glob("*/*/*.tar"))):
        key = str(path.relative_to(settings.home))
        try:
            index = abandoned.seal(settings, path)
            if index is None:
                continue  # another living process writes to it
            _record(ledger, path, key, index, now)
            touched += 1
        except GatewayError as error:
            if path.exists():
                _logger.error("recovery.failed", pack=path.name, code=error.code, error=str(error))
    return touched


def _abandoned(settings: Settings, ledger: Ledger, paths: list[Path]) -> list[Path]:
    """Return which packs may need to be looked after. paths: listed before the ledger is asked.

    A pack belongs to an association that was recorded before the pack was made: those of an
    association that lives are its own to seal and record, also the moment before it locks them.
    """
    living = Living(settings)
    with ledger.reading() as session:
        open_keys = {pack.storage_key for pack in queries.open_packs(session)}
        known_keys = queries.pack_keys(session)
        held = associations.open_by_listener(session)
    owners = {one[:12] for one, listener in held.items() if listener in living}
    settled = known_keys - open_keys
    return [
        path
        for path in paths
        if str(path.relative_to(settings.home)) not in settled
        and owners.isdisjoint(path.name.split("-")[1:2])  # as SeriesPack names them
    ]


def _record(ledger: Ledger, path: Path, key: str, index: Index, now: datetime) -> None:
    if len(index) == 0:
        _drop_empty(ledger, path, key, now)
        return
    first = index[0]
    head = reading.read_range(
        path, int(first["offset"]), min(int(first["size"]), reading.HELD_BYTES_MAX)
    )
    meta = part10.parse_file_meta(head)
    with ledger.reading() as session:
        charset = registry.charset_of(session, meta.source_ae_title)
    study, series = identity.read(
        head[meta.data_set_offset :], meta.transfer_syntax_uid, charset=charset
    )
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
