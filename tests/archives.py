"""A listener of ours that holds finished studies, and requestors that ask it for them."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pynetdicom import AE, build_role
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation

from gateway.dicom.storage_classes import EXPLICIT_LITTLE, JPEG_BASELINE, KEY_OBJECT_SELECTION
from gateway.ledger.queries import studies as queries
from gateway.ledger.transitions import registry, studies
from gateway.ledger.transitions.studies import DerivedInstance
from gateway.model import DerivedRole
from tests.instances import data_set
from tests.kept_studies import KeptStudy, clock, file_of, keep_pack, keep_study, settle
from tests.listening import Listener
from workers.wrapping import wrap


def finished_study(home: Path, *, frames: int = 5, **changes: object) -> KeptStudy:
    """Keep a study of small frames in a fresh ledger, wrap and summarise it.

    changes: attributes of every instance.
    """
    study = keep_study(home, [frame_files(range(1, frames + 1), **changes)])
    finish(study)
    return study


def add_study(study: KeptStudy, uid: str, *, frames: int = 3, **changes: object) -> KeptStudy:
    """Keep one more study in the same ledger, wrapped and summarised."""
    files = frame_files(
        range(1, frames + 1), StudyInstanceUID=uid, SeriesInstanceUID=f"{uid}.1", **changes
    )
    keep_pack(study, files)
    with study.ledger.reading() as session:
        row = queries.by_uid(session, uid)
    other = KeptStudy(study.settings, study.ledger, row.id)
    settle(other)
    finish(other)
    return other


def frame_files(numbers: Sequence[int], **changes: object) -> Iterator[bytes]:
    for number in numbers:
        ds = data_set(number, **changes)
        ds.SOPInstanceUID = f"{ds.SeriesInstanceUID}.{number}"
        yield file_of(ds)


def finish(study: KeptStudy) -> None:
    """Wrap a study; add a key frame and a Key Object Selection, which only look like ours."""
    wrap(study.settings, study.ledger, study.study_id, study.claim(), now=clock)
    uid = study.row.study_instance_uid
    key_frame = data_set(
        1, StudyInstanceUID=uid, SeriesInstanceUID=f"{uid}.901", SOPInstanceUID=f"{uid}.901.1",
        SeriesNumber=901, SeriesDescription="Key frames",
    )  # fmt: skip
    document = data_set(
        1, StudyInstanceUID=uid, SeriesInstanceUID=f"{uid}.900", SOPInstanceUID=f"{uid}.900.1",
        SOPClassUID=KEY_OBJECT_SELECTION, Modality="KO", SeriesNumber=900,
        Rows=None, Columns=None,
    )  # fmt: skip
    del document.PixelData
    made = [
        _derived(study, DerivedRole.KEY_FRAME, key_frame, JPEG_BASELINE),
        _derived(study, DerivedRole.KEY_OBJECTS, document, EXPLICIT_LITTLE),
    ]
    attempt = study.claim()
    with study.ledger.transaction() as session:
        studies.finish_summary(session, study.study_id, attempt, made, [], now=clock())


def _derived(
    study: KeptStudy, role: DerivedRole, ds: Dataset, transfer_syntax_uid: str
) -> DerivedInstance:
    content = file_of(ds, transfer_syntax_uid)
    key = f"derived/{ds.StudyInstanceUID}/{ds.SOPInstanceUID}.dcm"
    (study.settings.home / key).write_bytes(content)
    return DerivedInstance(
        role=role,
        number=1,
        series_instance_uid=ds.SeriesInstanceUID,
        sop_class_uid=ds.SOPClassUID,
        sop_instance_uid=ds.SOPInstanceUID,
        transfer_syntax_uid=transfer_syntax_uid,
        storage_key=key,
        size_bytes=len(content),
        frame_count=1 if role is DerivedRole.KEY_FRAME else 0,
        digest=hashlib.sha256(content).hexdigest(),
    )


def add_destination(listener: Listener, ae_title: str, port: int) -> None:
    with listener.ledger.transaction() as session:
        registry.add_destination(
            session, ae_title.lower(), ae_title=ae_title, host="127.0.0.1", port=port,
            now=clock(), actor="test",
        )  # fmt: skip


@pytest.fixture
def archive(tmp_path, make_listener) -> Callable[..., tuple[Listener, KeptStudy]]:
    """Return a function that makes a finished study and a listener on its ledger."""

    def make(*, frames: int = 5, text: dict[str, object] | None = None, **settings: object):
        study = finished_study(tmp_path, frames=frames, **(text or {}))
        return make_listener(**settings), study

    return make


@contextmanager
def associated(
    port: int,
    *models: str,
    extended: dict[str, bytes] | None = None,
    storage: Sequence[tuple[str, str]] = (),
    handlers: Sequence[object] = (),
) -> Iterator[Any]:
    """Associate as WORKSTATION, by pynetdicom, for query/retrieve models.

    extended: SOP Class Extended Negotiation. storage: SOP classes and transfer syntaxes it
    takes by C-GET. handlers: pynetdicom's.
    """
    ae = AE("WORKSTATION")
    for model in models:
        ae.add_requested_context(model)
    for sop_class_uid, transfer_syntax_uid in storage:
        ae.add_requested_context(sop_class_uid, transfer_syntax_uid)
    items: list[Any] = [build_role(uid, scp_role=True) for uid in {one for one, _ in storage}]
    for uid, information in (extended or {}).items():
        item = SOPClassExtendedNegotiation()
        item.sop_class_uid, item.service_class_application_information = uid, information
        items.append(item)
    assoc = ae.associate(
        "127.0.0.1", port, ae_title="CAPSULEGW", ext_neg=items, evt_handlers=list(handlers)
    )
    assert assoc.is_established
    try:
        yield assoc
    finally:
        if assoc.is_established:
            assoc.release()


def keys(level: str, **values: object) -> Dataset:
    ds = Dataset()
    ds.QueryRetrieveLevel = level
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


@dataclass
class Found:
    matches: list[Dataset] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    @property
    def final(self) -> int:
        return self.statuses[-1]


def find(assoc: Any, model: str, identifier: Dataset) -> Found:
    found = Found()
    for status, match in assoc.send_c_find(identifier, model):
        found.statuses.append(status.Status)
        if match is not None:
            found.matches.append(match)
    return found
