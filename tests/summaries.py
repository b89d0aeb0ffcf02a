"""Builders for tests of the summarise step: wrapped studies of small capsule pictures."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate

from gateway.ledger.queries import studies as queries
from gateway.ledger.schema import Derived, KeyFrame
from gateway.ledger.transitions.studies import SUMMARY_ROLES
from tests.instances import SERIES_UID, data_set
from tests.kept_studies import KeptStudy, clock, file_of, keep_study
from workers.summarising import summarise

STARTED_AT = datetime(2026, 3, 1, 23, 59, 55)


def received(
    streams: Sequence[bytes],
    *,
    interval_ms: int = 500,
    series_instance_uid: str = SERIES_UID,
    **changes: object,
) -> Iterator[bytes]:
    """Yield Part 10 files as a workstation sends them, one per JPEG stream.

    changes: attributes of every instance. The first frame is taken at STARTED_AT.
    """
    for position, stream in enumerate(streams):
        at = STARTED_AT + timedelta(milliseconds=interval_ms * position)
        rows, columns = cv2.imdecode(np.frombuffer(stream, np.uint8), cv2.IMREAD_COLOR).shape[:2]
        times = {
            "AcquisitionDateTime": f"{at:%Y%m%d%H%M%S.%f}",
            "ContentDate": f"{at:%Y%m%d}",
            "ContentTime": f"{at:%H%M%S.%f}",
        }
        ds = data_set(position + 1, Rows=rows, Columns=columns, **{**times, **changes})
        ds.SeriesInstanceUID = series_instance_uid
        ds.SOPInstanceUID = f"{series_instance_uid}.{position + 1}"
        ds.PixelData = encapsulate([stream])
        yield file_of(ds)


def wrapped_study(home: Path, packs: Sequence[Iterator[bytes]], **settings: object) -> KeptStudy:
    study = keep_study(home, packs, **settings)
    study.wrap()
    return study


def run(study: KeptStudy, attempt: int | None = None, now: Callable[[], datetime] = clock) -> None:
    """Run the summarise step, under a new claim if none is given."""
    attempt = attempt or study.claim()
    summarise(study.settings, study.ledger, study.study_id, attempt, now=now)


def made(study: KeptStudy) -> list[Derived]:
    """Return the current summary instances."""
    return [row for role in SUMMARY_ROLES for row in study.derived(role)]


def path_of(study: KeptStudy, row: Derived) -> Path:
    return study.settings.home / row.storage_key


def read(study: KeptStudy, row: Derived) -> Dataset:
    return dcmread(path_of(study, row))


def key_frames(study: KeptStudy) -> list[KeyFrame]:
    with study.ledger.reading() as session:
        return queries.key_frames(session, study.row)
