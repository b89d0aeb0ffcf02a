"""Modality Performed Procedure Step as an SCP (PS3.4 F.7.2): N-CREATE and N-SET.

Handlers of pynetdicom's EVT_N_CREATE and EVT_N_SET; each returns (status, data set or None). What
is accepted is recorded before it is answered, and counts as evidence when a study settles.
"""

import uuid
from typing import Any

from pydicom import Dataset
from pynetdicom.sop_class import ModalityPerformedProcedureStep  # type: ignore[attr-defined]

from gateway import log
from gateway.dicom import identity, text, uids
from gateway.errors import LedgerError, NotFound, TransitionRefused
from gateway.holdings.held import Holdings
from gateway.ledger.transitions import performed_steps
from gateway.ledger.transitions.performed_steps import SeriesCounts
from gateway.model import StepState
from gateway.status import (
    DUPLICATE_SOP_INSTANCE,
    NO_SUCH_INSTANCE,
    PROCESSING_FAILURE,
    SUCCESS,
)

INVALID_ATTRIBUTE_VALUE, MISSING_ATTRIBUTE, INVALID_INSTANCE = 0x0106, 0x0120, 0x0117
NO_SUCH_CLASS = 0x0118
MAY_NO_LONGER_BE_UPDATED = 0xA710
"""Error ID (0000,0903) beside status 0110, PS3.4 F.7.2.2.4."""
_PERFORMED_SERIES = "PerformedSeriesSequence"
_REFERENCES = ("ReferencedImageSequence", "ReferencedNonImageCompositeSOPInstanceSequence")

_logger = log.get(__name__)
Answer = tuple[Any, Dataset | None]


def create(event: Any, held: Holdings) -> Answer:
    """Take an N-CREATE request: a step begins."""
    if str(event.request.AffectedSOPClassUID) != ModalityPerformedProcedureStep:
        return NO_SUCH_CLASS, None
    uid = str(event.request.AffectedSOPInstanceUID or f"2.25.{uuid.uuid4().int}")
    if not uids.is_valid(uid):
        return INVALID_INSTANCE, None
    try:
        ds = _decoded(event.attribute_list)
        named = _series(ds, _studies(ds))
        if not named:
            return MISSING_ATTRIBUTE, None
        if ds.get("PerformedProcedureStepStatus", "") != StepState.IN_PROGRESS:
            return INVALID_ATTRIBUTE_VALUE, None
        with held.ledger.transaction() as session:
            is_new = performed_steps.create(
                session,
                uid,
                _kept(ds),
                calling_ae_title=_calling(event),
                series=named,
                now=held.now(),
            )
    except identity.UNREADABLE as error:
        _logger.warning("mpps.unreadable", calling=_calling(event), error=str(error))
        return INVALID_ATTRIBUTE_VALUE, None
    except LedgerError as error:
        return _not_recorded(event, error)
    _logger.info("mpps.created", calling=_calling(event), step=uid, new=is_new)
    answer = Dataset()
    answer.AffectedSOPInstanceUID = uid
    return (SUCCESS, answer) if is_new else (DUPLICATE_SOP_INSTANCE, None)


def modify(event: Any, held: Holdings) -> Answer:
    """Take an N-SET request: a step goes on, or ends."""
    uid = str(event.request.RequestedSOPInstanceUID)
    try:
        ds = _decoded(event.modification_list)
        state = StepState(str(ds.get("PerformedProcedureStepStatus") or StepState.IN_PROGRESS))
        with held.ledger.transaction() as session:
            studies = performed_steps.studies_of(session, uid)
            performed_steps.modify(
                session, uid, _kept(ds), state=state, series=_series(ds, studies), now=held.now()
            )
    except NotFound:
        return NO_SUCH_INSTANCE, None
    except TransitionRefused as error:
        status = Dataset()
        status.Status, status.ErrorID = PROCESSING_FAILURE, MAY_NO_LONGER_BE_UPDATED
        status.ErrorComment = str(error)[:64]
        return status, None
    except identity.UNREADABLE as error:
        _logger.warning("mpps.unreadable", calling=_calling(event), error=str(error))
        return INVALID_ATTRIBUTE_VALUE, None
    except LedgerError as error:
        return _not_recorded(event, error)
    _logger.info("mpps.modified", calling=_calling(event), step=uid, state=str(state))
    return SUCCESS, Dataset()


def _decoded(ds: Dataset) -> Dataset:
    text.decode_all(ds)
    return ds


def _kept(ds: Dataset) -> dict[str, Any]:
    """Return a step as DICOM JSON, without the instances it names: they may be 100,000."""
    kept = Dataset()
    for element in ds:
        if element.keyword != _PERFORMED_SERIES:
            kept.add(element)
    json: dict[str, Any] = kept.to_json_dict(suppress_invalid_tags=True)
    return json


def _studies(ds: Dataset) -> list[str]:
    steps = ds.get("ScheduledStepAttributesSequence") or []
    found = {str(one.get("StudyInstanceUID", "")) for one in steps}
    return sorted(uid for uid in found if uids.is_valid(uid))


def _series(ds: Dataset, studies: list[str]) -> SeriesCounts:
    """Return what a data set names: its studies and, in each, its series."""
    counts = dict.fromkeys(((study, "") for study in studies), 0)
    for item in ds.get(_PERFORMED_SERIES) or []:
        uid = str(item.get("SeriesInstanceUID", ""))
        if uids.is_valid(uid):
            number = sum(len(item.get(one) or []) for one in _REFERENCES)
            counts.update(dict.fromkeys(((study, uid) for study in studies), number))
    return counts


def _calling(event: Any) -> str:
    return str(event.assoc.requestor.ae_title).strip()


def _not_recorded(event: Any, error: LedgerError) -> Answer:
    _logger.error("mpps.not-recorded", calling=_calling(event), code=error.code, error=str(error))
    return PROCESSING_FAILURE, None
