"""From a recording to instances: read, recognise, convert where needed, encode the data set.

Jobs may be prepared in any thread: they touch files and values only.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gateway.dicom import times, uids
from gateway.dicom.storage_classes import VL_ENDOSCOPIC
from gateway.errors import FileRefused
from gateway.importing import content, exif, instances, kinds
from gateway.importing.clock import Clock, TimeFrom
from gateway.importing.content import Content
from gateway.importing.instances import SeriesOrder
from gateway.importing.keeping import Offer
from gateway.importing.plan import Recording
from gateway.importing.source import Item, Source

_RULES = 1
"""Goes into every UID: raise it when the same file begins to give other pixels."""


@dataclass(frozen=True)
class Loaded:
    """digest: of what the frame is made from; convert: makes its pixel data, or FileRefused.

    taken_us: the time it holds itself, UNKNOWN if none was looked for.
    """

    digest: str
    convert: Callable[[], Content]
    taken_us: int = times.UNKNOWN


@dataclass(frozen=True)
class Job:
    """One frame to come. number: 1-based; size_bytes: about what it will hold in memory."""

    name: str
    number: int
    taken_us: int
    size_bytes: int
    load: Callable[[], Loaded]


@dataclass(frozen=True)
class Prepared:
    """An instance ready to be kept. offer: None if it is there already, or refused (then why).

    known: an instance of that UID is there; what is offered all the same is compared with it.
    """

    name: str
    sop_instance_uid: str
    offer: Offer | None = None
    size_bytes: int = 0
    known: bool = False
    damaged: str = ""
    refused: str = ""


def series_uid(tenant: str, study_instance_uid: str, name: str, first_digest: str) -> str:
    """Return the UID of a recording's Series: the same for the same recording, however imported."""
    return uids.derived("import-series", tenant, study_instance_uid, name, first_digest)


def prepare(job: Job, series: SeriesOrder, is_known: Callable[[str], bool]) -> Prepared:
    """Make the instance of a frame; never raises for what is wrong with the frame.

    Its UID names its place and its bytes: one that is known need not be converted again.
    """
    uid = _sop_instance_uid(series, job.number, "")
    try:
        loaded = job.load()
        uid = _sop_instance_uid(series, job.number, loaded.digest)
        if is_known(uid):
            return Prepared(job.name, uid, known=True)
        made = loaded.convert()
    except FileRefused as error:
        return Prepared(job.name, uid, refused=str(error))
    taken_us = loaded.taken_us if loaded.taken_us != times.UNKNOWN else job.taken_us
    data = instances.data_set(
        series, made, sop_instance_uid=uid, number=job.number, taken_us=taken_us
    )
    offer = Offer(VL_ENDOSCOPIC, uid, made.transfer_syntax_uid, (data,))
    return Prepared(job.name, uid, offer, len(data), damaged=made.damaged)


def of_files(source: Source, recording: Recording, clock: Clock, *, start_us: int) -> Iterator[Job]:
    """Yield the frames of a recording that comes as pictures."""
    for index, item in enumerate(recording.items):

        def load(item: Item = item) -> Loaded:
            data = source.read(item)
            taken_us = times.UNKNOWN
            if clock.source is TimeFrom.EXIF:
                taken_us = exif.taken_us(kinds.of(data[: kinds.HEAD_BYTES]), data)
            return Loaded(
                hashlib.sha256(data).hexdigest(),
                lambda: content.from_file(data),
                taken_us,
            )

        taken_us = clock.taken_us(index, start_us=start_us)
        yield Job(item.name, index + 1, taken_us, 2 * item.size_bytes, load)


def _sop_instance_uid(series: SeriesOrder, number: int, digest: str) -> str:
    return uids.derived("import-frame", _RULES, series.series_instance_uid, number, digest)
