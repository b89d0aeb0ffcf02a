"""What senders get answered, and what is on disk afterwards."""

import socket
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pynetdicom import AE
from pynetdicom.sop_class import Verification

from gateway.dicom import part10
from gateway.ledger.queries import associations, studies
from gateway.ledger.transitions import registry
from gateway.model import AssociationOutcome, StudyState
from tests.instances import (
    JPEG_BASELINE,
    SERIES_UID,
    STUDY_UID,
    VL_ENDOSCOPIC,
    cut,
    data_set,
    frame,
    p_data,
    store_command,
)
from tests.requestor import Broken, Refused, Requestor

SUCCESS = 0x0000


def association(listener, **changes):
    return Requestor(listener.port, **changes)


def uid(number: int) -> str:
    return f"{SERIES_UID}.{number}"


def data_set_of(content: bytes) -> bytes:
    return content[part10.parse_file_meta(content).data_set_offset :]


def test_a_frame_is_kept_byte_for_byte_before_success_is_answered(listener):
    with association(listener) as assoc:
        assert assoc.store(uid(1), frame(1)) == SUCCESS
        # Still associated: whatever Success promises must be on disk now.
        (pack,) = listener.settings.packs_dir.glob("*/*/*.tar")
        assert frame(1) in pack.read_bytes()
    assert listener.wait_until_closed() == [AssociationOutcome.RELEASED]
    assert data_set_of(listener.kept()[uid(1)]) == frame(1)


def test_study_series_and_counts_are_recorded(listener):
    with association(listener) as assoc:
        for number in (1, 2, 3):
            assoc.store(uid(number), frame(number))
    listener.wait_until_closed()
    with listener.ledger.reading() as session:
        (line,) = studies.lines(session)
    assert line.study.patient_name == "Wang^XiaoDong=王^小东"
    assert line.study.state is StudyState.RECEIVING
    assert (line.received_count, line.open_pack_count) == (3, 0)


def test_progress_is_visible_while_instances_arrive(listener):
    from tests.listening import eventually

    def received() -> int:
        with listener.ledger.reading() as session:
            return sum(line.received_count for line in studies.lines(session))

    with association(listener) as assoc:
        assoc.store(uid(1), frame(1))
        eventually(lambda: received() == 1)


def test_the_same_instance_again_is_success_and_changes_nothing(listener):
    for _ in range(2):
        with association(listener) as assoc:
            assert assoc.store(uid(1), frame(1)) == SUCCESS
            assert assoc.store(uid(1), frame(1)) == SUCCESS
    listener.wait_until_closed(2)
    assert len(listener.kept()) == 1
    with listener.ledger.reading() as session:
        latest, first = associations.latest(session)
        assert len(studies.packs(session, 1)) == 1
    assert (first.received_count, first.duplicate_count) == (1, 1)
    assert (latest.received_count, latest.duplicate_count) == (0, 2)


def test_the_same_uid_with_other_bytes_is_refused_and_the_first_one_kept(listener):
    with association(listener) as assoc:
        assert assoc.store(uid(1), frame(1)) == SUCCESS
        assert assoc.store(uid(1), frame(1, InstanceNumber=2)) == 0xA901
        assert assoc.store(uid(2), frame(2)) == SUCCESS
    listener.wait_until_closed()
    assert data_set_of(listener.kept()[uid(1)]) == frame(1)
    assert listener.quarantine() == [("receive.conflict", 0xA901)]


