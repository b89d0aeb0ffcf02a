"""C-MOVE and C-GET: what is named arrives bit for bit, is counted right, and can be stopped."""

import struct
import threading
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.filereader import read_dataset
from pynetdicom import evt
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from gateway.dicom.storage_classes import (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    JPEG_BASELINE,
    KEY_OBJECT_SELECTION,
    VIDEO_ENDOSCOPIC,
    VL_ENDOSCOPIC,
)
from gateway.ledger.queries import holdings
from gateway.ledger.schema import Correction
from gateway.packs import index as pack_index
from tests.archives import add_destination, add_study, associated, keys
from tests.instances import SERIES_UID, STUDY_UID
from tests.kept_studies import KeptStudy, clock
from tests.listening import eventually
from tests.loopback_pacs import running_pacs

MOVE = StudyRootQueryRetrieveInformationModelMove
GET = StudyRootQueryRetrieveInformationModelGet
KINDS = (
    (VIDEO_ENDOSCOPIC, JPEG_BASELINE),
    (VL_ENDOSCOPIC, JPEG_BASELINE),
    (KEY_OBJECT_SELECTION, EXPLICIT_LITTLE),
)


def data_sets(study: KeptStudy) -> dict[str, bytes]:
    """Return the data set of every derived instance by SOP Instance UID."""
    found = {}
    with study.ledger.reading() as session:
        rows = holdings.derived(session, study.study_id)
    for row in rows:
        content = (study.settings.home / row.storage_key).read_bytes()
        found[row.sop_instance_uid] = without_meta(content)
    return found


def without_meta(content: bytes) -> bytes:
    (length,) = struct.unpack_from("<L", content, 140)
    return content[144 + length :]


def move(port: int, identifier: Dataset, *, destination: str = "PACS", model: str = MOVE):
    with associated(port, model) as assoc:
        return list(assoc.send_c_move(identifier, destination, model))


def get(
    port: int,
    identifier: Dataset,
    *,
    storage=KINDS,
    model: str = GET,
    answer=lambda _: 0,
    message_id: int = 1,
):
    """Return (responses, what came by SOP Instance UID)."""
    came: dict[str, bytes] = {}

    def on_store(event):
        came[event.request.AffectedSOPInstanceUID] = event.request.DataSet.getvalue()
        return answer(event)

    handlers = [(evt.EVT_C_STORE, on_store)]
    with associated(port, model, storage=storage, handlers=handlers) as assoc:
        return list(assoc.send_c_get(identifier, model, msg_id=message_id)), came


def counts(status: Dataset) -> tuple[int, ...]:
    """Return completed, failed, warnings."""
    return (
        status.NumberOfCompletedSuboperations,
        status.NumberOfFailedSuboperations,
        status.NumberOfWarningSuboperations,
    )


def test_a_study_is_moved_bit_for_bit_to_a_configured_destination(archive):
    listener, study = archive()
    with running_pacs(KINDS) as pacs:
        add_destination(listener, "PACS", pacs.port)
        responses = move(listener.port, keys("STUDY", StudyInstanceUID=STUDY_UID))
    assert dict(pacs.stored) == data_sets(study)
    assert [status.Status for status, _ in responses][-1] == 0x0000
    assert counts(responses[-1][0]) == (3, 0, 0)


def test_a_moved_instance_names_who_asked_for_it(archive):
    listener, _ = archive()
    asked = []
    with running_pacs(KINDS) as pacs:
        pacs.answer = lambda event: (
            asked.append(
                (
                    event.request.MoveOriginatorApplicationEntityTitle,
                    event.request.MoveOriginatorMessageID,
                )
            )
            or 0x0000
        )
        add_destination(listener, "PACS", pacs.port)
        move(listener.port, keys("STUDY", StudyInstanceUID=STUDY_UID))
    assert asked == [("WORKSTATION", 1)] * 3


def test_an_unknown_move_destination_is_refused(archive):
    listener, _ = archive()
    responses = move(listener.port, keys("STUDY", StudyInstanceUID=STUDY_UID), destination="NOBODY")
    assert [status.Status for status, _ in responses] == [0xA801]


