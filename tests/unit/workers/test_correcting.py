"""A study given another identity: nothing old is sent any more, what was sent is taken back."""

import shutil
import subprocess
from datetime import UTC, datetime

import pytest
from pydicom import dcmread
from sqlalchemy import select

from gateway.correcting import Warrant, correct_study, merge_patient
from gateway.dicom.storage_classes import EXPLICIT_LITTLE
from gateway.errors import ConfigurationError, NotFound, StaleTransition, TransitionRefused
from gateway.ledger import events
from gateway.ledger.queries import corrections as correction_queries
from gateway.ledger.queries import outgoing
from gateway.ledger.queries import transfers as transfer_queries
from gateway.ledger.schema import Derived, Event, Rejection, Transfer
from gateway.ledger.transitions import corrections, registry, studies, transfers
from gateway.model import DerivedRole, ItemState, StudyState, TransferState
from gateway.preflight.check import check
from tests.instances import data_set
from tests.kept_studies import clock, file_of, keep_pack, keep_study, settle
from workers.rejecting import make_notes

CT = "1.2.840.10008.5.1.4.1.1.2"
NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
WARRANT = Warrant("admin", "wrong worklist entry", NOW)


@pytest.fixture
def study(tmp_path):
    """Four frames for two destinations."""
    files = [file_of(data_set(number)) for number in range(1, 5)]
    kept = keep_study(tmp_path / "home", [files])
    with kept.ledger.transaction() as session:
        for name in ("north", "south"):
            registry.add_destination(
                session, name, ae_title=name.upper(), host="127.0.0.1", port=104, now=clock(),
                actor="test", route_all=True,
            )  # fmt: skip
    return kept


def make(kept) -> None:
    """Do both steps of a study, without a summary."""
    kept.wrap()
    attempt = kept.claim()
    notes = make_notes(kept.settings, kept.ledger, kept.study_id, (), lambda: None)
    with kept.ledger.transaction() as session:
        corrections.record_notes(session, kept.study_id, notes, now=clock())
        studies.finish_summary(session, kept.study_id, attempt, [], [], now=clock())


def deliver(kept, *names: str) -> None:
    """Let destinations acknowledge everything of their latest transfer."""
    for transfer in latest(kept):
        if destination(kept, transfer) not in names:
            continue
        with kept.ledger.transaction() as session:
            claim = transfers.claim(session, transfer.id, lease_s=60, attempts_max=8, now=clock())
            items = [one.item.id for one in transfer_queries.items(session, transfer.id)]
            transfers.acknowledge_items(
                session, transfer.id, claim.attempt, items, status=0, now=clock()
            )
            transfers.finish_send(session, transfer.id, claim.attempt, now=clock())


def destination(kept, transfer: Transfer) -> str:
    with kept.ledger.reading() as session:
        return transfer_queries.line(session, transfer.id).destination.name


def latest(kept) -> list[Transfer]:
    with kept.ledger.reading() as session:
        rows = list(session.scalars(select(Transfer).order_by(Transfer.id)))
    return [one for one in rows if one.revision == max(row.revision for row in rows)]


def items(kept, name: str) -> dict[DerivedRole, list[str]]:
    """Return what a destination is sent by the latest transfer: SOP Instance UIDs by role."""
    (transfer,) = [one for one in latest(kept) if destination(kept, one) == name]
    found: dict[DerivedRole, list[str]] = {}
    with kept.ledger.reading() as session:
        for line in transfer_queries.items(session, transfer.id):
            if line.item.state is ItemState.PENDING:
                found.setdefault(line.derived.role, []).append(line.derived.sop_instance_uid)
    return found


def correct(kept, **wanted: str) -> list[str]:
    return correct_study(kept.ledger, "default", kept.study_id, wanted, WARRANT)


def part(kept):
    (path,) = kept.paths()
    return dcmread(path, stop_before_pixels=True)


def note(kept):
    with kept.ledger.reading() as session:
        row = correction_queries.notes(session, kept.study_id)[-1]
    return dcmread(kept.settings.home / row.storage_key)