@pytest.mark.parametrize(
    ("sop_instance_uid", "data", "status", "code"),
    [
        (uid(1), b"\x08\x00\x16\x00XX\xff\xffnoise", 0xC000, "receive.undecodable"),
        (uid(1), frame(1)[:200], 0xC000, "receive.undecodable"),
        (uid(1), b"\x08\x00\x05\x00CS\x00\x00", 0xA900, "receive.identity-missing"),
        (uid(1), frame(1, StudyInstanceUID=None), 0xA900, "receive.identity-missing"),
        (uid(1), frame(1, SOPInstanceUID=None), 0xA900, "receive.identity-missing"),
        (uid(1), frame(1, StudyInstanceUID="../../../etc"), 0xA900, "receive.identity-missing"),
        (uid(9), frame(1), 0xA900, "receive.identity-missing"),
        ("../../etc/passwd", frame(1), 0x0117, "receive.invalid-uid"),
        ("1." * 60 + "1", frame(1), 0x0117, "receive.invalid-uid"),
        ("", frame(1), 0x0117, "receive.invalid-uid"),
    ],
)  # PS3.4 B.2.3, PS3.7 9.1.1.1.9
def test_bad_input_is_refused_with_a_row_and_the_association_lives_on(
    listener, sop_instance_uid, data, status, code
):
    with association(listener) as assoc:
        assert assoc.store(sop_instance_uid, data) == status
        assert assoc.store(uid(5), frame(5)) == SUCCESS
    assert listener.wait_until_closed() == [AssociationOutcome.RELEASED]
    assert listener.quarantine() == [(code, status)]
    assert list(listener.kept()) == [uid(5)]
    home = listener.settings.home
    strays = [path for path in home.rglob("*.dcm") if "quarantine" not in path.parts]
    assert strays == []
    assert not (home.parent / "etc").exists()


def test_a_truncated_jpeg_is_kept_as_sent_because_its_bytes_are_safe(listener):
    whole = frame(1)
    ds = data_set(1)
    from pydicom.encaps import encapsulate

    from tests.instances import encoded, jpeg

    ds.PixelData = encapsulate([jpeg(1)[:-200]])
    with association(listener) as assoc:
        assert assoc.store(uid(1), encoded(ds)) == SUCCESS
    listener.wait_until_closed()
    assert data_set_of(listener.kept()[uid(1)]) == encoded(ds) != whole


def test_a_large_instance_is_kept_in_pieces_and_compared_in_pieces(make_listener):
    listener = make_listener()
    from pydicom.encaps import encapsulate

    from tests.instances import encoded

    data = encoded(data_set(1, PixelData=encapsulate([b"\x5a" * (20 << 20)])))
    changed = data[: 15 << 20] + b"\x5b" + data[(15 << 20) + 1 :]
    with association(listener) as assoc:
        assert assoc.store(uid(1), data) == SUCCESS
        assert assoc.store(uid(1), data) == SUCCESS
        assert assoc.store(uid(1), changed) == 0xA901
        assert assoc.store(uid(2), frame(2)) == SUCCESS
    listener.wait_until_closed()
    assert data_set_of(listener.kept()[uid(1)]) == data


@pytest.mark.parametrize("last", ["document", "sequence"])
def test_a_large_instance_without_pixel_data_is_kept_and_recovered(make_listener, last):
    """An encapsulated document, or a sequence that goes on for megabytes."""
    from pydicom import Dataset

    from gateway.packs import index, reading
    from tests.instances import encoded

    listener = make_listener()
    ds = data_set(1)
    if last == "document":
        del ds.PixelData
        ds.EncapsulatedDocument = bytes(20 << 20)
    else:
        item = Dataset()
        item.add_new(0x00189074, "UT", "x" * (1 << 20))
        ds.PerFrameFunctionalGroupsSequence = [item] * 12
        ds["PerFrameFunctionalGroupsSequence"].is_undefined_length = True
    data = encoded(ds)
    with association(listener) as assoc:
        assert assoc.store(uid(1), data) == SUCCESS
        assert assoc.store(uid(1), data) == SUCCESS
        assert assoc.store(uid(1), data[:-2] + b"..") == 0xA901
    listener.wait_until_closed()
    assert data_set_of(listener.kept()[uid(1)]) == data
    (pack,) = listener.settings.packs_dir.glob("*/*/*.tar")
    described = index.load(pack).tobytes()
    index.path_beside(pack).unlink()
    assert reading.recover(pack).tobytes() == described


def test_an_instance_above_the_limit_is_refused_without_ending_the_association(make_listener):
    listener = make_listener(instance_bytes_max=1 << 20)
    ds = data_set(1)
    ds.add_new(0x00091010, "OB", bytes(2 << 20))
    ds.add_new(0x00090010, "LO", "TEST")
    from tests.instances import encoded

    with association(listener) as assoc:
        assert assoc.store(uid(1), encoded(ds)) == 0xA702
        assert assoc.store(uid(2), frame(2)) == SUCCESS
    listener.wait_until_closed()
    assert listener.quarantine() == [("receive.too-large", 0xA702)]