def test_a_patient_is_moved_with_all_studies(archive):
    listener, study = archive()
    add_study(study, f"{STUDY_UID}7")
    with running_pacs(KINDS) as pacs:
        add_destination(listener, "PACS", pacs.port)
        responses = move(
            listener.port,
            keys("PATIENT", PatientID="P1"),
            model=PatientRootQueryRetrieveInformationModelMove,
        )
    assert counts(responses[-1][0]) == (6, 0, 0)


def test_a_received_series_is_moved_as_it_was_received(archive):
    listener, _ = archive(frames=4)
    with running_pacs(KINDS) as pacs:
        add_destination(listener, "PACS", pacs.port)
        move(
            listener.port,
            keys("SERIES", StudyInstanceUID=STUDY_UID, SeriesInstanceUID=SERIES_UID),
        )
    kept = {uid: without_meta(content) for uid, content in listener.kept().items()}
    assert dict(pacs.stored) == kept
    assert len(kept) == 4


def test_single_received_instances_are_moved_by_their_uid(archive):
    listener, _ = archive()
    wanted = [f"{SERIES_UID}.{number}" for number in (2, 4)]
    with running_pacs(KINDS) as pacs:
        add_destination(listener, "PACS", pacs.port)
        move(
            listener.port,
            keys(
                "IMAGE",
                StudyInstanceUID=STUDY_UID,
                SeriesInstanceUID=SERIES_UID,
                SOPInstanceUID=wanted,
            ),
        )
    assert pacs.stored_uids == wanted


def test_nothing_named_is_a_success_with_nothing_in_it(archive):
    listener, _ = archive()
    with running_pacs(KINDS) as pacs:
        add_destination(listener, "PACS", pacs.port)
        responses = move(listener.port, keys("STUDY", StudyInstanceUID="1.2.3"))
    assert (responses[-1][0].Status, counts(responses[-1][0])) == (0x0000, (0, 0, 0))


def test_what_the_destination_refuses_is_named(archive):
    listener, _ = archive()
    refused = f"{STUDY_UID}.900.1"
    with running_pacs(KINDS) as pacs:
        pacs.answer = lambda event: (
            0xC001 if event.request.AffectedSOPInstanceUID == refused else 0x0000
        )
        add_destination(listener, "PACS", pacs.port)
        status, failed = move(listener.port, keys("STUDY", StudyInstanceUID=STUDY_UID))[-1]
    assert (status.Status, counts(status)) == (0xB000, (2, 1, 0))
    assert failed.FailedSOPInstanceUIDList == refused


def test_a_destination_that_is_away_fails_all_of_it(archive):
    listener, study = archive()
    add_destination(listener, "PACS", 1)
    status, failed = move(listener.port, keys("STUDY", StudyInstanceUID=STUDY_UID))[-1]
    assert (status.Status, counts(status)) == (0xA702, (0, 3, 0))
    assert sorted(failed.FailedSOPInstanceUIDList) == sorted(data_sets(study))


def test_a_damaged_file_fails_alone_and_the_rest_arrives(archive):
    listener, study = archive()
    path = study.settings.home / f"derived/{STUDY_UID}/{STUDY_UID}.901.1.dcm"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with running_pacs(KINDS) as pacs:
        add_destination(listener, "PACS", pacs.port)
        status, failed = move(listener.port, keys("STUDY", StudyInstanceUID=STUDY_UID))[-1]
    assert (status.Status, counts(status)) == (0xB000, (2, 1, 0))
    assert failed.FailedSOPInstanceUIDList == f"{STUDY_UID}.901.1"


def test_a_move_can_be_cancelled(archive):
    listener, _ = archive(frames=12)
    identifier = keys("SERIES", StudyInstanceUID=STUDY_UID, SeriesInstanceUID=SERIES_UID)
    first, go_on = threading.Event(), threading.Event()

    def hold(_event):
        first.set()
        assert go_on.wait(10)
        return 0x0000

    with running_pacs(KINDS) as pacs, associated(listener.port, MOVE) as assoc:
        pacs.answer = hold
        add_destination(listener, "PACS", pacs.port)
        responses = assoc.send_c_move(identifier, "PACS", MOVE, msg_id=7)
        collected = threading.Thread(target=lambda: statuses.extend(responses))
        statuses: list = []
        collected.start()
        assert first.wait(10)
        assoc.send_c_cancel(7, query_model=MOVE)
        (serving,) = list(listener.server._receiver._live.values())
        eventually(lambda: 7 in serving.assoc.dimse.cancel_req)
        go_on.set()
        collected.join(10)
    status = statuses[-1][0]
    assert status.Status == 0xFE00
    assert status.NumberOfCompletedSuboperations == 1
    assert status.NumberOfRemainingSuboperations == 11