def test_a_corrected_study_is_made_again_with_other_uids_and_says_what_was(study):
    make(study)
    before = part(study)
    assert correct(study, PatientName="Li^Ming=李^明", PatientSex="F") == [
        "PatientName", "PatientSex",
    ]  # fmt: skip
    assert (study.row.state, study.row.revision) == (StudyState.SETTLING, 2)
    make(study)
    after = part(study)
    assert (str(after.PatientName), after.PatientSex) == ("Li^Ming=李^明", "F")
    assert after.SOPInstanceUID != before.SOPInstanceUID
    assert after.StudyInstanceUID == before.StudyInstanceUID
    (remembered,) = after.OriginalAttributesSequence
    old = remembered.ModifiedAttributesSequence[0]
    assert (str(old.PatientName), old.PatientSex) == ("Wang^XiaoDong=王^小东", "O")
    assert remembered.ReasonForTheAttributeModification == "CORRECT"
    assert check(study.paths()[0]).passed


def test_the_same_correction_of_the_same_study_gives_the_same_uids(tmp_path, study):
    make(study)
    shutil.copytree(study.settings.home, tmp_path / "again")
    uids = []
    for home in (study.settings.home, tmp_path / "again"):
        again = type(study)(
            study.settings.model_copy(update={"home": home}),
            type(study.ledger)(f"sqlite:///{home / 'ledger.sqlite'}"),
            1,
        )
        correct(again, PatientID="P2")
        make(again)
        uids.append(part(again).SOPInstanceUID)
        again.ledger.dispose()
    assert uids[0] == uids[1]


def test_a_study_of_another_patient_is_another_study_and_comes_home_when_taken_back(study):
    make(study)
    first = part(study)
    correct(study, PatientID="P2")
    make(study)
    other = part(study)
    assert other.StudyInstanceUID != first.StudyInstanceUID
    assert other.SeriesInstanceUID != first.SeriesInstanceUID
    correct(study, PatientID="P1")
    make(study)
    back = part(study)
    assert (back.PatientID, back.StudyInstanceUID) == ("P1", first.StudyInstanceUID)
    assert len({one.SOPInstanceUID for one in (first, other, back)}) == 3
    assert len(back.OriginalAttributesSequence) == 2


def test_only_who_has_the_old_instances_gets_a_note_and_it_names_them_all(study):
    make(study)
    old = part(study)
    deliver(study, "north")
    correct(study, PatientID="P2")
    make(study)
    north, south = items(study, "north"), items(study, "south")
    assert len(north[DerivedRole.REJECTION_NOTE]) == 1
    assert DerivedRole.REJECTION_NOTE not in south
    assert north[DerivedRole.FRAMES] == south[DerivedRole.FRAMES] == [part(study).SOPInstanceUID]
    ds = note(study)
    assert ds.ConceptNameCodeSequence[0].CodeValue == "113037"
    assert (ds.PatientID, ds.StudyInstanceUID) == ("P1", old.StudyInstanceUID)
    (evidence,) = ds.CurrentRequestedProcedureEvidenceSequence
    named = [
        one.ReferencedSOPInstanceUID
        for series in evidence.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    ]
    assert named == [old.SOPInstanceUID]


def test_the_note_goes_before_what_replaces_the_rejected(study):
    make(study)
    deliver(study, "north")
    correct(study, PatientID="P2")
    make(study)
    (transfer,) = [one for one in latest(study) if destination(study, one) == "north"]
    with study.ledger.reading() as session:
        first = outgoing.unsent(session, transfer.id)[0]
        sent = outgoing.of_items(session, [first])[first]
    assert sent.role is DerivedRole.REJECTION_NOTE


def test_a_second_correction_takes_back_only_what_the_first_brought(study):
    make(study)
    deliver(study, "north")
    correct(study, PatientID="P2")
    make(study)
    second = part(study)
    deliver(study, "north")
    correct(study, PatientID="P3")
    make(study)
    with study.ledger.reading() as session:
        rejected = session.scalars(select(Rejection)).all()
        assert len(rejected) == 2
        assert (
            session.get(Derived, rejected[1].derived_id).sop_instance_uid == second.SOPInstanceUID
        )
    assert note(study).PatientID == "P2"
    assert len(items(study, "north")[DerivedRole.REJECTION_NOTE]) == 1


def test_a_destination_no_route_names_any_more_is_told_as_well(study):
    make(study)
    deliver(study, "north")
    with study.ledger.transaction() as session:
        registry.remove_route(session, "north", now=clock(), actor="test")
    correct(study, PatientID="P2")
    make(study)
    assert DerivedRole.REJECTION_NOTE in items(study, "north")


