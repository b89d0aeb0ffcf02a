"""An import from beginning to end: look, identify, keep, declare, report."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from gateway.dicom import uids
from gateway.errors import FileRefused, Interrupted, NothingToImport
from gateway.importing import frames, media, plan
from gateway.importing import study as studies
from gateway.importing.frames import Job, Prepared
from gateway.importing.instances import SeriesOrder
from gateway.importing.keeping import PEER, LocalAssociation, is_kept
from gateway.importing.options import Options
from gateway.importing.plan import Plan
from gateway.importing.report import Report
from gateway.importing.source import Source, open_source
from gateway.importing.study import Study, Take
from gateway.ledger.engine import Ledger
from gateway.ledger.transitions import declarations
from gateway.settings import Settings

GROUP_COUNT = 64
GROUP_BYTES = 8 << 20
"""Instances are prepared and kept in groups of no more than this: one durable write each."""
PREPARING_THREADS = 2
ACTOR = "import"


@dataclass(frozen=True)
class Watch:
    """Whoever follows an import. Nothing else may interrupt it: what is half written must not
    be sealed as whole.

    progress: called with how many frames or files are done, and how many there are, 0 if nobody
    knows. waiting: called if another import has to end first. stopping: asked between groups.
    """

    progress: Callable[[int, int], None] = lambda _done, _total: None
    waiting: Callable[[], None] = lambda: None
    stopping: Callable[[], bool] = lambda: False


NOBODY = Watch()


@dataclass(frozen=True)
class Gateway:
    """Where an import goes."""

    settings: Settings
    ledger: Ledger
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


def import_path(gateway: Gateway, path: Path, options: Options, watch: Watch = NOBODY) -> Report:
    """Import everything at a path; what cannot be is in the report.

    Safe to run again, also after it was killed: what is there already is not stored twice.
    Raises NothingToImport, UnsafeInput, OrderIncomplete, SendError before anything is kept;
    Interrupted, StorageError or LedgerError when it cannot go on.
    """
    started_s = time.monotonic()
    path = path.absolute()
    if path.name.casefold() == plan.DIRECTORY_NAME and path.is_file():
        path = path.parent
    report = Report()
    with ExitStack() as cleaning:
        # 1. Look.
        source = open_source(path)
        cleaning.callback(source.close)
        planned = _planned(source, path, report)
        # 2. Identify.
        study = None
        if planned.recordings:
            stated = studies.stated_order(path, source, planned, options)
            study = studies.identified(
                source, planned, replace(options, order=stated),
                tenant=gateway.settings.tenant, report=report, cleaning=cleaning,
            )  # fmt: skip
            studies.check_patient(gateway.ledger, study.order)
        # 3. Keep.
        with LocalAssociation(
            gateway.settings, gateway.ledger, now=gateway.now, caller=(options.ae_title, PEER),
            waiting=watch.waiting,
        ) as association:  # fmt: skip
            work = _Work(association, report, watch, study)
            work.all_of(source, planned)
    # 4. Declare.
    report.study_instance_uids = list(work.study_uids)
    _declare(gateway, report, work.missing_count)
    report.seconds = time.monotonic() - started_s
    return report


def _planned(source: Source, path: Path, report: Report) -> Plan:
    planned = plan.make(source)
    for name in planned.ignored:
        report.ignore(name)
    if not planned.recordings and not planned.dicom and not planned.directories:
        why = ": ".join(planned.refused[0]) if planned.refused else "no frame is in it"
        raise NothingToImport(f"There is nothing to import in {path.name}: {why}")
    return planned


def _declare(gateway: Gateway, report: Report, missing_count: int) -> None:
    # Which study a frame belongs to that could not be read, is known only if there is one.
    missing_count = missing_count if len(report.study_instance_uids) == 1 else 0
    with gateway.ledger.transaction() as session:
        for uid in report.study_instance_uids:
            declarations.declare(
                session, uid, missing_count=missing_count, now=gateway.now(), actor=ACTOR
            )


class _Work:
    """What is under way: the association everything goes through, and what came of it."""

    def __init__(
        self,
        association: LocalAssociation,
        report: Report,
        watch: Watch,
        study: Study | None,
    ) -> None:
        self._association, self._report, self._watch = association, report, watch
        self._study = study
        self._total = study.frame_count if study else 0
        self.study_uids: dict[str, None] = {}
        self.missing_count = 0  # frames that are known to be, and are not kept

    def all_of(self, source: Source, planned: Plan) -> None:
        self._total += len(planned.dicom) if self._total or not self._study else 0
        refusals = [*planned.refused, *media.missing(source, planned)]
        self._keep([Prepared(name, "", refused=why) for name, why in refusals])
        if self._study is not None:
            for take in self._study.takes:
                self._recording(self._study, take)
            if self._report.imported_count or self._report.already_there_count:
                self.study_uids[self._study.order.study_instance_uid] = None
        for group in _grouped(self._media(source, planned)):
            self._keep(group)

    def _recording(self, study: Study, take: Take) -> None:
        is_known = self._association.is_known(
            study.order.study_instance_uid, take.series.series_instance_uid
        )
        before = self._report.found_count
        with ThreadPoolExecutor(PREPARING_THREADS, "prepare") as pool:
            try:
                for group in _prepared(pool, take.jobs(), take.series, is_known):
                    self._keep(group)
            except FileRefused as error:  # a video that cannot be decoded to its end
                self._keep([Prepared(take.name, "", refused=str(error))])
        lost = take.frame_count - (self._report.found_count - before)
        if lost > 0:
            self.missing_count += lost
            why = f"{lost:,} pictures at its end could not be decoded."
            self._keep([Prepared(take.name, "", refused=why)])

    def _media(self, source: Source, planned: Plan) -> Iterator[Prepared]:
        def is_known(study_uid: str, series_uid: str, uid: str) -> bool:
            return self._association.is_known(study_uid, series_uid)(uid)

        for item in planned.dicom:
            prepared, study_uid = media.prepare(source, item, is_known)
            if study_uid:
                self.study_uids[study_uid] = None
            yield prepared

    def _keep(self, group: list[Prepared]) -> None:
        """Make a group durable, and count what became of it. Raises Interrupted between two."""
        if self._watch.stopping():
            raise Interrupted("The import was interrupted.")
        offered = [(one, one.offer) for one in group if one.offer is not None]
        answers = self._association.keep([offer for _, offer in offered])
        refused = {
            id(one): f"It could not be kept: {answer[1]}."
            for (one, _), answer in zip(offered, answers, strict=True)
            if not is_kept(answer)
        }
        seen: set[str] = set()  # a medium may hold the same instance twice
        for one in group:
            known = one.known or one.sop_instance_uid in seen
            seen |= {one.sop_instance_uid} - {""}
            self._count(one, known=known, refused=one.refused or refused.get(id(one), ""))
        self._watch.progress(self._report.found_count, self._total)

    def _count(self, one: Prepared, *, known: bool, refused: str) -> None:
        report = self._report
        report.found_count += 1
        if refused:
            report.refuse(one.name, refused)
            self.missing_count += bool(one.sop_instance_uid)
            if one.offer is None:  # else the reception has noted it
                self._note(one, refused)
            return
        report.already_there_count += known
        report.imported_count += not known
        report.size_bytes += 0 if known else one.size_bytes
        if one.damaged:
            report.damage(one.name, one.damaged)

    def _note(self, one: Prepared, refused: str) -> None:
        study_uid = self._study.order.study_instance_uid if self._study else ""
        uid = one.sop_instance_uid or uids.derived("import-file", study_uid, one.name)
        self._association.note_refused(
            one.name, refused, study_instance_uid=study_uid, sop_instance_uid=uid
        )


def _prepared(
    pool: ThreadPoolExecutor,
    jobs: Iterable[Job],
    series: SeriesOrder,
    is_known: Callable[[str], bool],
) -> Iterator[list[Prepared]]:
    """Prepare groups of jobs in the pool, one group ahead of each thread; yields in order."""

    def prepare(group: list[Job]) -> list[Prepared]:
        return [frames.prepare(job, series, is_known) for job in group]

    under_way: deque[Future[list[Prepared]]] = deque()
    for group in _grouped(jobs):
        under_way.append(pool.submit(prepare, group))
        if len(under_way) > PREPARING_THREADS:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


_One = TypeVar("_One", Job, Prepared)


def _grouped(things: Iterable[_One]) -> Iterator[list[_One]]:
    group: list[_One] = []
    size_bytes = 0
    for one in things:
        group.append(one)
        size_bytes += one.size_bytes
        if len(group) >= GROUP_COUNT or size_bytes >= GROUP_BYTES:
            yield group
            group, size_bytes = [], 0
    if group:
        yield group
