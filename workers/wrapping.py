"""The wrap step: gather what was kept, decide, write multi-frame instances, verify, record.

Safe to run again at any point: the same frames give the same SOP Instance UIDs and bytes, and a
part that lies there already and verifies is not written again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateway.dicom import header, part10, times
from gateway.dicom.correction import is_corrected
from gateway.dicom.storage_classes import JPEG_BASELINE, MULTI_FRAME_CLASSES, VIDEO_ENDOSCOPIC
from gateway.errors import Undecodable
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import studies as queries
from gateway.ledger.schema import Study
from gateway.ledger.transitions import reception, studies
from gateway.ledger.transitions.studies import DerivedInstance
from gateway.model import DerivedRole, PackState, QuarantineNote, StudyState
from gateway.packs import index as pack_index
from gateway.packs import reading
from gateway.settings import Settings
from workers import corrected_originals, derived_files
from workers.examining import Examiner
from workers.frame_spool import FrameSpool
from workers.lease import Clock, StudyLease
from workers.part_files import PartFiles
from workers.source_study import source_study
from workers.wrap import report, video_endoscopic
from workers.wrap.plan import PlannedRecording, check_delivers, plan
from workers.wrap.recording import SealedPack, to_examine
from workers.wrap.segment import Limits

NOTES_AT_ONCE = 200
"""Quarantine rows per transaction: other writers wait no longer than milliseconds."""
HEAD_BYTES = 1 << 20
"""Of an original, this much is read to count its frames."""


def wrap(settings: Settings, ledger: Ledger, study_id: int, attempt: int, *, now: Clock) -> None:
    """Make the multi-frame instances of a study and record them, under the claim `attempt`.

    Every part is durable and compared with the digests of the received frames, fragment by
    fragment, before any of them is recorded. Raises StaleTransition when the claim is lost,
    NoFrames, LimitExceeded, and StorageError: IntegrityError if a pack no longer holds the
    bytes that were acknowledged.
    """
    claim = (study_id, attempt)
    lease = StudyLease(ledger, claim, StudyState.WRAPPING, lease_s=settings.lease_s, now=now)
    # 1. Gather.
    lease.renew()
    study, packs = _gather(settings, ledger, study_id)
    source = source_study(settings, study)
    directory = settings.derived_dir / source.study_instance_uid
    derived_files.remove_drafts(directory)
    with FrameSpool(directory) as spool:
        # 2. Look into what is not simply a JPEG frame.
        same = not is_corrected(source.attributes)
        with Examiner(settings, packs, spool, lease.keep, leave_videos=same) as examiner:
            examined = examiner.examine(to_examine(packs))
        # 3. Decide.
        limits = Limits(settings.part_frames_max, settings.part_bytes_max)
        fallback_us = _nominal_start_us(study)
        planned = plan(source, packs, limits, fallback_us=fallback_us, examined=examined)
        # 4. Say what cannot be shown; apply and verify the rest.
        notes = report.notes(planned, packs, study.calling_ae_title)
        notes = (replace(one, study_instance_uid=study.study_instance_uid) for one in notes)
        _record_notes(ledger, lease, notes, now)
        check_delivers(planned)
        with PartFiles(settings, packs, lease.keep, spool=spool.path) as files:
            instances = _made(files, planned)
            instances += [video for one in planned for video in _untouched(files, one, packs)]
    originals = [original for one in planned for original in _originals(settings, one, packs)]
    instances += corrected_originals.remade(settings, source, originals, lease.keep)
    # 5. Record.
    counts = report.report(planned)
    with ledger.transaction() as session:
        studies.finish_wrap(session, study_id, attempt, instances, report=counts, now=now())


def _record_notes(
    ledger: Ledger, lease: StudyLease, notes: Iterator[QuarantineNote], now: Clock
) -> None:
    while batch := list(islice(notes, NOTES_AT_ONCE)):
        lease.keep()
        with ledger.transaction() as session:
            for note in batch:
                reception.quarantine(session, note, now=now())


def _gather(settings: Settings, ledger: Ledger, study_id: int) -> tuple[Study, list[SealedPack]]:
    with ledger.reading() as session:
        study = queries.get(session, study_id)
        lines = queries.packs(session, study_id)
    packs = [
        SealedPack(
            series_instance_uid=line.series_instance_uid,
            index=pack_index.load(settings.home / line.pack.storage_key),
            storage_key=line.pack.storage_key,
            association_id=line.pack.association_id,
        )
        for line in lines
        if line.pack.state is PackState.SEALED
    ]
    return study, packs


def _nominal_start_us(study: Study) -> int:
    """Return when a recording began whose frames do not say: with the study, or with us."""
    stated = times.from_date_and_time(study.study_date, study.study_time)
    if stated >= 0:
        return stated
    return (study.received_at.replace(tzinfo=None) - times.EPOCH) // timedelta(microseconds=1)


def _made(files: PartFiles, planned: Sequence[PlannedRecording]) -> list[DerivedInstance]:
    parts = [(one.source, part) for one in planned for part in one.parts]
    return [
        DerivedInstance(
            role=DerivedRole.FRAMES,
            number=part.number,
            series_instance_uid=file.series_instance_uid,
            sop_class_uid=VIDEO_ENDOSCOPIC,
            sop_instance_uid=file.sop_instance_uid,
            transfer_syntax_uid=JPEG_BASELINE,
            storage_key=file.storage_key,
            size_bytes=file.written.size_bytes,
            frame_count=len(part.positions),
            digest=file.written.digest,
            first_frame_at=video_endoscopic.first_frame_at(source, part),
        )
        for (source, part), file in zip(parts, files.make(parts), strict=True)
    ]


def _untouched(
    files: PartFiles, one: PlannedRecording, packs: Sequence[SealedPack]
) -> Iterator[DerivedInstance]:
    """Yield the received instances that are parts already: each lies in a file of its own."""
    study_instance_uid = one.source.study.study_instance_uid
    for position, member in enumerate(one.source.recording.untouched):
        row = packs[int(member["pack"])].index[int(member["row"])]
        file = files.copy(study_instance_uid, member)
        number = int(row["instance_number"])
        yield DerivedInstance(
            role=DerivedRole.FRAMES,
            number=number if number >= 0 else position + 1,
            series_instance_uid=file.series_instance_uid,
            sop_class_uid=VIDEO_ENDOSCOPIC,
            sop_instance_uid=file.sop_instance_uid,
            transfer_syntax_uid=JPEG_BASELINE,
            storage_key=file.storage_key,
            size_bytes=file.written.size_bytes,
            frame_count=int(member["frame_count"]),
            digest=file.written.digest,
            first_frame_at=_iso(int(member["acquired_us"])),
        )


def _originals(
    settings: Settings, one: PlannedRecording, packs: Sequence[SealedPack]
) -> Iterator[DerivedInstance]:
    """Yield received instances that are delivered as they came, out of their pack."""
    for position, member in enumerate(one.source.recording.originals):
        pack = packs[int(member["pack"])]
        row = pack.index[int(member["row"])]
        number = int(row["instance_number"])
        yield DerivedInstance(
            role=DerivedRole.ORIGINAL,
            number=number if number >= 0 else position + 1,
            series_instance_uid=one.source.recording.series_instance_uid,
            sop_class_uid=bytes(row["sop_class_uid"]).decode(),
            sop_instance_uid=bytes(row["sop_instance_uid"]).decode(),
            transfer_syntax_uid=bytes(row["transfer_syntax_uid"]).decode(),
            storage_key=pack.storage_key,
            offset_bytes=int(row["offset"]),
            size_bytes=int(row["size"]),
            frame_count=_frame_count(settings.home / pack.storage_key, row),
            digest=row["digest"].tobytes().hex(),
            first_frame_at=_iso(int(row["acquired_us"])),
        )


def _iso(acquired_us: int) -> str:
    if acquired_us == times.UNKNOWN:
        return ""
    return times.to_datetime(acquired_us).isoformat(timespec="microseconds")


def _frame_count(pack: Path, row: NDArray[np.void]) -> int:
    """Return how many frames an original has: 0 if it is no image."""
    if not row["rows"]:
        return 0
    if bytes(row["sop_class_uid"]).decode() not in MULTI_FRAME_CLASSES:
        return 1
    head = reading.read_range(pack, int(row["offset"]), min(int(row["size"]), HEAD_BYTES))
    try:
        meta = part10.parse_file_meta(head)
        found = header.read(memoryview(head)[meta.data_set_offset :], meta.transfer_syntax_uid)
    except Undecodable:
        return 1
    return found.integer(header.NUMBER_OF_FRAMES) or 1