def test_more_instances_than_can_be_counted_are_refused(archive):
    listener, study = archive(frames=1)
    (pack,) = study.settings.packs_dir.glob("*/*/*.tar")
    pack_index.save(np.repeat(pack_index.load(pack), 65_536), pack)
    with running_pacs(KINDS) as pacs:
        add_destination(listener, "PACS", pacs.port)
        responses = move(
            listener.port,
            keys("SERIES", StudyInstanceUID=STUDY_UID, SeriesInstanceUID=SERIES_UID),
        )
    assert [status.Status for status, _ in responses] == [0xA702]
    assert responses[0][0].ErrorComment.startswith("65536 instances")
    assert pacs.stored == []


def test_a_study_is_got_bit_for_bit_on_the_same_association(archive):
    listener, study = archive()
    responses, came = get(listener.port, keys("STUDY", StudyInstanceUID=STUDY_UID))
    assert came == data_sets(study)
    assert (responses[-1][0].Status, counts(responses[-1][0])) == (0x0000, (3, 0, 0))


def test_no_message_id_is_taken_for_something_else(archive):
    """0208 stands in the response as the start of Command Data Set Type (0000,0800) would."""
    listener, study = archive()
    _, came = get(listener.port, keys("STUDY", StudyInstanceUID=STUDY_UID), message_id=0x0208 - 2)
    assert came == data_sets(study)


def test_get_sends_nothing_in_contexts_without_the_role(archive):
    listener, study = archive()
    responses, came = get(
        listener.port, keys("STUDY", StudyInstanceUID=STUDY_UID), storage=KINDS[:1]
    )
    status, failed = responses[-1]
    assert (status.Status, counts(status)) == (0xB000, (1, 2, 0))
    assert len(came) == 1
    assert set(failed.FailedSOPInstanceUIDList) == set(data_sets(study)) - set(came)


def test_warnings_of_the_requestor_are_counted(archive):
    listener, _ = archive()
    responses, _ = get(
        listener.port, keys("STUDY", StudyInstanceUID=STUDY_UID), answer=lambda _: 0xB000
    )
    assert (responses[-1][0].Status, counts(responses[-1][0])) == (0xB000, (0, 0, 3))


def test_a_damaged_file_aborts_a_get_rather_than_arrive(archive):
    listener, study = archive()
    for path in (study.settings.home / f"derived/{STUDY_UID}").glob("*.dcm"):
        path.write_bytes(path.read_bytes()[:-1] + b"\1")
    _, came = get(listener.port, keys("STUDY", StudyInstanceUID=STUDY_UID))
    assert came == {}
    listener.wait_until_closed()


def test_a_get_can_be_cancelled(archive):
    listener, _ = archive(frames=12)
    held = []

    def cancel(event):
        held.append(event.request.AffectedSOPInstanceUID)
        if len(held) == 1:
            event.assoc.send_c_cancel(5, query_model=GET)
            (serving,) = list(listener.server._receiver._live.values())
            eventually(lambda: 5 in serving.assoc.dimse.cancel_req)
        return 0x0000

    identifier = keys("SERIES", StudyInstanceUID=STUDY_UID, SeriesInstanceUID=SERIES_UID)
    responses, came = get(listener.port, identifier, answer=cancel, message_id=5)
    status = responses[-1][0]
    assert status.Status == 0xFE00
    assert status.NumberOfCompletedSuboperations == len(came) < 12
    assert status.NumberOfRemainingSuboperations == 12 - len(came)


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
def test_who_takes_no_jpeg_gets_the_same_frames_uncompressed(archive, syntax):
    listener, study = archive(frames=4)
    kinds = [(VIDEO_ENDOSCOPIC, syntax), (KEY_OBJECT_SELECTION, syntax)]
    responses, came = get(listener.port, keys("STUDY", StudyInstanceUID=STUDY_UID), storage=kinds)
    assert counts(responses[-1][0]) == (2, 1, 0)
    (part,) = study.derived()
    got = read_dataset(BytesIO(came[part.sop_instance_uid]), syntax == IMPLICIT_LITTLE, True)
    assert (got.PhotometricInterpretation, got.PlanarConfiguration) == ("RGB", 0)
    pixels = np.frombuffer(got.PixelData, np.uint8).reshape(4, got.Rows, got.Columns, 3)
    for shown, sent in zip(pixels, source_pictures(study), strict=True):
        assert np.abs(shown.astype(int) - sent.astype(int)).max() <= 2