def test_nothing_of_the_old_identity_is_sent_any_more(study):
    make(study)
    (north, south) = latest(study)
    with study.ledger.transaction() as session:
        claim = transfers.claim(session, north.id, lease_s=60, attempts_max=8, now=clock())
    correct(study, PatientID="P2")
    with study.ledger.reading() as session:
        states = {one.id: one.state for one in session.scalars(select(Transfer))}
    assert set(states.values()) == {TransferState.CANCELLED}
    with study.ledger.transaction() as session, pytest.raises(TransitionRefused, match="corrected"):
        transfers.retry(session, south.id, now=clock(), actor="admin")
    with study.ledger.transaction() as session, pytest.raises(StaleTransition):
        transfers.holding(session, north.id, claim.attempt)


def test_what_a_cancelled_worker_had_delivered_is_taken_back_too(study):
    make(study)
    (north, _) = latest(study)
    with study.ledger.transaction() as session:
        transfers.claim(session, north.id, lease_s=60, attempts_max=8, now=clock())
        item = transfer_queries.items(session, north.id)[0].item.id
    correct(study, PatientID="P2")
    with study.ledger.transaction() as session:
        transfers.note_late_acknowledgements(session, north.id, [item], status=0, now=clock())
    make(study)
    assert DerivedRole.REJECTION_NOTE in items(study, "north")


def test_a_transfer_that_falls_due_again_after_a_correction_is_cancelled(study):
    make(study)
    deliver(study, "north")
    (north, _) = latest(study)
    correct(study, PatientID="P2")
    with study.ledger.transaction() as session:
        row = session.get(Transfer, north.id)
        row.state = TransferState.PENDING  # as after a commitment that failed
        session.flush()
        assert transfers.claim(session, north.id, lease_s=60, attempts_max=8, now=clock()) is None
        assert session.get(Transfer, north.id).state is TransferState.CANCELLED


def test_frames_that_come_late_belong_to_the_corrected_identity(study):
    make(study)
    correct(study, PatientID="P2", PatientName="Li^Ming")
    make(study)
    keep_pack(study, [file_of(data_set(5))])
    settle(study)
    make(study)
    ds = part(study)
    assert (ds.NumberOfFrames, ds.PatientID, str(ds.PatientName)) == (5, "P2", "Li^Ming")


def test_a_study_that_is_still_arriving_can_be_corrected_and_is_made_only_once(study):
    correct(study, PatientID="P2")
    assert (study.row.state, study.row.revision) == (StudyState.SETTLING, 1)
    make(study)
    assert part(study).PatientID == "P2"
    assert not correction_notes(study)


def correction_notes(kept):
    with kept.ledger.reading() as session:
        return correction_queries.notes(session, kept.study_id)


def test_a_study_is_not_corrected_while_it_is_being_made(study):
    study.claim()
    with pytest.raises(TransitionRefused, match="being made"):
        correct(study, PatientID="P2")


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"PatientID": "P1"}, "Nothing would change"),
        ({"PatientID": ""}, "Patient ID is needed"),
        ({"PatientID": "a\\b"}, "no PatientID"),
        ({"PatientID": "x" * 65}, "no PatientID"),
        ({"PatientBirthDate": "1970-01-01"}, "no PatientBirthDate"),
        ({"PatientSex": "female"}, "no PatientSex"),
        ({"PatientName": "a" * 65}, "no PatientName"),
        ({"PatientName": "a=b=c=d"}, "no PatientName"),
        ({"AccessionNumber": "1" * 17}, "no AccessionNumber"),
        ({"StudyDate": "20260101"}, "not corrected here"),
    ],
)
def test_an_illegal_correction_changes_nothing(study, wanted, words):
    with pytest.raises(ConfigurationError, match=words):
        correct(study, **wanted)
    assert (study.row.patient_id, study.row.revision) == ("P1", 1)


def test_a_correction_needs_a_reason(study):
    with pytest.raises(ConfigurationError, match="reason"):
        correct_study(study.ledger, "default", 1, {"PatientID": "P2"}, Warrant("admin", " ", NOW))


