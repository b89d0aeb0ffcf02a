"""The simulated workstation and PACS over loopback, each against pynetdicom and each other."""

import hashlib
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import (
    JPEGBaseline8Bit,
    VideoEndoscopicImageStorage,
    VLEndoscopicImageStorage,
)
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from gateway.dimse import pdu
from gateway.errors import (
    AssociationRejected,
    ContextNotAccepted,
    GatewayError,
    OutcomeUnknown,
    PeerUnreachable,
)
from gateway.simulator import (
    SendInterrupted,
    SendReport,
    SimulatedPacs,
    SyntheticFrame,
    SyntheticStudy,
    instance_bytes,
    part10_bytes,
    send_study,
    synthetic_frames,
)
from gateway.simulator.pacs_store import OTHER_BYTES_STORED
from gateway.simulator.store_scu import StoreAssociation, store_association
from tests.instances import p_data, store_command

COUNT = 24
STUDY = SyntheticStudy.from_seed(5, declared_count=COUNT)


@pytest.fixture(scope="module")
def frames() -> list[SyntheticFrame]:
    return list(synthetic_frames(COUNT, seed=5))


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[SimulatedPacs]:
    with SimulatedPacs(tmp_path / "pacs", ae_title="PACS") as pacs:
        yield pacs


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Poll until the condition holds; fail at the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        threading.Event().wait(0.01)


def send(port: int, frames: list[SyntheticFrame], **changes: object) -> SendReport:
    options = {"calling_ae_title": "CAPSULE1", "called_ae_title": "PACS", **changes}
    return send_study(STUDY, frames, host="127.0.0.1", port=port, **options)  # type: ignore[arg-type]


def raw_association(pacs: SimulatedPacs) -> AbstractContextManager[StoreAssociation]:
    return store_association(
        host="127.0.0.1", port=pacs.port, calling_ae_title="TEST", called_ae_title="PACS"
    )


@contextmanager
def receiver(
    handlers: list[evt.EventHandlerType],
    sop_class_uid: str = VLEndoscopicImageStorage,
    **attributes: object,
) -> Iterator[int]:
    """Another maker's SCP that answers as it is told; yields its port."""
    ae = AE(ae_title="PACS")
    ae.add_supported_context(sop_class_uid, [JPEGBaseline8Bit])
    for name, value in attributes.items():
        setattr(ae, name, value)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    assert server is not None
    try:
        yield server.server_address[1]
    finally:
        ae.shutdown()


# The workstation


def test_a_study_arrives_bit_for_bit(pacs: SimulatedPacs, frames: list[SyntheticFrame]) -> None:
    report = send(pacs.port, frames)
    assert (report.sent_count, report.acknowledged_count, report.failures) == (COUNT, COUNT, ())
    stored = {}
    for path in pacs.instances.paths():
        ds = dcmread(path)
        (fragment,) = generate_frames(ds.PixelData, number_of_frames=1)
        jpeg = fragment[:-1] if fragment.endswith(b"\xff\xd9\0") else fragment
        stored[str(ds.SOPInstanceUID)] = hashlib.sha256(jpeg).hexdigest()
    assert stored == dict(report.digests)


def test_what_is_kept_is_the_file_the_study_would_write(
    pacs: SimulatedPacs, frames: list[SyntheticFrame]
) -> None:
    send(pacs.port, frames, limit=3)
    for frame in frames[:3]:
        path = pacs.instances.path_of(STUDY.sop_instance_uid(frame.frame_number))
        assert path is not None
        assert path.read_bytes() == part10_bytes(STUDY, frame)


def test_a_limit_ends_the_sending_early(pacs: SimulatedPacs, frames: list[SyntheticFrame]) -> None:
    report = send(pacs.port, frames, limit=5)
    assert report.sent_count == report.acknowledged_count == 5
    assert list(report.digests) == [STUDY.sop_instance_uid(number) for number in range(1, 6)]


def test_progress_counts_every_answer(pacs: SimulatedPacs, frames: list[SyntheticFrame]) -> None:
    counts: list[int] = []
    send(pacs.port, frames, limit=7, progress=counts.append)
    assert counts == [1, 2, 3, 4, 5, 6, 7]


