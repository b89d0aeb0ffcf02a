"""MPPS: steps are recorded as modalities report them, and say when a study is complete."""

from datetime import timedelta

import pytest
from pydicom import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import ModalityPerformedProcedureStep

from gateway.ledger.queries import due
from gateway.ledger.steps_schema import PerformedStep
from gateway.model import SettleRule, StepState
from tests.instances import SERIES_UID, STUDY_UID, data_set
from tests.kept_studies import KeptStudy, file_of, keep_pack
from workers.settle import evidence

STEP_UID = "1.2.826.0.1.3680043.9.7433.5"


def begun(**changes: object) -> Dataset:
    """Return the attributes of an N-CREATE (PS3.4 Table F.7.2-1), as far as they matter."""
    scheduled = Dataset()
    scheduled.StudyInstanceUID, scheduled.AccessionNumber = STUDY_UID, "ACC1"
    ds = Dataset()
    ds.SpecificCharacterSet = "GB18030"
    ds.ScheduledStepAttributesSequence = [scheduled]
    ds.PatientName, ds.PatientID = "王^小东", "P1"
    ds.PerformedProcedureStepID, ds.PerformedStationAETitle = "PPS1", "WORKSTATION"
    ds.PerformedProcedureStepStatus, ds.Modality = "IN PROGRESS", "ES"
    ds.PerformedSeriesSequence = []
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


def ended(count: int, status: str = "COMPLETED") -> Dataset:
    """Return an N-SET that names `count` frames of the series."""
    series = Dataset()
    series.SeriesInstanceUID = SERIES_UID
    series.ReferencedImageSequence = []
    for number in range(1, count + 1):
        item = Dataset()
        item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.1"
        item.ReferencedSOPInstanceUID = f"{SERIES_UID}.{number}"
        series.ReferencedImageSequence.append(item)
    ds = Dataset()
    ds.PerformedProcedureStepStatus = status
    ds.PerformedSeriesSequence = [series]
    return ds


class Modality:
    """A modality on one association."""

    def __init__(self, port: int) -> None:
        ae = AE("WORKSTATION")
        ae.add_requested_context(ModalityPerformedProcedureStep)
        self.assoc = ae.associate("127.0.0.1", port, ae_title="CAPSULEGW")
        assert self.assoc.is_established

    def create(self, ds: Dataset, uid: str | None = STEP_UID) -> Dataset:
        return self.assoc.send_n_create(ds, ModalityPerformedProcedureStep, uid)[0]

    def set(self, ds: Dataset, uid: str = STEP_UID) -> Dataset:
        return self.assoc.send_n_set(ds, ModalityPerformedProcedureStep, uid)[0]


@pytest.fixture
def modality(listener):
    modality = Modality(listener.port)
    yield modality
    modality.assoc.release()


def rule(listener, *, quiet_s: float = 0) -> SettleRule | None:
    """Return why the only study would settle after some silence."""
    with listener.ledger.reading() as session:
        (facts,) = due.receiving(session)
    now = facts.last_received_at + timedelta(seconds=quiet_s)
    return evidence(facts, settle_s=5, settle_aborted_s=300, now=now)


def keep_frames(listener, numbers) -> None:
    study = KeptStudy(listener.settings, listener.ledger, 1)
    keep_pack(study, [file_of(data_set(number)) for number in numbers])


def test_a_step_is_recorded_with_its_text_decoded(listener, modality):
    assert modality.create(begun()).Status == 0x0000
    with listener.ledger.reading() as session:
        step = session.query(PerformedStep).one()
    assert (step.sop_instance_uid, step.state) == (STEP_UID, StepState.IN_PROGRESS)
    assert step.attributes["00100010"]["Value"] == [{"Alphabetic": "王^小东"}]
    assert step.calling_ae_title == "WORKSTATION"


def test_a_step_without_a_uid_gets_one(listener, modality):
    status, made = modality.assoc.send_n_create(begun(), ModalityPerformedProcedureStep, None)
    assert status.Status == 0x0000
    with listener.ledger.reading() as session:
        assert session.query(PerformedStep).one().sop_instance_uid.startswith("2.25.")
    assert made is not None


@pytest.mark.parametrize(
    ("ds", "status"),
    [
        (begun(PerformedProcedureStepStatus="COMPLETED"), 0x0106),
        (begun(ScheduledStepAttributesSequence=[]), 0x0120),
    ],
)
def test_a_step_that_cannot_begin_so_is_refused(listener, modality, ds, status):
    assert modality.create(ds).Status == status


def test_the_same_step_twice_is_a_duplicate(modality, listener):
    modality.create(begun())
    assert modality.create(begun()).Status == 0x0111


def test_an_unknown_step_cannot_be_changed(modality, listener):
    assert modality.set(ended(1)).Status == 0x0112


def test_an_ended_step_stays_as_it_is(modality, listener):
    modality.create(begun())
    assert modality.set(ended(1)).Status == 0x0000
    refusal = modality.set(ended(2))
    assert (refusal.Status, refusal.ErrorID) == (0x0110, 0xA710)


def test_a_completed_step_settles_the_study_as_soon_as_all_of_it_is_there(listener, modality):
    modality.create(begun())
    keep_frames(listener, range(1, 4))
    modality.set(ended(5))
    assert rule(listener) is None
    keep_frames(listener, range(4, 6))
    assert rule(listener) is SettleRule.PERFORMED_STEP


def test_while_a_step_is_in_progress_silence_must_be_long(listener, modality):
    modality.create(begun())
    keep_frames(listener, range(1, 4))
    assert rule(listener, quiet_s=6) is None
    assert rule(listener, quiet_s=301) is SettleRule.QUIET


@pytest.mark.parametrize("status", ["DISCONTINUED", "COMPLETED"])
def test_a_step_that_names_nothing_or_was_discontinued_leaves_it_to_silence(
    listener, modality, status
):
    modality.create(begun())
    keep_frames(listener, range(1, 4))
    modality.set(ended(3 if status == "DISCONTINUED" else 0, status))
    assert rule(listener) is None
    assert rule(listener, quiet_s=6) is SettleRule.QUIET


def test_a_step_of_another_study_says_nothing(listener, modality):
    other = Dataset()
    other.StudyInstanceUID = "1.2.3"
    modality.create(begun(ScheduledStepAttributesSequence=[other]))
    keep_frames(listener, [1])
    assert rule(listener, quiet_s=6) is SettleRule.QUIET
