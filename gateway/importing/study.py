"""Whose frames these are, when they were taken, and which Study and Series they become."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from gateway.dicom import times, uids
from gateway.errors import FileRefused, NotFound, OrderIncomplete
from gateway.importing import clock, exif, frames, kinds, order, stamps, video
from gateway.importing.clock import Clock, TimeFrom
from gateway.importing.frames import Job
from gateway.importing.instances import SeriesOrder
from gateway.importing.options import Options
from gateway.importing.order import Order
from gateway.importing.plan import Plan, Recording
from gateway.importing.report import Report
from gateway.importing.source import Source, read_plain
from gateway.importing.video import OpenVideo, Video
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import studies

ACCESSION_NUMBER_LENGTH = 16  # VR SH

Jobs = Callable[[int], Iterator[Job]]
"""Given when elapsed times begin."""


@dataclass(frozen=True)
class Take:
    """A recording on its way in. frame_count: 0 if nobody knows yet."""

    name: str
    series: SeriesOrder
    jobs: Callable[[], Iterator[Job]]
    frame_count: int


@dataclass(frozen=True)
class Study:
    order: Order
    takes: list[Take]

    @property
    def frame_count(self) -> int:
        return sum(take.frame_count for take in self.takes)


@dataclass(frozen=True)
class _Found:
    """A recording that was looked at. first_digest: of its first frame or file."""

    recording: Recording
    first_digest: str
    first_us: int
    jobs: Jobs
    frame_count: int


def stated_order(path: Path, source: Source, plan: Plan, options: Options) -> Order:
    """Put together what is known about the order: options, then a file, then the worklist.

    Raises OrderIncomplete if no Patient ID comes out, or two that differ.
    """
    stated = options.order
    data = _order_file(path, source, plan)
    if data is not None:
        stated = order.over(stated, order.from_json(data))
    listed = None
    accession_number = stated.accession_number
    if not stated.patient_id and not accession_number:
        likely = options.likely_accession_number
        accession_number = likely if len(likely) <= ACCESSION_NUMBER_LENGTH else ""
    if options.listed is not None and accession_number:
        listed = options.listed(accession_number)
    whole = order.merged(stated, listed)
    if not whole.patient_id:
        raise OrderIncomplete("It is not known whose frames these are: there is no Patient ID.")
    return whole


def identified(
    source: Source,
    plan: Plan,
    options: Options,
    *,
    tenant: str,
    report: Report,
    cleaning: ExitStack,
) -> Study:
    """Look at every recording, and give each the UIDs that are its own for ever.

    options.order: what `stated_order` came to. A video that cannot be read goes to plan.refused;
    one that can is closed by `cleaning`.
    Raises OrderIncomplete if times that were asked for are not there.
    """
    time_list = options.time_list
    if time_list is None and plan.times is not None:
        time_list = source.read(plan.times, stamps.LIST_BYTES_MAX)
    options, stated = replace(options, time_list=time_list), options.order
    found: list[_Found] = []
    for recording in plan.recordings:
        try:
            found.append(_look(source, recording, options, report, cleaning))
        except FileRefused as error:
            plan.refused.append((recording.name, str(error)))
    study_uid = stated.study_instance_uid or _study_uid(tenant, stated, found)
    whole, remark = clock.dated(
        stated.model_copy(update={"study_instance_uid": study_uid}),
        first_us=next((one.first_us for one in found if one.first_us >= 0), times.UNKNOWN),
        modified_us=plan.recordings[0].items[0].modified_us,
    )
    report.remark(remark)
    start_us = clock.start_us(whole)
    takes = [
        Take(
            one.recording.name,
            SeriesOrder(
                whole,
                frames.series_uid(tenant, study_uid, one.recording.name, one.first_digest),
                number,
                _description(whole, one.recording, len(found)),
            ),
            partial(one.jobs, start_us),
            one.frame_count,
        )
        for number, one in enumerate(found, start=1)
    ]
    return Study(whole, takes)


def check_patient(ledger: Ledger, whole: Order) -> None:
    """Raise OrderIncomplete if the ledger knows the study as somebody else's."""
    with ledger.reading() as session:
        try:
            known = studies.by_uid(session, whole.study_instance_uid)
        except NotFound:
            return
        same = known.patient_id == whole.patient_id
    if not same:
        raise OrderIncomplete("This study is here already, with another Patient ID.")


