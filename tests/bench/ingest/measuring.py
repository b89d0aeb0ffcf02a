"""One run of one receiver: started, sent to, watched, stopped, and what it kept compared."""

import contextlib
import dataclasses
import os
import tempfile
import time
from pathlib import Path

from tests.bench.ingest import figures, receivers
from tests.bench.ingest.figures import Run
from tests.bench.ingest.machine import synced_appends
from tests.bench.ingest.plan import Case, Sender
from tests.bench.ingest.processes import PeakWatch, settled_cpu_seconds
from tests.bench.ingest.receivers import Process, Receiver
from tests.bench.ingest.senders import CALLED, CALLING
from tests.requestor import Broken, Refused, Requestor
from tests.running import free_port

START_TIMEOUT_S, STOP_TIMEOUT_S = 60, 60


class Mismatch(Exception):
    """What a receiver kept is not what it was sent."""


def measure(case: Case, scratch: Path, size: int) -> Run:
    """Measure one case in a new folder below `scratch`, which is left for later.

    Removing thousands of files makes the file system slow for whoever comes next.
    """
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=scratch))
    if case.receiver is None or case.sender is None:
        run = synced_appends(folder, size, case.count)
    else:
        sender = case.sender()
        run = _receive(case.receiver, sender, folder)
        check(case, dict(case.receiver.kept(folder)), sender.digests())
    os.sync()  # what a receiver left unwritten must not be written in the next one's time
    return run


def _receive(receiver: Receiver, sender: Sender, folder: Path) -> Run:
    port = free_port()
    process = receiver.start(folder, port)
    try:
        _wait_for(process, port, receiver.name)
        before = settled_cpu_seconds(process.pid)
        with PeakWatch(process.pid) as watch:
            run = sender.send(port)
        used = settled_cpu_seconds(process.pid) - before
    except Exception as error:
        log = folder / receivers.LOG
        if log.exists():
            error.add_note(f"{receiver.name} said: ...{log.read_text()[-2000:]}")
        raise
    finally:
        process.terminate()
        process.wait(timeout=STOP_TIMEOUT_S)
    return dataclasses.replace(run, cpu_s=used, rss_mb=watch.peak_bytes / 1e6)


def _wait_for(process: Process, port: int, name: str) -> None:
    """Wait until it accepts an association."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        with (
            contextlib.suppress(OSError, Broken, Refused),
            Requestor(port, calling=CALLING, called=CALLED),
        ):
            return
        assert process.poll() is None, f"{name} ended"
        assert time.monotonic() < deadline, f"{name} did not start"
        time.sleep(0.1)


def check(case: Case, kept: dict[str, str], sent: dict[str, str]) -> None:
    """Raise Mismatch unless everything sent was kept, byte for byte, and nothing else."""
    if case.receiver is None or case.receiver.name == figures.SINK:
        return
    if len(kept) != case.count:
        raise Mismatch(f"{case.key}: {len(kept)} kept of {case.count}")
    wrong = [uid for uid, digest in kept.items() if sent.get(uid) != digest]
    if wrong:
        raise Mismatch(f"{case.key}: {len(wrong)} instances differ, {wrong[0]} first")
