"""What a peer may take: how many associations, how long, how many bytes (PS3.8 9.1.5, 9.3.4)."""

import contextlib
import resource
import socket
import struct
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.ledger.queries import associations, studies
from gateway.ledger.transitions import registry
from gateway.model import AssociationOutcome
from tests.instances import JPEG_BASELINE, SERIES_UID, VL_ENDOSCOPIC, frame, p_data, store_command
from tests.listening import eventually
from tests.requestor import Broken, Refused, Requestor, associate_request

SUCCESS = 0x0000
LOCAL_LIMIT = b"\x02\x03\x02"
"""Result, source and reason: transient, service provider (presentation), local limit exceeded."""
REQUEST = associate_request(
    calling="WORKSTATION", called="CAPSULEGW", contexts=[(VL_ENDOSCOPIC, [JPEG_BASELINE])]
)


def uid(number: int) -> str:
    return f"{SERIES_UID}.{number}"


def connect(listener) -> socket.socket:
    return socket.create_connection(("127.0.0.1", listener.port), timeout=10)


def last_words(connection: socket.socket) -> bytes:
    """Return all that comes until the other side closes."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(1 << 16):
            said += piece
    connection.close()
    return said


def reasons(listener) -> list[str]:
    with listener.ledger.reading() as session:
        return [row.reason for row in associations.latest(session)]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_one_more_than_the_limit_is_refused_and_comes_in_when_one_leaves(make_listener):
    listener = make_listener(associations_max=2)
    first, second = Requestor(listener.port), Requestor(listener.port)
    with pytest.raises(Refused) as caught:
        Requestor(listener.port)
    assert caught.value.args[1][1:] == LOCAL_LIMIT
    first.release()
    with Requestor(listener.port) as third:
        assert third.store(uid(1), frame(1)) == SUCCESS
    second.release()


def test_a_sender_that_associates_again_at_once_never_meets_its_own_last_association(make_listener):
    listener = make_listener(associations_max=1, source_associations_max=1)
    for number in range(10):
        with Requestor(listener.port) as assoc:
            assert assoc.store(uid(number), frame(number)) == SUCCESS


def test_a_place_is_free_again_however_the_association_ended(make_listener):
    listener = make_listener(associations_max=1)
    for end in ("abort", "close", "reset"):
        assoc = Requestor(listener.port)
        if end == "abort":
            assoc.abort()
        if end == "reset":
            linger = struct.pack("ii", 1, 0)
            assoc.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        assoc.connection.close()
    with pytest.raises(Refused), Requestor(listener.port, called="SOMEBODY"):
        pass
    Requestor(listener.port).release()


def test_of_one_source_no_more_than_its_own_number(make_listener):
    listener = make_listener(source_associations_max=1)
    with listener.ledger.transaction() as session:
        now = datetime.now(UTC)
        registry.add_source(session, "ONE", now=now, actor="test")
        registry.add_source(session, "TWO", associations_max=2, now=now, actor="test")
    with contextlib.ExitStack() as held:
        held.enter_context(Requestor(listener.port, calling="ONE"))
        held.enter_context(Requestor(listener.port, calling="TWO"))
        held.enter_context(Requestor(listener.port, calling="TWO"))
        for calling in ("ONE", "TWO"):
            with pytest.raises(Refused) as caught:
                Requestor(listener.port, calling=calling)
            assert caught.value.args[1][1:] == LOCAL_LIMIT
    assert "TWO has 2 associations open, as many as it may have." in reasons(listener)
    Requestor(listener.port, calling="ONE").release()


def test_parallel_requests_of_one_source_never_get_more_than_its_number(make_listener):
    listener = make_listener(source_associations_max=3)
    granted, lock = [], threading.Lock()

    def ask() -> None:
        with contextlib.suppress(Refused):
            assoc = Requestor(listener.port)
            with lock:
                granted.append(assoc)

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) == 3
    for assoc in granted:
        assoc.release()


def test_a_request_that_comes_a_byte_at_a_time_is_dropped_when_its_time_is_up(make_listener):
    listener = make_listener(artim_timeout_s=0.6)
    loris = connect(listener)
    began = time.monotonic()
    loris.settimeout(0.05)
    ended = False
    for byte in REQUEST:  # at this rate it would take 10 s
        with contextlib.suppress(TimeoutError):
            try:
                loris.send(bytes([byte]))
                ended = not loris.recv(1)
            except ConnectionError:
                ended = True
        if ended:
            break
    assert ended
    assert time.monotonic() - began < 5
    Requestor(listener.port).release()


def test_a_request_in_single_bytes_that_keeps_its_time_is_accepted(listener):
    connection = connect(listener)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in REQUEST:
        connection.send(bytes([byte]))
    assert connection.recv(1) == b"\x02"
    connection.close()


@pytest.mark.parametrize("announced", [257 << 10, 1 << 30, 0xFFFFFFFF])
@pytest.mark.parametrize("slowly", [False, True])
def test_an_absurd_request_is_cut_off_at_its_header(listener, announced, slowly):
    connection = connect(listener)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    header = struct.pack(">BxL", 0x01, announced)
    for piece in [bytes([byte]) for byte in header] if slowly else [header]:
        connection.send(piece)
    # A-ABORT by the service provider: invalid PDU parameter value (PS3.8 9.3.8)
    assert last_words(connection) == b"\x07\x00\x00\x00\x00\x04\x00\x00\x02\x06"


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", b"\x04"])
def test_what_is_no_request_is_aborted_at_its_first_byte(listener, said):
    connection = connect(listener)
    connection.send(said)
    assert last_words(connection)[:1] in (b"\x07", b"")


def test_an_abort_before_the_request_just_closes(listener):
    connection = connect(listener)
    connection.send(struct.pack(">BxL4x", 0x07, 4))
    assert last_words(connection) == b""


def test_another_protocol_version_is_rejected(listener):
    connection = connect(listener)
    connection.send(REQUEST[:6] + b"\x00\x02" + REQUEST[8:])
    # permanent, service provider (ACSE), protocol version not supported
    assert last_words(connection) == b"\x03\x00\x00\x00\x00\x04\x00\x01\x02\x02"


def test_a_later_protocol_version_beside_ours_is_accepted(listener):
    """PS3.8 9.3.2: a receiver tests the bit of the version it knows and no other."""
    connection = connect(listener)
    connection.send(REQUEST[:6] + b"\x00\x03" + REQUEST[8:])
    assert connection.recv(1) == b"\x02"
    connection.close()


def test_a_request_that_cannot_be_decoded_is_aborted_and_gives_its_place_back(make_listener):
    listener = make_listener(associations_max=1)
    broken = REQUEST[:80] + b"\x99" * 40 + REQUEST[120:]
    for _ in range(3):
        connection = connect(listener)
        connection.send(broken)
        assert last_words(connection)[:1] == b"\x07"
    Requestor(listener.port).release()


def test_health_checks_leave_nothing_behind(listener):
    def threads() -> int:
        return threading.active_count()

    Requestor(listener.port).release()
    listener.wait_until_closed()
    eventually(lambda: threads() <= 5)
    files_before, threads_before = open_files(), threads()
    linger = struct.pack("ii", 1, 0)
    for number in range(1000):
        connection = connect(listener)
        if number % 2:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)  # a reset
        connection.close()
    Requestor(listener.port).release()
    listener.wait_until_closed(2)
    # Fewer is as good: something of the first association may have been about to close.
    eventually(lambda: open_files() <= files_before and threads() <= threads_before)
    with listener.ledger.reading() as session:
        assert len(associations.latest(session)) == 2


def test_many_silent_connections_do_not_keep_a_sender_out(make_listener):
    listener = make_listener(negotiating_max=32, negotiating_per_address_max=16)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    silent = [connect(listener) for _ in range(150)]
    for connection in silent[::2]:
        with contextlib.suppress(OSError):
            connection.send(REQUEST[:-1])  # all but whole
    with Requestor(listener.port) as assoc:
        assert assoc.store(uid(1), frame(1)) == SUCCESS
        eventually(lambda: 0 < sum(map(is_open, silent)) <= 16)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB
    for connection in silent:
        connection.close()


def is_open(connection: socket.socket) -> bool:
    connection.settimeout(0)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def test_silence_on_an_association_ends_it_and_a_human_finds_out_why(make_listener):
    listener = make_listener(idle_timeout_s=0.5)
    assoc = Requestor(listener.port)
    assert assoc.store(uid(1), frame(1)) == SUCCESS
    kind, _ = assoc.read_pdu()
    assert kind == 0x07
    assert listener.wait_until_closed() == [AssociationOutcome.ABORTED]
    assert reasons(listener) == ["Nothing came for 0.5 s (CAPSULE_IDLE_TIMEOUT_S)."]
    assert list(listener.kept()) == [uid(1)]
    with listener.ledger.reading() as session:
        assert studies.open_packs(session) == []


def test_an_association_that_is_used_now_and_then_stays(make_listener):
    listener = make_listener(idle_timeout_s=1.0)
    with Requestor(listener.port) as assoc:
        for number in range(4):
            assert assoc.store(uid(number), frame(number)) == SUCCESS
            threading.Event().wait(0.4)
    assert listener.wait_until_closed() == [AssociationOutcome.RELEASED]


@pytest.mark.parametrize(
    "piece", [b"\x04", p_data([(1, 1, b"\0\0")]), p_data([(1, 3, store_command(uid(2)))])]
)
def test_a_message_that_was_begun_must_go_on(make_listener, piece):
    """One byte of a PDU, a piece of a command, a command without its data set."""
    listener = make_listener(dimse_timeout_s=0.5)
    assoc = Requestor(listener.port)
    assert assoc.store(uid(1), frame(1)) == SUCCESS
    assoc.send(piece)
    kind, _ = assoc.read_pdu()
    assert kind == 0x07
    assert listener.wait_until_closed() == [AssociationOutcome.ABORTED]
    assert reasons(listener)[0].startswith("A message was not whole after")
    assert list(listener.kept()) == [uid(1)]


def test_an_instance_in_tiny_pdus_without_end_is_cut_off(make_listener):
    listener = make_listener(dimse_timeout_s=0.5)
    assoc = Requestor(listener.port)
    assoc.send(p_data([(1, 3, store_command(uid(1)))]))
    assoc.connection.settimeout(0.05)
    began = time.monotonic()
    with pytest.raises(Broken):
        while time.monotonic() - began < 10:
            assoc.send(p_data([(1, 0, b"\0")]))
            with contextlib.suppress(TimeoutError):
                kind, _ = assoc.read_pdu()
                raise Broken(str(kind))
    assert listener.wait_until_closed() == [AssociationOutcome.ABORTED]
    assert reasons(listener)[0].startswith("A message was not whole after")


def test_a_slow_sender_that_keeps_the_lowest_rate_is_served(make_listener):
    listener = make_listener(dimse_timeout_s=0.3)
    data = frame(1)
    with Requestor(listener.port) as assoc:
        message = assoc.message(uid(1), data)
        step = len(message) // 10 + 1
        for at in range(0, len(message), step):
            assoc.send(message[at : at + step])
            threading.Event().wait(0.05)
        assert assoc.read_status() == SUCCESS
    assert listener.wait_until_closed() == [AssociationOutcome.RELEASED]


def test_a_peer_that_reads_no_answers_is_cut_off_and_what_it_sent_is_kept(make_listener):
    listener = make_listener(dimse_timeout_s=0.5)
    assoc = Requestor(listener.port)
    assoc.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    message = assoc.message(uid(1), frame(1))
    assoc.connection.settimeout(0.2)
    with contextlib.suppress(OSError, Broken):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                assoc.connection.sendall(message)
    assert listener.wait_until_closed() == [AssociationOutcome.ABORTED]
    assert list(listener.kept()) == [uid(1)]
    assert reasons(listener) != [""]
    assoc.connection.close()


def test_associations_on_which_nothing_happens_cost_next_to_nothing(listener):
    """pynetdicom's threads alone would take half a second of CPU a second for eight of them."""
    held = [Requestor(listener.port) for _ in range(8)]
    threading.Event().wait(0.3)
    before = time.process_time()
    threading.Event().wait(2)
    assert time.process_time() - before < 0.4
    for number, assoc in enumerate(held):
        assert assoc.store(uid(number), frame(number)) == SUCCESS
        assoc.release()


def test_stopping_aborts_seals_and_says_so(make_listener):
    listener = make_listener()
    assoc = Requestor(listener.port)
    assert assoc.store(uid(1), frame(1)) == SUCCESS
    silent = connect(listener)
    listener.server.stop()
    assert assoc.read_pdu()[0] == 0x07
    assert last_words(silent) == b""
    assert listener.wait_until_closed() == [AssociationOutcome.ABORTED]
    assert reasons(listener) == ["The gateway was stopped."]
    assert list(listener.kept()) == [uid(1)]
    assert list(Path(listener.settings.run_dir / "listeners").iterdir()) == []