def test_full_packs_are_sealed_and_the_next_one_begun(make_listener):
    listener = make_listener(pack_bytes_max=1 << 20)
    ds = {}
    for number in range(1, 8):
        one = data_set(number)
        one.add_new(0x00091010, "OB", bytes([number]) * (300 << 10))
        one.add_new(0x00090010, "LO", "TEST")
        from tests.instances import encoded

        ds[uid(number)] = encoded(one)
    with association(listener) as assoc:
        for name, data in ds.items():
            assert assoc.store(name, data) == SUCCESS
    listener.wait_until_closed()
    assert {name: data_set_of(content) for name, content in listener.kept().items()} == ds
    with listener.ledger.reading() as session:
        packs = studies.packs(session, 1)
    assert len(packs) == 2
    assert {one.pack.outcome for one in packs} == {AssociationOutcome.RELEASED}


def test_a_frame_after_the_study_was_closed_opens_a_new_revision(listener):
    from datetime import UTC, datetime

    from gateway.ledger.transitions import studies as transitions
    from gateway.model import SettleRule

    with association(listener) as assoc:
        assoc.store(uid(1), frame(1))
    listener.wait_until_closed()
    now = datetime.now(UTC)
    with listener.ledger.transaction() as session:
        transitions.settle(session, 1, SettleRule.OPERATOR, now=now)
        transitions.claim(session, 1, lease_s=60, attempts_max=3, now=now)
    with association(listener) as assoc:
        assoc.store(uid(2), frame(2))
    listener.wait_until_closed(2)
    with listener.ledger.reading() as session:
        study = studies.get(session, 1)
        kinds = [event.kind for event in studies.events(session, 1)]
    assert (study.state, study.revision) == (StudyState.RECEIVING, 2)
    assert "reopened" in kinds


def test_an_aborted_association_keeps_what_was_acknowledged(listener):
    with pytest.raises(RuntimeError, match="pulled"), association(listener) as assoc:
        assoc.store(uid(1), frame(1))
        raise RuntimeError("the cable was pulled")
    assert listener.wait_until_closed() == [AssociationOutcome.ABORTED]
    assert list(listener.kept()) == [uid(1)]


def test_unknown_callers_are_refused_and_shown_once_a_source_is_configured(listener):
    from datetime import UTC, datetime

    with listener.ledger.transaction() as session:
        registry.add_source(session, "KNOWN", now=datetime.now(UTC), actor="test")
    with pytest.raises(Refused) as caught, association(listener):
        pass
    # PS3.8 9.3.4: permanent, by the service user, calling AE title not recognised
    assert caught.value.args[1][1:] == b"\x01\x01\x03"
    with association(listener, calling="KNOWN"):
        pass
    with listener.ledger.reading() as session:
        (refused,) = associations.latest(session, outcome=AssociationOutcome.REJECTED)
    assert refused.calling_ae_title == "WORKSTATION"
    assert "not a source" in refused.reason


def test_a_wrong_called_ae_title_is_refused(listener):
    with pytest.raises(Refused), association(listener, called="OTHER"):
        pass


def test_echo_works_between_stores_on_one_association(listener):
    ae = AE("WORKSTATION")
    ae.add_requested_context(Verification)
    ae.add_requested_context(VL_ENDOSCOPIC, JPEG_BASELINE)
    assoc = ae.associate("127.0.0.1", listener.port, ae_title="CAPSULEGW")
    assert assoc.is_established
    for number in (1, 2, 3):
        assert assoc.send_c_echo().Status == SUCCESS
        ds = data_set(number)
        from pydicom.dataset import FileMetaDataset

        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = JPEG_BASELINE
        assert assoc.send_c_store(ds).Status == SUCCESS
    assoc.release()
    assert listener.wait_until_closed() == [AssociationOutcome.RELEASED]
    assert len(listener.kept()) == 3


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=6).filter(any),
    per_pdu=st.integers(1, 7),
    writes=st.lists(st.integers(1, 5000), min_size=1, max_size=5),
)
def test_every_legal_fragmentation_is_understood(listener, sizes, per_pdu, writes):
    """Command and data cut anywhere, several values a PDU, PDUs cut anywhere (PS3.8 Annex E)."""
    number = 1 + hash((tuple(sizes), per_pdu, tuple(writes))) % 10_000
    data = frame(number)
    values = []
    for flag, content in ((1, store_command(uid(number))), (0, data)):
        pieces = list(cut(content, sizes))
        values += [(flag, piece, index == len(pieces) - 1) for index, piece in enumerate(pieces)]
    encoded_values = [(1, flag | (2 if last else 0), piece) for flag, piece, last in values]
    stream = b"".join(
        p_data(encoded_values[at : at + per_pdu]) for at in range(0, len(encoded_values), per_pdu)
    )
    with association(listener) as assoc:
        for piece in cut(stream, writes):
            assoc.send(piece)
        assert assoc.read_status() == SUCCESS
    listener.wait_until_closed()
    assert data_set_of(listener.kept()[uid(number)]) == data