def source_pictures(study: KeptStudy) -> list[np.ndarray]:
    """Return the frames of the first part as Pillow, which is not ours, decodes them."""
    ds = dcmread(study.paths()[0])
    frames = generate_frames(ds.PixelData, number_of_frames=int(ds.NumberOfFrames))
    return [np.asarray(Image.open(BytesIO(one)).convert("RGB")) for one in frames]


def test_a_destination_that_takes_no_jpeg_gets_the_study_uncompressed(archive):
    listener, study = archive(frames=3)
    taken = [(kind, IMPLICIT_LITTLE) for kind, _ in KINDS]
    with running_pacs(taken) as pacs:
        add_destination(listener, "PACS", pacs.port)
        responses = move(listener.port, keys("STUDY", StudyInstanceUID=STUDY_UID))
    assert counts(responses[-1][0]) == (3, 0, 0)
    (part,) = study.derived()
    got = read_dataset(BytesIO(dict(pacs.stored)[part.sop_instance_uid]), True, True)
    assert len(got.PixelData) == 3 * got.Rows * got.Columns * 3


def test_a_damaged_file_is_not_sent_uncompressed_either(archive):
    listener, study = archive()
    path = study.paths()[0]
    path.write_bytes(path.read_bytes()[:-9] + b"\1" * 9)
    kinds = [(VIDEO_ENDOSCOPIC, EXPLICIT_LITTLE)]
    responses, came = get(listener.port, keys("STUDY", StudyInstanceUID=STUDY_UID), storage=kinds)
    assert (counts(responses[-1][0]), came) == ((0, 3, 0), {})


@pytest.mark.parametrize(
    "identifier",
    [
        keys("SERIES", SeriesInstanceUID=SERIES_UID),  # above it, no study
        keys("STUDY", StudyInstanceUID=""),
        keys("PATIENT", PatientID="P1"),  # not in Study Root
        keys("EXAM", StudyInstanceUID=STUDY_UID),
    ],
)
def test_a_request_outside_the_model_is_refused(archive, identifier):
    listener, _ = archive()
    responses, came = get(listener.port, identifier)
    assert ([status.Status for status, _ in responses], came) == ([0xA900], {})


def test_a_patient_is_got_by_a_wildcard_never(archive):
    listener, _ = archive()
    model = PatientRootQueryRetrieveInformationModelGet
    responses, came = get(listener.port, keys("PATIENT", PatientID="P*"), model=model)
    assert ([status.Status for status, _ in responses], came) == ([0xA900], {})


def test_what_was_received_is_not_offered_once_the_patient_was_corrected(archive):
    listener, study = archive()
    with listener.ledger.transaction() as session:
        session.add(
            Correction(
                study_id=study.study_id, revision=1, at=clock(), actor="test", reason="wrong",
                changes={}, attributes_before={}, study_instance_uid_before=STUDY_UID,
            )
        )  # fmt: skip
    responses, came = get(
        listener.port, keys("SERIES", StudyInstanceUID=STUDY_UID, SeriesInstanceUID=SERIES_UID)
    )
    assert (responses[-1][0].Status, came) == (0x0000, {})


def test_an_instance_is_readable_as_it_came(archive):
    listener, _ = archive(frames=6)
    _, came = get(listener.port, keys("STUDY", StudyInstanceUID=STUDY_UID))
    read = [read_dataset(BytesIO(data), False, True) for data in came.values()]
    assert [ds.NumberOfFrames for ds in read if "NumberOfFrames" in ds] == [6]