def _look(
    source: Source, recording: Recording, options: Options, report: Report, cleaning: ExitStack
) -> _Found:
    if recording.video is not None:
        file = OpenVideo(source, recording.items[0])
        cleaning.callback(file.close)
        return _video(video.look(file, recording.name, recording.video), recording, options, report)
    first = _first(source, recording)
    time = _clock(recording, options, first)
    if time.source is TimeFrom.NONE:
        report.remark("No times are known: give --fps, or a list of times.")
    elif time.stamps is not None and not time.stamps.absolute:
        _remark_midnight(options.order, report)
    first_us = time.first_us
    if time.source is TimeFrom.EXIF:
        first_us = _exif_us(first)
    jobs = partial(_frames, source, recording, time)
    digest = hashlib.sha256(first).hexdigest()
    return _Found(recording, digest, first_us, jobs, len(recording.items))


def _video(found: Video, recording: Recording, options: Options, report: Report) -> _Found:
    fps = options.order.fps
    if not fps and not found.is_timed:
        report.remark("No times are known: give --fps.")
    else:
        _remark_midnight(options.order, report)
    if found.motion_jpeg is None:
        report.remark(f"{found.name} is no Motion JPEG: it was decoded and encoded once.")

    def jobs(start_us: int) -> Iterator[Job]:
        return video.jobs(found, start_us=start_us, fps=fps)

    return _Found(recording, found.first_digest, times.UNKNOWN, jobs, found.frame_count)


def _frames(source: Source, recording: Recording, time: Clock, start_us: int) -> Iterator[Job]:
    return frames.of_files(source, recording, time, start_us=start_us)


def _clock(recording: Recording, options: Options, first: bytes) -> Clock:
    """Choose where the times come from. Raises OrderIncomplete if a wanted one is not there."""
    wanted, fps = options.time_from, options.order.fps
    names = [item.name for item in recording.items]
    may = {wanted} if wanted is not TimeFrom.AUTO else set(TimeFrom)
    if TimeFrom.LIST in may and options.time_list is not None:
        return Clock(TimeFrom.LIST, stamps.from_list(options.time_list, names))
    if TimeFrom.FPS in may and fps and not options.time_pattern:
        return Clock(TimeFrom.FPS, clock.at_rate(len(names), fps))
    if TimeFrom.NAMES in may:
        named = stamps.from_names(names, options.time_pattern)
        if named is not None:
            return Clock(TimeFrom.NAMES, named)
    if TimeFrom.EXIF in may and _exif_us(first) != times.UNKNOWN:
        return Clock(TimeFrom.EXIF)
    if wanted not in (TimeFrom.AUTO, TimeFrom.NONE):
        raise OrderIncomplete(f"There are no times of the kind that was asked for: {wanted}.")
    return Clock(TimeFrom.NONE)


def _remark_midnight(known: Order, report: Report) -> None:
    if not known.study_time:
        report.remark("Times count from midnight: the Study Time is not known.")


def _first(source: Source, recording: Recording) -> bytes:
    try:
        return source.read(recording.items[0])
    except FileRefused:  # it is refused by name later
        return b""


def _exif_us(data: bytes) -> int:
    return exif.taken_us(kinds.of(data[: kinds.HEAD_BYTES]), data)


def _study_uid(tenant: str, known: Order, found: list[_Found]) -> str:
    """Name a study by its order if there is one, else by its first frame."""
    who = ("import-study", tenant, known.patient_id)
    if known.accession_number:
        return uids.derived(*who, known.accession_number)
    return uids.derived(*who, known.study_date, found[0].first_digest if found else "")


def _description(known: Order, recording: Recording, count: int) -> str:
    """Say which camera or file a Series is of, where there are several."""
    if count == 1 or not recording.name:
        return known.series_description
    return f"{known.series_description} {recording.name}".strip()[:64]


def _order_file(path: Path, source: Source, plan: Plan) -> bytes | None:
    """Return the order file inside, or the one beside: name.json, or name.zip.json."""
    if plan.order is not None:
        return source.read(plan.order, order.FILE_BYTES_MAX)
    for name in (f"{path.name}.json", f"{path.stem}.json"):
        beside = path.with_name(name)
        if beside != path and beside.is_file():
            return read_plain(beside, order.FILE_BYTES_MAX + 1)
    return None