def test_everything_goes_over_one_association_that_is_released(
    frames: list[SyntheticFrame],
) -> None:
    happened: list[str] = []
    handlers: list[evt.EventHandlerType] = [
        (evt.EVT_ACCEPTED, lambda event: happened.append("accepted")),
        (evt.EVT_RELEASED, lambda event: happened.append("released")),
        (evt.EVT_ABORTED, lambda event: happened.append("aborted")),
        (evt.EVT_C_STORE, lambda event: 0x0000),
    ]
    with receiver(handlers) as port:
        send(port, frames)
        until(lambda: len(happened) == 2)
    assert happened == ["accepted", "released"]


@pytest.mark.parametrize("pdu_bytes_max", [0, 4096, 131_072])
def test_no_pdu_is_longer_than_the_receiver_allows(
    frames: list[SyntheticFrame], pdu_bytes_max: int
) -> None:
    lengths: list[int] = []
    received: list[bytes] = []

    def on_store(event: evt.Event) -> int:
        received.append(event.request.DataSet.getvalue())  # type: ignore[union-attr]
        return 0x0000

    handlers: list[evt.EventHandlerType] = [
        (evt.EVT_PDU_RECV, lambda event: lengths.append(event.pdu.pdu_length)),
        (evt.EVT_C_STORE, on_store),
    ]
    with receiver(handlers, maximum_pdu_size=pdu_bytes_max) as port:
        send(port, frames, limit=4)
    assert received == [instance_bytes(STUDY, frame) for frame in frames[:4]]
    if pdu_bytes_max:
        assert max(lengths[1:]) <= pdu_bytes_max  # the first one is the A-ASSOCIATE-RQ


def test_a_refused_instance_is_noted_and_the_next_one_sent(frames: list[SyntheticFrame]) -> None:
    statuses = iter([0x0000, 0xA700, 0xC123, 0xB000, 0x0000])
    with receiver([(evt.EVT_C_STORE, lambda event: next(statuses))]) as port:
        report = send(port, frames, limit=5)
    assert (report.sent_count, report.acknowledged_count) == (5, 3)
    assert report.failures == (
        (STUDY.sop_instance_uid(2), 0xA700),
        (STUDY.sop_instance_uid(3), 0xC123),
    )


