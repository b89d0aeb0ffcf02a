"""Peers that mean harm, or are broken: they cost an association, bounded memory, nobody else."""

import contextlib
import logging
import random
import struct
import threading
import tracemalloc

import pytest
from pydicom.encaps import encapsulate

from gateway.ledger.queries import studies as queries
from gateway.scp.held import (
    GATHERED_BYTES_MAX,
    HELD_FREELY_BYTES,
    HELD_TOGETHER_BYTES_MAX,
)
from gateway.scp.reception import PACKS_OPEN_MAX
from gateway.scp.wire.handover import DATA_SET_BYTES_MAX, EVENT_REPORTS_MAX
from tests import fuzzing
from tests.instances import (
    JPEG_BASELINE,
    SERIES_UID,
    VL_ENDOSCOPIC,
    cut,
    data_set,
    encoded,
    frame,
    p_data,
    store_command,
)
from tests.requestor import A_ABORT, ABORT, RELEASE_REQUEST, Broken, Requestor

SUCCESS = 0x0000
ECHO = fuzzing.command_set(0x0030, data=False, x0002=fuzzing.VERIFICATION.encode())

ACTION = fuzzing.command_set(
    0x0130, data=True, x0002=b"", x0003=fuzzing.COMMITMENT.encode(),
    x1001=b"1.2.840.10008.1.20.1.1", x1008=b"\x01\x00",
)  # fmt: skip


def uid(number: int) -> str:
    return f"{SERIES_UID}.{number}"


def associate(listener) -> Requestor:
    return Requestor(listener.port, contexts=fuzzing.CONTEXTS)


def assert_it_serves(listener, number: int = 999) -> None:
    with associate(listener) as assoc:
        assert assoc.store(uid(number), frame(number)) == SUCCESS


def test_bent_conversations_end_and_the_next_association_is_served(listener):
    rng, valid = random.Random("protocol"), fuzzing.conversations()
    for number in range(1, 81):
        fuzzing.converse(listener.port, fuzzing.bent_conversation(rng, valid))
        if number % 20 == 0:
            assert_it_serves(listener, 1000 + number)


@pytest.mark.parametrize(
    "command",
    [
        b"",
        b"\0" * 40,
        ECHO[:30],
        fuzzing.command_set(0x0030, data=False, x0100=b"\x30"),  # half a value
        fuzzing.command_set(0x1234, data=False),  # no such service
        fuzzing.command_set(0x0030, data=False, x0110=b""),  # no Message ID
        fuzzing.command_set(0x0020, data=True, x0002=b"\xff" * 70),
    ],
)
def test_a_command_set_that_is_none_aborts_the_association_at_once(listener, command):
    with pytest.raises(Broken), associate(listener) as assoc:
        assert assoc.store(uid(1), frame(1)) == SUCCESS
        assoc.connection.settimeout(10)
        assoc.send(p_data([(5, 3, command)]) + p_data([(5, 2, b"\x08\0\x05\0CS\0\0")]))
        kind, _ = assoc.read_pdu()
        assert kind == A_ABORT
        assoc.read_pdu()
    listener.wait_until_closed()
    assert_it_serves(listener)


def test_an_abort_of_no_known_source_is_an_abort(listener):
    assoc = associate(listener)
    assert assoc.store(uid(1), frame(1)) == SUCCESS
    assoc.send(struct.pack(">BxLxxBB", 0x07, 4, 184, 99))
    with pytest.raises(Broken):
        assoc.read_pdu()
    assert [str(one) for one in listener.wait_until_closed()] == ["aborted"]


@pytest.mark.parametrize("last_word", [RELEASE_REQUEST, ABORT, struct.pack(">BxL", 0x99, 0)])
def test_what_comes_after_the_last_word_is_not_received(listener, last_word):
    """PS3.8 9.2: no P-DATA in Sta8. It would lie in a pack that nobody seals any more."""
    assoc = associate(listener)
    assert assoc.store(uid(1), frame(1)) == SUCCESS
    assoc.send(last_word + assoc.message(uid(2), frame(2)) + assoc.message(uid(3), frame(3)))
    with contextlib.suppress(Broken):
        while True:
            assoc.read_pdu()
    listener.wait_until_closed()
    assert list(listener.kept()) == [uid(1)]
    assert len(list(listener.settings.packs_dir.rglob("*.tar"))) == 1


def test_empty_command_fragments_without_end_are_cut_off(listener):
    with pytest.raises(Broken), associate(listener) as assoc:
        for _ in range(1000):
            assoc.send(p_data([(1, 1, b"")] * 1000))
        assoc.read_pdu()
        assoc.read_pdu()


