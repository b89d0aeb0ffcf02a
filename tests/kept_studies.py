"""Builders of received studies for tests: packs as the receiver leaves them, and their rows."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydicom import Dataset

from gateway.dicom import identity, part10
from gateway.dicom.storage_classes import JPEG_BASELINE
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import studies as queries
from gateway.ledger.schema import Derived, Quarantine, Study
from gateway.ledger.transitions import reception, studies
from gateway.model import AssociationOutcome, DerivedRole, SettleRule
from gateway.packs import index as pack_index
from gateway.packs import tar
from gateway.packs.writer import PackWriter
from gateway.settings import Settings
from tests import ledgers
from tests.instances import encoded
from workers.wrapping import wrap


def clock() -> datetime:
    return datetime.now(UTC)


class Killed(BaseException):
    """Stands for a process that ends between two frames."""


class DyingClock:
    """Tells the time until it is asked for the n-th time: then the process ends."""

    def __init__(self, dies_at: int) -> None:
        self.dies_at, self.calls = dies_at, 0

    def __call__(self) -> datetime:
        self.calls += 1
        if self.calls == self.dies_at:
            raise Killed
        return clock()


@dataclass
class KeptStudy:
    settings: Settings
    ledger: Ledger
    study_id: int

    def claim(self, now: datetime | None = None) -> int:
        """Claim the next step; returns the attempt."""
        with self.ledger.transaction() as session:
            claim = studies.claim(
                session,
                self.study_id,
                lease_s=self.settings.lease_s,
                attempts_max=self.settings.attempts_max,
                now=now or clock(),
            )
        assert claim is not None
        return claim.attempt

    def wrap(self, attempt: int | None = None, now: Callable[[], datetime] = clock) -> None:
        wrap(self.settings, self.ledger, self.study_id, attempt or self.claim(), now=now)

    def start_again(self) -> None:
        """Finish a wrapped study and let an operator start it again: the next revision."""
        attempt = self.claim()
        with self.ledger.transaction() as session:
            studies.finish_summary(session, self.study_id, attempt, [], [], now=clock())
            studies.retry(session, self.study_id, now=clock(), actor="test")

    @property
    def row(self) -> Study:
        with self.ledger.reading() as session:
            return queries.get(session, self.study_id)

    @property
    def report(self) -> dict:
        return self.row.report

    def derived(self, role: DerivedRole = DerivedRole.FRAMES) -> list[Derived]:
        """Return the current instances of a role, in the order of their numbers."""
        with self.ledger.reading() as session:
            rows = queries.derived(session, self.study_id)
        return [row for row in rows if row.role is role]

    def paths(self) -> list[Path]:
        """Return the files of the parts, in the order of their numbers."""
        return [self.settings.home / row.storage_key for row in self.derived()]

    def quarantine(self) -> list[Quarantine]:
        with self.ledger.reading() as session:
            return queries.quarantine(session)


def file_of(ds: Dataset, transfer_syntax_uid: str = JPEG_BASELINE) -> bytes:
    """Return an instance as a Part 10 file."""
    meta = part10.encode_file_meta(
        sop_class_uid=ds.SOPClassUID,
        sop_instance_uid=ds.SOPInstanceUID,
        transfer_syntax_uid=transfer_syntax_uid,
        source_ae_title="WORKSTATION",
    )
    return meta + encoded(ds)


def keep_study(home: Path, packs: Sequence[Iterable[bytes]], **settings: object) -> KeptStudy:
    """Keep Part 10 files in packs, one per inner list, and settle the study they belong to."""
    chosen = Settings(home=home, **settings)
    study = KeptStudy(chosen, ledgers.in_home(home), 1)
    for files in packs:
        keep_pack(study, files)
    settle(study)
    return study


def keep_pack(study: KeptStudy, files: Iterable[bytes]) -> Path:
    """Keep one more pack; a study that was settled is reopened."""
    writer, rows, pack_id = None, [], 0
    describer = pack_index.Describer()
    for content in files:
        meta = part10.parse_file_meta(content)
        if writer is None:
            writer, pack_id = _open(study, content[meta.data_set_offset :], meta)
        digest = tar.content_digest(content)
        offset = writer.append(f"{meta.sop_instance_uid}.dcm", [content], digest=digest)
        rows.append(describer.record(content, offset=offset, size=len(content), digest=digest))
    assert writer is not None
    writer.seal(pack_index.from_records(b"".join(rows)))
    with study.ledger.transaction() as session:
        reception.seal_pack(
            session, pack_id, outcome=AssociationOutcome.RELEASED, instance_count=len(rows),
            size_bytes=writer.size_bytes, now=clock(),
        )  # fmt: skip
    return writer.path


def _open(study: KeptStudy, data_set: bytes, meta: part10.FileMeta) -> tuple[PackWriter, int]:
    who, series = identity.read(data_set, meta.transfer_syntax_uid)
    directory = study.settings.packs_dir / who.study_instance_uid
    number = len(list(directory.rglob("*.tar")))
    writer = PackWriter(directory / series.series_instance_uid / f"{number:04}.tar")
    with study.ledger.transaction() as session:
        pack_id = reception.open_pack(
            session, who, series,
            storage_key=str(writer.path.relative_to(study.settings.home)),
            association_id="a1", calling_ae_title="WORKSTATION", now=clock(),
        )  # fmt: skip
    return writer, pack_id


def settle(study: KeptStudy) -> None:
    with study.ledger.transaction() as session:
        studies.settle(session, study.study_id, SettleRule.QUIET, now=clock())