def test_nobody_listening_is_peer_unreachable(frames: list[SyntheticFrame]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(PeerUnreachable) as caught:
            send(unused.getsockname()[1], frames)
    assert not caught.value.permanent


def test_a_host_without_an_address_is_peer_unreachable(frames: list[SyntheticFrame]) -> None:
    with pytest.raises(PeerUnreachable, match=r"nowhere\.invalid"):
        send_study(
            STUDY,
            frames,
            host="nowhere.invalid",
            port=104,
            calling_ae_title="A",
            called_ae_title="B",
        )


def test_a_wrong_ae_title_is_rejected_for_good(
    pacs: SimulatedPacs, frames: list[SyntheticFrame]
) -> None:
    with pytest.raises(AssociationRejected) as caught:
        send(pacs.port, frames, called_ae_title="OTHER")
    assert caught.value.permanent


def test_a_full_receiver_rejects_for_now(frames: list[SyntheticFrame]) -> None:
    handlers: list[evt.EventHandlerType] = [(evt.EVT_C_STORE, lambda event: 0x0000)]
    with (
        receiver(handlers, maximum_associations=1) as port,
        store_association(
            host="127.0.0.1", port=port, calling_ae_title="A", called_ae_title="PACS"
        ),
        pytest.raises(AssociationRejected) as caught,
    ):
        send(port, frames)
    assert not caught.value.permanent


def test_a_receiver_without_endoscopy_does_not_accept_the_context(
    frames: list[SyntheticFrame],
) -> None:
    with receiver([], VideoEndoscopicImageStorage) as port, pytest.raises(ContextNotAccepted):
        send(port, frames)


@pytest.mark.parametrize("ending", ["abort", "close"])
def test_an_association_that_breaks_off_leaves_a_report_of_what_was_answered(
    frames: list[SyntheticFrame], ending: str
) -> None:
    seen: list[str] = []

    def on_store(event: evt.Event) -> int:
        seen.append(str(event.request.AffectedSOPInstanceUID))  # type: ignore[union-attr]
        if len(seen) == 4:
            if ending == "abort":
                event.assoc.abort()
            else:
                event.assoc.dul.socket.socket.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
        return 0x0000

    with (
        receiver([(evt.EVT_C_STORE, on_store)]) as port,
        pytest.raises(SendInterrupted) as caught,
    ):
        send(port, frames)
    assert isinstance(caught.value, OutcomeUnknown)
    report = caught.value.report
    assert (report.sent_count, report.acknowledged_count) == (4, 3)
    assert list(report.digests) == seen


def test_an_error_in_the_recording_aborts_the_association(
    pacs: SimulatedPacs, frames: list[SyntheticFrame]
) -> None:
    class CameraBroken(GatewayError):
        pass

    def broken() -> Iterator[SyntheticFrame]:
        yield from frames[:2]
        raise CameraBroken("no more frames")

    with pytest.raises(CameraBroken):
        send(pacs.port, broken())  # type: ignore[arg-type]
    assert len(list(pacs.instances.paths())) == 2


def test_no_thread_of_the_sender_outlives_the_sending(
    pacs: SimulatedPacs, frames: list[SyntheticFrame]
) -> None:
    before = {t for t in threading.enumerate() if "Acceptor" not in t.name}
    send(pacs.port, frames, limit=2)
    pacs.stop()
    assert {t for t in threading.enumerate() if "Acceptor" not in t.name} <= before


# The PACS


def test_the_same_study_again_is_a_success_and_kept_once(
    pacs: SimulatedPacs, frames: list[SyntheticFrame]
) -> None:
    send(pacs.port, frames, limit=3)
    assert send(pacs.port, frames, limit=3).acknowledged_count == 3
    assert len(list(pacs.instances.paths())) == 3


def test_other_bytes_under_a_known_uid_are_refused(
    pacs: SimulatedPacs, frames: list[SyntheticFrame]
) -> None:
    send(pacs.port, frames, limit=1)
    report = send(pacs.port, [replace(frames[0], jpeg=frames[1].jpeg)])
    assert report.failures == ((STUDY.sop_instance_uid(1), OTHER_BYTES_STORED),)


def test_instances_survive_a_restart_on_the_same_port(
    pacs: SimulatedPacs, frames: list[SyntheticFrame]
) -> None:
    port = pacs.port
    send(port, frames, limit=2)
    pacs.stop()
    with pytest.raises(PeerUnreachable):
        send(port, frames, limit=2)
    pacs.start()
    assert pacs.port == port
    assert send(port, frames, limit=4).acknowledged_count == 4
    assert len(list(pacs.instances.paths())) == 4


@pytest.mark.parametrize("uid", ["../../escaped", "1.2.840/x", "1..2"])
def test_a_uid_that_is_no_uid_is_never_stored(
    pacs: SimulatedPacs, frames: list[SyntheticFrame], tmp_path: Path, uid: str
) -> None:
    status: int | str
    try:
        with raw_association(pacs) as association:
            status = association.store(uid, instance_bytes(STUDY, frames[0]))
    except OutcomeUnknown:
        status = "aborted"
    assert status != 0x0000
    until(lambda: not [path for path in tmp_path.rglob("*") if path.is_file()])


def test_a_data_set_of_another_instance_is_refused(
    pacs: SimulatedPacs, frames: list[SyntheticFrame]
) -> None:
    data_set = instance_bytes(STUDY, frames[0])
    with raw_association(pacs) as association:
        assert association.store("1.2.3", data_set) == 0xA900
        assert association.store(STUDY.sop_instance_uid(1), data_set) == 0x0000
    assert [path.name for path in pacs.instances.paths()] == [f"{STUDY.sop_instance_uid(1)}.dcm"]


def test_an_unreadable_data_set_is_refused_and_the_association_lives_on(
    pacs: SimulatedPacs, frames: list[SyntheticFrame]
) -> None:
    with raw_association(pacs) as association:
        assert association.store("1.2.3", b"\x08\0\x18\0UI\xff\xff" + bytes(999)) >= 0xA900
        assert association.store("1.2.3", b"") >= 0xA900
        uid = STUDY.sop_instance_uid(1)
        assert association.store(uid, instance_bytes(STUDY, frames[0])) == 0x0000
    assert len(list(pacs.instances.folder.iterdir())) == 1


def test_a_torn_instance_is_never_visible(
    pacs: SimulatedPacs, frames: list[SyntheticFrame]
) -> None:
    uid = STUDY.sop_instance_uid(1)
    data_set = instance_bytes(STUDY, frames[0])
    request = p_data([(1, pdu.COMMAND | pdu.LAST, store_command(uid))])
    request += b"".join(pdu.message_pdus(1, 0, data_set, 4096))
    with raw_association(pacs) as association:
        association._association.send(request[:-1000])
        until(lambda: list(pacs.instances.folder.glob("*.partial")))
        association.abort()
    until(lambda: not list(pacs.instances.folder.iterdir()))


def test_a_failing_disk_is_answered_out_of_resources_and_the_association_lives_on(
    pacs: SimulatedPacs, frames: list[SyntheticFrame]
) -> None:
    uid, data_set = STUDY.sop_instance_uid(1), instance_bytes(STUDY, frames[0])
    with raw_association(pacs) as association:
        pacs.instances.folder.rmdir()
        assert association.store(uid, data_set) == 0xA700
        pacs.instances.folder.mkdir()
        assert association.store(uid, data_set) == 0x0000


def test_a_large_instance_does_not_pass_through_memory(
    pacs: SimulatedPacs, frames: list[SyntheticFrame]
) -> None:
    size = 24 << 20
    data_set = instance_bytes(STUDY, replace(frames[0], jpeg=bytes(size)))
    with raw_association(pacs) as association:
        tracemalloc.start()
        try:
            assert association.store(STUDY.sop_instance_uid(1), data_set) == 0x0000
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < size / 4
    path = pacs.instances.path_of(STUDY.sop_instance_uid(1))
    assert path is not None
    assert path.stat().st_size > size


def test_echo_is_answered(pacs: SimulatedPacs) -> None:
    ae = AE(ae_title="TEST")
    ae.add_requested_context(Verification)
    assoc = ae.associate("127.0.0.1", pacs.port, ae_title="PACS")
    assert assoc.send_c_echo().Status == 0x0000
    assoc.release()


def find(pacs: SimulatedPacs, query: Dataset) -> list[tuple[int, Dataset | None]]:
    ae = AE(ae_title="TEST")
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    assoc = ae.associate("127.0.0.1", pacs.port, ae_title="PACS")
    responses = list(assoc.send_c_find(query, StudyRootQueryRetrieveInformationModelFind))
    assoc.release()
    return [(status.Status, found) for status, found in responses]


def test_a_query_by_sop_instance_uids_tells_which_lie_there(
    pacs: SimulatedPacs, frames: list[SyntheticFrame]
) -> None:
    send(pacs.port, frames, limit=2)
    query = Dataset()
    query.QueryRetrieveLevel = "IMAGE"
    query.StudyInstanceUID = STUDY.study_instance_uid
    query.SOPInstanceUID = [STUDY.sop_instance_uid(number) for number in (1, 2, 3)]
    query.InstanceNumber = None
    query.NumberOfFrames = None
    responses = find(pacs, query)
    found = [ds for status, ds in responses if status == 0xFF00 and ds is not None]
    assert [ds.InstanceNumber for ds in found] == [1, 2]
    assert [ds.SOPInstanceUID for ds in found] == list(query.SOPInstanceUID[:2])
    assert responses[-1][0] == 0x0000


def test_a_query_of_another_kind_is_refused(pacs: SimulatedPacs) -> None:
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.PatientName = "*"
    assert [status for status, _ in find(pacs, query)] == [0xA900]


# Storage Commitment


def commitment_request(*sop_instance_uids: str, sop_class: str = "") -> Dataset:
    request = Dataset()
    request.TransactionUID = "1.2.3.4.5"
    request.ReferencedSOPSequence = []
    for uid in sop_instance_uids:
        item = Dataset()
        item.ReferencedSOPClassUID = sop_class or VLEndoscopicImageStorage
        item.ReferencedSOPInstanceUID = uid
        request.ReferencedSOPSequence.append(item)
    return request


def ask_for_commitment(port: int, request: Dataset, action: int = 1) -> int:
    ae = AE(ae_title="GATEWAY")
    ae.add_requested_context(StorageCommitmentPushModel)
    assoc = ae.associate("127.0.0.1", port, ae_title="PACS")
    assert assoc.is_established
    status, _ = assoc.send_n_action(
        request, action, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    )
    assoc.release()
    return int(status.Status)


class ReportReceiver:
    """A tiny AE that takes commitment reports, from the role of the SCU."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, Dataset]] = []
        self.roles: list[tuple[bool, bool]] = []
        self._ae = AE(ae_title="GATEWAY")
        self._ae.require_called_aet = True
        self._ae.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)

    def start(self, port: int = 0) -> int:
        handlers: list[evt.EventHandlerType] = [(evt.EVT_N_EVENT_REPORT, self._on_report)]
        server = self._ae.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
        assert server is not None
        return int(server.server_address[1])

    def stop(self) -> None:
        self._ae.shutdown()

    def _on_report(self, event: evt.Event) -> tuple[int, None]:
        role = event.assoc.requestor.role_selection[StorageCommitmentPushModel]
        self.roles.append((bool(role.scu_role), bool(role.scp_role)))
        self.reports.append((event.event_type, event.event_information))
        return 0x0000, None


@pytest.fixture
def gateway() -> Iterator[tuple[ReportReceiver, int]]:
    receiving = ReportReceiver()
    port = receiving.start()
    yield receiving, port
    receiving.stop()


def test_commitment_is_reported_on_an_association_of_the_pacs(
    tmp_path: Path, frames: list[SyntheticFrame], gateway: tuple[ReportReceiver, int]
) -> None:
    receiving, port = gateway
    with SimulatedPacs(tmp_path, ae_title="PACS", report_to=("127.0.0.1", port, "GATEWAY")) as pacs:
        uids = list(send(pacs.port, frames, limit=3).digests)
        assert ask_for_commitment(pacs.port, commitment_request(*uids)) == 0x0000
        until(lambda: receiving.reports)
    ((event_type, information),) = receiving.reports
    assert event_type == 1
    assert information.TransactionUID == "1.2.3.4.5"
    assert [i.ReferencedSOPInstanceUID for i in information.ReferencedSOPSequence] == uids
    assert "FailedSOPSequence" not in information
    assert receiving.roles == [(False, True)]


def test_what_is_missing_or_of_another_class_is_reported_as_failed(
    tmp_path: Path, frames: list[SyntheticFrame], gateway: tuple[ReportReceiver, int]
) -> None:
    receiving, port = gateway
    with SimulatedPacs(tmp_path, ae_title="PACS", report_to=("127.0.0.1", port, "GATEWAY")) as pacs:
        present, other_class = send(pacs.port, frames, limit=2).digests
        request = commitment_request(present, "1.2.3", "../../etc/passwd", other_class)
        request.ReferencedSOPSequence[3].ReferencedSOPClassUID = VideoEndoscopicImageStorage
        assert ask_for_commitment(pacs.port, request) == 0x0000
        until(lambda: receiving.reports)
    ((event_type, information),) = receiving.reports
    assert event_type == 2
    assert [i.ReferencedSOPInstanceUID for i in information.ReferencedSOPSequence] == [present]
    failed = {i.ReferencedSOPInstanceUID: i.FailureReason for i in information.FailedSOPSequence}
    assert failed == {"1.2.3": 0x0112, "../../etc/passwd": 0x0112, other_class: 0x0119}


def test_a_report_waits_for_a_gateway_that_comes_back(
    tmp_path: Path, frames: list[SyntheticFrame]
) -> None:
    receiving = ReportReceiver()
    away = socket.create_server(("127.0.0.1", 0))
    port = away.getsockname()[1]
    with SimulatedPacs(tmp_path, ae_title="PACS", report_to=("127.0.0.1", port, "GATEWAY")) as pacs:
        uids = list(send(pacs.port, frames, limit=1).digests)
        assert ask_for_commitment(pacs.port, commitment_request(*uids)) == 0x0000
        away.settimeout(10)
        away.accept()[0].close()  # the first attempt fails
        away.close()
        receiving.start(port)
        until(lambda: receiving.reports, seconds=20)
    receiving.stop()
    assert [event_type for event_type, _ in receiving.reports] == [1]


@pytest.mark.parametrize(
    ("request_data", "action", "status"),
    [
        (commitment_request("1.2.3"), 2, 0x0123),
        (commitment_request(), 1, 0x0120),
    ],
)
def test_a_request_that_is_none_is_refused(
    tmp_path: Path, request_data: Dataset, action: int, status: int
) -> None:
    with SimulatedPacs(tmp_path, ae_title="PACS", report_to=("127.0.0.1", 1, "GATEWAY")) as pacs:
        assert ask_for_commitment(pacs.port, request_data, action) == status


def test_a_pacs_that_reports_to_nobody_offers_no_commitment(pacs: SimulatedPacs) -> None:
    ae = AE(ae_title="GATEWAY")
    ae.add_requested_context(StorageCommitmentPushModel)
    ae.add_requested_context(Verification)
    assoc = ae.associate(
        "127.0.0.1", pacs.port, ae_title="PACS",
        ext_neg=[build_role(StorageCommitmentPushModel, scu_role=True)],
    )  # fmt: skip
    assert [cx.abstract_syntax for cx in assoc.accepted_contexts] == [Verification]
    assoc.release()