@pytest.mark.parametrize(
    "pdu",
    [
        struct.pack(">BxL", 0x04, 200_000),  # longer than we offered
        struct.pack(">BxL", 0x04, 10) + struct.pack(">LBB", 99, 1, 3) + b"1234",  # item too long
        p_data([(1, 0, b"data without a command")]),
        p_data([(1, 1, bytes(1000))] * 70),  # a command set over 64 KiB
        struct.pack(">BxL", 0x99, 4) + b"1234",  # no such PDU type
    ],
)
def test_a_malformed_pdu_aborts_the_association_and_nothing_else(listener, pdu):
    with pytest.raises(Broken), association(listener) as assoc:
        assert assoc.store(uid(1), frame(1)) == SUCCESS
        assoc.send(pdu)
        assoc.read_response()
    with association(listener) as assoc:
        assert assoc.store(uid(2), frame(2)) == SUCCESS
    listener.wait_until_closed(2)
    assert sorted(listener.kept()) == [uid(1), uid(2)]


def test_a_connection_that_says_nothing_or_nonsense_costs_nobody_else_anything(listener):
    silent = socket.create_connection(("127.0.0.1", listener.port))
    absurd = socket.create_connection(("127.0.0.1", listener.port))
    absurd.sendall(struct.pack(">BxL", 0x01, 0xFFFFFFFF) + b"x" * 100)
    absurd.settimeout(5)
    assert absurd.recv(10)[:1] in (b"\x07", b"")
    with association(listener) as assoc:
        assert assoc.store(uid(1), frame(1)) == SUCCESS
    silent.close()
    absurd.close()


def test_study_instance_uid_decides_the_folder(listener):
    with association(listener) as assoc:
        assoc.store(uid(1), frame(1))
    listener.wait_until_closed()
    (pack,) = listener.settings.packs_dir.glob("*/*/*.tar")
    assert pack.parts[-3:-1] == (STUDY_UID, SERIES_UID)


def test_a_large_instance_and_small_ones_may_arrive_interleaved_on_two_contexts(listener):
    from pydicom.encaps import encapsulate

    from tests.instances import encoded

    large = encoded(data_set(1, PixelData=encapsulate([b"\x5a" * (20 << 20)])))
    contexts = [(VL_ENDOSCOPIC, [JPEG_BASELINE])] * 2
    with association(listener, contexts=contexts) as assoc:
        assoc.send(p_data([(1, 3, store_command(uid(1)))]))
        pieces = list(cut(large, [100_000]))
        for number, piece in enumerate(pieces, start=2):
            last = number == len(pieces) + 1
            assoc.send(p_data([(1, 2 if last else 0, piece)]))
            if number % 20 == 0:
                assoc.context_id = 3
                assert assoc.store(uid(number), frame(number), message_id=number) == SUCCESS
        assert assoc.read_status() == SUCCESS
    listener.wait_until_closed()
    kept = listener.kept()
    assert data_set_of(kept.pop(uid(1))) == large
    assert len(kept) == 10
    assert all(data_set_of(kept[name]) == frame(int(name.split(".")[-1])) for name in kept)


def test_an_unfinished_large_instance_leaves_nothing_behind(listener):
    with pytest.raises(RuntimeError, match="pulled"), association(listener) as assoc:
        assoc.send(p_data([(1, 3, store_command(uid(1)))]))
        start = frame(1)[:-600] + bytes(100)
        assoc.send(p_data([(1, 0, start)]))
        for _ in range(200):
            assoc.send(p_data([(1, 0, bytes(100_000))]))
        raise RuntimeError("the cable was pulled")
    listener.wait_until_closed()
    assert list(listener.settings.packs_dir.rglob("*.tar")) == []