def test_a_data_set_without_end_that_is_not_for_storage_is_cut_off(listener):
    piece = p_data([(5, 0, bytes(100_000))])
    with pytest.raises(Broken), associate(listener) as assoc:
        assoc.send(p_data([(5, 3, ACTION)]))
        for _ in range(DATA_SET_BYTES_MAX // 100_000 + 200):
            assoc.send(piece)
        assoc.read_pdu()
        assoc.read_pdu()


def test_a_flood_of_echoes_is_answered_in_full(listener):
    count = 300
    with associate(listener) as assoc:
        sender = threading.Thread(target=assoc.send, args=(p_data([(3, 3, ECHO)]) * count,))
        sender.start()
        assert {assoc.read_status() for _ in range(count)} == {SUCCESS}
        sender.join()


def test_a_flood_of_requests_is_not_held_in_memory_until_they_are_served(listener, caplog):
    caplog.set_level(logging.CRITICAL, "pynetdicom")  # or pytest keeps them, with log records
    piece = p_data([(5, 0, bytes(100_000))])
    message = p_data([(5, 3, ACTION)]) + piece * 20 + p_data([(5, 2, b"\0\0")])
    count = DATA_SET_BYTES_MAX // 2_000_000 * 5
    tracemalloc.start()
    with associate(listener) as assoc:
        answers = threading.Thread(target=lambda: [assoc.read_status() for _ in range(count)])
        answers.start()
        for _ in range(count):
            assoc.send(message)
        answers.join()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * DATA_SET_BYTES_MAX


def test_a_flood_of_event_reports_does_not_start_a_thread_each(listener):
    command = fuzzing.command_set(
        0x0100, data=True, x0002=fuzzing.COMMITMENT.encode(),
        x1000=b"1.2.840.10008.1.20.1.1", x1002=b"\x01\x00",
    )  # fmt: skip
    report = p_data([(5, 3, command)]) + p_data([(5, 2, b"\x08\x00\x95\x11UI\x04\x001.2\0")])
    before, most = threading.active_count(), 0
    with associate(listener) as assoc:
        sender = threading.Thread(target=assoc.send, args=(report * 300,))
        sender.start()
        for _ in range(300):
            assoc.read_status()
            most = max(most, threading.active_count())
        sender.join()
    # Of our own: the sender; of the association's: its two threads.
    assert most <= before + 3 + EVENT_REPORTS_MAX


def test_many_series_on_one_association_keep_few_packs_open(listener):
    studies = {
        uid(number): frame(
            1, SeriesInstanceUID=f"{SERIES_UID}.9.{number % 40}", SOPInstanceUID=uid(number)
        )
        for number in range(1, 81)
    }
    with associate(listener) as assoc:
        for one, data in studies.items():
            assert assoc.store(one, data) == SUCCESS
        packs = list(listener.settings.packs_dir.rglob("*.tar"))
        still_open = [path for path in packs if not path.with_suffix(".npy").exists()]
        assert len(still_open) <= PACKS_OPEN_MAX
    assert [str(one) for one in listener.wait_until_closed()] == ["released"]
    assert len(listener.kept()) == len(studies)
    with listener.ledger.reading() as session:
        (line,) = queries.lines(session)
    assert (line.received_count, line.open_pack_count) == (len(studies), 0)


def test_large_instances_in_all_contexts_at_once_stay_within_bounded_memory(listener):
    contexts = [(VL_ENDOSCOPIC, [JPEG_BASELINE])] * 64
    alike = encoded(data_set(1, SOPInstanceUID=uid(10), PixelData=encapsulate([bytes(3 << 20)])))
    data = {
        number: alike.replace(uid(10).encode(), uid(number).encode(), 1) for number in range(11, 75)
    }
    tracemalloc.start()
    with Requestor(listener.port, contexts=contexts) as assoc:
        for number in data:
            assoc.send(p_data([(2 * number - 21, 3, store_command(uid(number)))]))
        size = max(len(content) for content in data.values())
        for at in range(0, size, 100_000):
            for number, content in data.items():
                last = 2 if at + 100_000 >= size else 0
                assoc.send(p_data([(2 * number - 21, last, content[at : at + 100_000])]))
        statuses = {assoc.read_status() for _ in data}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert statuses == {SUCCESS}
    # And a few copies on the way: what one of them gathered, zeros to extend its pack with.
    bound = HELD_TOGETHER_BYTES_MAX + 64 * HELD_FREELY_BYTES + GATHERED_BYTES_MAX
    assert peak < bound + (24 << 20)
    listener.wait_until_closed()
    assert len(listener.kept()) == 64


def test_what_cannot_be_held_any_more_and_not_yet_be_written_is_refused_for_now(listener):
    """Headers that do not end: only more of them would tell where the instances belong."""
    contexts = [(VL_ENDOSCOPIC, [JPEG_BASELINE])] * 16
    ds = data_set(1)
    ds.add_new(0x00090010, "LO", "TEST")
    ds.add_new(0x00091010, "OB", bytes(6 << 20))
    private = encoded(ds)
    with Requestor(listener.port, contexts=contexts) as assoc:
        for context_id in range(1, 32, 2):
            assoc.send(p_data([(context_id, 3, store_command(uid(1), message_id=context_id))]))
        for index, piece in enumerate(cut(private, [100_000])):
            last = 2 if (index + 1) * 100_000 >= len(private) else 0
            for context_id in range(1, 32, 2):
                assoc.send(p_data([(context_id, last, piece)]))
        statuses = [assoc.read_status() for _ in range(16)]
        assert set(statuses) == {SUCCESS, 0xA700}
        assert assoc.store(uid(2), frame(2)) == SUCCESS
    listener.wait_until_closed()
    assert sorted(listener.kept()) == [uid(1), uid(2)]