def test_the_event_says_who_and_what_but_no_name_and_shows_tampering(study):
    make(study)
    correct(study, PatientName="Li^Ming", PatientID="P2")
    with study.ledger.transaction() as session:
        event = session.scalars(select(Event).where(Event.kind == "corrected")).one()
        (row,) = correction_queries.history(session, 1)
        assert event.actor == "admin"
        assert "PatientID, PatientName" in event.detail
        assert "Ming" not in event.detail
        assert corrections.fingerprint(row) in event.detail
        row.reason = "something else"
        assert corrections.fingerprint(row) not in event.detail
        assert events.first_broken(session) is None


def test_merging_gives_every_study_of_a_patient_to_another(study):
    make(study)
    other = data_set(
        1,
        StudyInstanceUID="1.2.3",
        SeriesInstanceUID="1.2.3.1",
        SOPInstanceUID="1.2.3.1.1",
        PatientID="P2",
        PatientName="Li^Ming",
        PatientSex="F",
    )
    keep_pack(study, [file_of(other)])
    assert merge_patient(study.ledger, "default", "P1", "P2", WARRANT) == 1
    row = study.row
    assert (row.patient_id, row.patient_name, row.patient_sex) == ("P2", "Li^Ming", "F")
    with pytest.raises(NotFound):
        merge_patient(study.ledger, "default", "P1", "P2", WARRANT)


def test_studies_without_a_patient_id_are_not_taken_for_one_patient_s(tmp_path):
    study = keep_study(tmp_path / "home", [[file_of(data_set(1, PatientID=""))]])
    with pytest.raises(ConfigurationError, match="different patients"):
        merge_patient(study.ledger, "default", "", "P2", WARRANT)
    assert (study.row.patient_id, study.row.revision) == ("", 1)


def test_an_original_is_delivered_with_the_corrected_identity_and_the_same_pixels(tmp_path):
    original = data_set(
        1, SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jörg", SOPClassUID=CT,
        PhotometricInterpretation="MONOCHROME2", SamplesPerPixel=1, BitsAllocated=16,
        PixelData=bytes(range(256)) * 32,
    )  # fmt: skip
    original["PixelData"].is_undefined_length = False
    original["PixelData"].VR = "OW"
    kept = keep_study(tmp_path / "home", [[file_of(original, EXPLICIT_LITTLE)]])
    make(kept)
    (before,) = kept.derived(DerivedRole.ORIGINAL)
    correct(kept, PatientName="李^明", PatientID="P2")
    make(kept)
    (after,) = kept.derived(DerivedRole.ORIGINAL)
    ds = dcmread(kept.settings.home / after.storage_key)
    assert after.sop_instance_uid == ds.SOPInstanceUID != before.sop_instance_uid
    assert (str(ds.PatientName), ds.PatientID) == ("李^明", "P2")
    assert (ds.SpecificCharacterSet, ds.SOPClassUID) == ("ISO_IR 192", CT)
    assert ds.StudyInstanceUID == kept.row.delivered_uid
    assert ds.PixelData == original.PixelData


@pytest.mark.peer("dciodvfy")
def test_a_public_validator_finds_no_error_in_note_and_corrected_part(study):
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed")
    make(study)
    deliver(study, "north")
    correct(study, PatientID="P2", PatientName="Li^Ming=李^明")
    make(study)
    (row,) = correction_notes(study)
    for path in (study.settings.home / row.storage_key, study.paths()[0]):
        said = subprocess.run([program, path], capture_output=True, text=True, check=False)
        assert "Error" not in said.stderr, said.stderr
        assert check(path).passed


def test_what_later_frames_replaced_is_taken_back_where_it_was_delivered(study):
    make(study)
    before = part(study)
    deliver(study, "north")
    keep_pack(study, [file_of(data_set(number)) for number in range(5, 8)])
    settle(study)
    make(study)
    (sent,) = items(study, "north")[DerivedRole.REJECTION_NOTE]
    assert DerivedRole.REJECTION_NOTE not in items(study, "south")
    told = note(study)
    assert told.SOPInstanceUID == sent
    assert told.StudyInstanceUID == before.StudyInstanceUID
    assert told.ConceptNameCodeSequence[0].CodeValue == "113001"
    (series,) = told.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    (named,) = series.ReferencedSOPSequence
    assert named.ReferencedSOPInstanceUID == before.SOPInstanceUID
    make_again = make_notes(study.settings, study.ledger, study.study_id, (), lambda: None)
    assert make_again == [], "once is enough"
