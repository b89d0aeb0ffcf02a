"""Recovery while the listener receives: what is dead is sealed, what lives is left alone."""

from datetime import UTC, datetime

from gateway.dicom.part10 import FileMeta
from gateway.ledger.queries import associations, studies
from gateway.ledger.transitions import reception as record
from gateway.model import AssociationOutcome
from gateway.packs import index as pack_index
from gateway.packs import tar
from gateway.packs.writer import PackWriter
from gateway.scp import recovery
from tests.instances import JPEG_BASELINE, SERIES_UID, STUDY_UID, VL_ENDOSCOPIC, frame
from tests.requestor import Requestor

SUCCESS = 0x0000
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def uid(number: int) -> str:
    return f"{SERIES_UID}.{number}"


def abandoned_pack(listener, *numbers: int, name: str = "20260301T080000-deadbeefdead-0001"):
    """Leave what a writer that was killed leaves: an open pack, extended with zeros."""
    directory = listener.settings.packs_dir / STUDY_UID / SERIES_UID
    writer = PackWriter(directory / f"{name}.tar")
    for number in numbers:
        meta = FileMeta(VL_ENDOSCOPIC, uid(number), JPEG_BASELINE, "WORKSTATION").encode()
        parts = [meta, frame(number)]
        writer.append(f"{uid(number)}.dcm", parts, digest=tar.content_digest(*parts))
    writer.close()
    return writer.path


def open_ids(listener) -> list[str]:
    with listener.ledger.reading() as session:
        return list(associations.open_by_listener(session))


def test_an_association_of_a_living_process_is_left_alone_with_its_packs(listener):
    with Requestor(listener.port) as assoc:
        assert assoc.store(uid(1), frame(1)) == SUCCESS
        recovery.recover(listener.settings, listener.ledger, NOW)
        assert len(open_ids(listener)) == 1
        (pack,) = listener.settings.packs_dir.glob("*/*/*.tar")
        assert not pack_index.path_beside(pack).exists()
        assert assoc.store(uid(2), frame(2)) == SUCCESS
    assert listener.wait_until_closed() == [AssociationOutcome.RELEASED]
    assert sorted(listener.kept()) == [uid(1), uid(2)]


def test_what_a_dead_process_left_is_sealed_and_recorded_meanwhile(listener):
    path = abandoned_pack(listener, 1, 2, 3)
    with listener.ledger.transaction() as session:
        record.open_association(
            session, "deadbeefdead" + "0" * 20, calling="WORKSTATION", called="CAPSULEGW",
            peer="127.0.0.1", listener=f"{_node(listener)}/0123456789abcdef", now=NOW,
        )  # fmt: skip
    with Requestor(listener.port, calling="OTHER") as assoc:
        assert recovery.recover(listener.settings, listener.ledger, NOW) == 1
        assert len(open_ids(listener)) == 1
        assert assoc.store(uid(2), frame(2)) == SUCCESS  # known already
    listener.wait_until_closed(2)
    assert len(pack_index.load(path)) == 3
    assert sorted(listener.kept()) == [uid(1), uid(2), uid(3)]
    with listener.ledger.reading() as session:
        rows = {row.calling_ae_title: row for row in associations.latest(session)}
        assert studies.open_packs(session) == []
    assert rows["WORKSTATION"].outcome is AssociationOutcome.LOST
    assert rows["OTHER"].duplicate_count == 1


def test_an_association_of_another_gateway_on_the_same_ledger_is_not_closed(listener):
    with listener.ledger.transaction() as session:
        record.open_association(
            session, "f" * 32, calling="ELSEWHERE", called="CAPSULEGW", peer="10.0.0.1",
            listener="aaaaaaaaaaaa/bbbbbbbbbbbbbbbb", now=NOW,
        )  # fmt: skip
    recovery.recover(listener.settings, listener.ledger, NOW)
    assert open_ids(listener) == ["f" * 32]


def test_an_association_without_a_listener_is_closed(listener):
    """Written by a version before there were names."""
    with listener.ledger.transaction() as session:
        record.open_association(
            session, "e" * 32, calling="OLD", called="CAPSULEGW", peer="127.0.0.1", now=NOW
        )
    recovery.recover(listener.settings, listener.ledger, NOW)
    assert open_ids(listener) == []


def test_whoever_sends_more_of_a_series_first_finds_what_was_left_open(listener):
    """Before any recovery: a sender may be back sooner."""
    path = abandoned_pack(listener, 1, 2)
    with Requestor(listener.port) as assoc:
        for number in (1, 2, 3):
            assert assoc.store(uid(number), frame(number)) == SUCCESS
        assert len(pack_index.load(path)) == 2
    listener.wait_until_closed()
    assert recovery.recover(listener.settings, listener.ledger, NOW) == 1  # its row
    with listener.ledger.reading() as session:
        (row,) = associations.latest(session)
        (line,) = studies.lines(session)
    assert (row.received_count, row.duplicate_count) == (1, 2)
    assert (line.received_count, line.open_pack_count) == (3, 0)


def _node(listener) -> str:
    return (listener.settings.home / "node-id").read_text()
