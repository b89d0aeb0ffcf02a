"""The benchmark's own tools: a sender that believes only Success, a count that loses nobody."""

import hashlib
import re
import socket
import subprocess
import sys

import pytest

from gateway.dicom import header
from gateway.dicom.storage_classes import JPEG_BASELINE
from tests.bench.ingest import messages, processes, sink
from tests.bench.ingest.senders import SUCCESS, Answers
from tests.running import eventually


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()  # the peer of a Unix socket needs no TCP_QUICKACK
    with ours, theirs:
        yield ours, theirs


class Plain:
    """A socket without TCP options."""

    def __init__(self, connection: socket.socket) -> None:
        self.recv_into = connection.recv_into

    def setsockopt(self, *_option: int) -> None: ...


def test_answers_are_counted_however_they_are_cut(ends):
    ours, theirs = ends
    answers = Answers(Plain(ours))
    stream = sink.response() * 3
    theirs.sendall(stream[:-7])
    assert answers.read() == 2
    theirs.sendall(stream[-7:])
    assert answers.read() == 1


def test_an_answer_that_is_not_success_stops_the_sender(ends):
    ours, theirs = ends
    theirs.sendall(sink.response().replace(SUCCESS, SUCCESS[:-2] + b"\x00\xa7"))
    with pytest.raises(ConnectionError, match="no Success"):
        Answers(Plain(ours)).read()


def test_a_receiver_that_goes_away_stops_the_sender(ends):
    ours, theirs = ends
    theirs.close()
    with pytest.raises(ConnectionError, match="closed"):
        Answers(Plain(ours)).read()


def test_instances_differ_in_uid_and_pixel_data_and_have_one_length():
    template = messages.template(5000)
    (one, first), (other, second) = template.instances(1, 2)
    assert one != other
    assert len(first) == len(second) == len(template.data)
    assert 4000 < len(first) < 6000
    for uid, data in ((one, first), (other, second)):
        assert header.read(data, JPEG_BASELINE).text(header.SOP_INSTANCE_UID) == uid
    assert re.findall(rb"instance: (\d+)", first + second) == [b"00000001", b"00000002"]


def test_a_large_instance_is_one_fragment_of_the_announced_length():
    large = messages.large_instance(3 << 20)
    whole = b"".join(large.pieces())
    assert len(whole) == large.size
    assert large.digests() == {large.uid: hashlib.sha256(whole).hexdigest()}
    fragment = header.read(whole, JPEG_BASELINE).fragment
    assert (fragment.offset, fragment.size) == (len(large.head), 3 << 20)


def test_the_time_of_a_child_that_has_ended_is_counted():
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    parent = (
        "import subprocess, sys\n"
        f"subprocess.run([sys.executable, '-c', {burn!r}])\n"
        "print('ended', flush=True)\nsys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout.readline() == b"ended\n"
        assert processes.family(process.pid) == [process.pid]
        assert processes.cpu_seconds(process.pid) >= 0.29  # whole ticks
        process.stdin.close()


def test_the_peak_of_a_child_counts_after_it_has_ended():
    child = "import sys; block = b'x' * (80 << 20); sys.stdin.read()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE)
    with process:
        with processes.PeakWatch(process.pid) as watch:
            eventually(lambda: watch.peak_bytes > 80 << 20, "the child is seen", 30)
            process.stdin.close()
            process.wait(timeout=30)
        assert watch.peak_bytes > 80 << 20
