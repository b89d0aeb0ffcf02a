"""kill -9 of the whole listener at random moments while it receives, over and over.

    python -m tests.bench.kill_loop [--rounds 200] [--seed 1] [--associations 2]

After every kill the listener is started again and everything is compared, byte for byte:
whatever was acknowledged is there, once; whatever else is there was on its way when the kill
came, its answer lost, and is whole. What was not acknowledged is then sent again and must be
taken. The listener is forked from this process, so that a start costs no imports.
"""

import argparse
import ctypes
import hashlib
import os
import random
import shutil
import signal
import sys
import tarfile
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from gateway.cli import services
from gateway.dicom import part10
from gateway.ledger import events, migrate
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import studies
from gateway.model import PackState
from gateway.packs import index as pack_index
from gateway.packs import reading
from gateway.scp import recovery, server
from gateway.settings import Settings
from gateway.up import roles, runfile
from tests.instances import data_set, encoded, jpeg
from tests.requestor import Broken, Requestor
from tests.running import free_port

PRELOADED = (recovery, server, migrate)
ROOT_UID = "1.2.826.0.1.3680043.9.7433.7"
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
START_S_MAX = 60
KILLED_WHILE_STARTING = 0.15
"""Of the rounds, this share is killed a second time while it recovers."""

Digests = dict[str, str]
"""SHA-256 of the data set by SOP Instance UID."""


class Listener:
    """`capsule-gateway scp` in a process group of its own."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self._settings, self._log = settings, log
        self.pid = 0

    def start(self) -> None:
        runfile.discard(self._settings.run_dir, roles.SCP)
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            output = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.environ.update(self._settings.as_environment())
            try:
                services.scp()
            finally:
                os._exit(1)

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_S_MAX
        while runfile.read(self._settings.run_dir, roles.SCP) is None:
            assert time.monotonic() < deadline, "the listener did not start"
            assert os.waitpid(self.pid, os.WNOHANG) == (0, 0), "the listener ended"
            time.sleep(0.002)

    def kill(self) -> None:
        """kill -9 of the process and of every one it started, at one moment."""
        os.killpg(self.pid, signal.SIGKILL)
        self._collect()

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGTERM)
        self._collect()

    def _collect(self) -> None:
        """Wait for all of the group: its orphans become our children (prctl(2))."""
        while True:
            try:
                os.waitpid(-self.pid, 0)
            except ChildProcessError:
                return


class Sender(threading.Thread):
    """Associates, stores and releases again and again until the listener is gone."""

    def __init__(self, port: int, feed: Iterator[tuple[str, bytes]], rng: random.Random) -> None:
        super().__init__(daemon=True)
        self._port, self._feed, self._random = port, feed, rng
        self.acknowledged: Digests = {}
        self.under_way: dict[str, bytes] = {}
        self.trouble = ""

    def run(self) -> None:
        try:
            while not self.trouble:
                with Requestor(self._port, calling="KILLLOOP", window=8) as assoc:
                    for _ in range(self._random.randint(1, 80)):
                        count = self._random.choice((1, 1, 1, 8))
                        self._store(assoc, [next(self._feed) for _ in range(count)])
        except (Broken, OSError):
            return

    def _store(self, assoc: Requestor, group: list[tuple[str, bytes]]) -> None:
        self.under_way |= dict(group)
        assoc.send(b"".join(assoc.message(uid, data) for uid, data in group))
        for uid, data in group:
            status = assoc.read_status()
            if status:
                self.trouble = f"{uid} was answered {status:04X}"
                return
            self.acknowledged[uid] = digest(data)
            del self.under_way[uid]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def feed(study_uid: str, series: int, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Yield instances of one Series without end, of many sizes, each with bytes of its own."""
    from pydicom.encaps import encapsulate

    series_uid = f"{study_uid}.{series}"
    frame = jpeg(1)
    placeholder = f"{series_uid}.1{0:08d}"
    templates = []
    for size in (0, 700, 9_000, 25_000, 90_000):
        pixels = frame[:-2] + rng.randbytes(size).replace(b"\xff", b"\xfe") + b"\xff\xd9"
        ds = data_set(
            1, StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid,
            SOPInstanceUID=placeholder, PixelData=encapsulate([pixels]),
        )  # fmt: skip
        templates.append(encoded(ds))
    number = 0
    while True:
        number += 1
        uid = f"{series_uid}.1{number:08d}"
        data = templates[min(rng.randrange(5), rng.randrange(5))]
        yield uid, data.replace(placeholder.encode(), uid.encode(), 1)


def kept(settings: Settings, study_uid: str) -> Digests:
    """Return what the packs of a study hold; each pack must be sealed and whole."""
    found: Counter[str] = Counter()
    digests: Digests = {}
    for path in sorted((settings.packs_dir / study_uid).glob("*/*.tar")):
        index = pack_index.load(path)
        with tarfile.open(path) as archive:
            names = archive.getnames()
        uids = [row["sop_instance_uid"].decode() for row in index]
        assert names == [f"{uid}.dcm" for uid in uids], f"{path.name}: index and tar differ"
        for uid, row in zip(uids, index, strict=True):
            content = reading.read_range(path, int(row["offset"]), int(row["size"]))
            assert hashlib.sha256(content).digest() == row["digest"].tobytes(), uid
            digests[uid] = digest(content[part10.parse_file_meta(content).data_set_offset :])
            found[uid] += 1
    twice = [uid for uid, count in found.items() if count > 1]
    assert not twice, f"kept twice: {twice}"
    return digests


def check_ledger(settings: Settings, study_uid: str, count: int) -> None:
    """The rows say what the packs hold."""
    ledger = Ledger(settings.ledger_url)
    try:
        with ledger.reading() as session:
            packs = []
            if count:
                packs = studies.packs(session, studies.by_uid(session, study_uid).id)
            assert all(one.pack.state is PackState.SEALED for one in packs), "a pack stands open"
            counted = sum(one.pack.instance_count for one in packs)
    finally:
        ledger.dispose()
    assert counted == count, f"the ledger counts {counted} instances, {count} are kept"


def round_of(
    listener: Listener, settings: Settings, number: int, args: argparse.Namespace
) -> tuple[Digests, int]:
    """Receive, kill, start, compare, send the rest; returns what is kept, and how much was saved.

    The second figure: instances whose answer was lost with the kill, and which were kept.
    """
    rng = random.Random(f"{args.seed}/{number}")
    study_uid = f"{ROOT_UID}.{args.seed}.{number}"
    senders = [
        Sender(settings.dicom_port, feed(study_uid, series, rng), rng)
        for series in range(1, args.associations + 1)
    ]
    for sender in senders:
        sender.start()
    threading.Event().wait(rng.uniform(0, args.milliseconds / 1000))
    listener.kill()
    for sender in senders:
        sender.join()
        assert not sender.trouble, sender.trouble
    listener.start()
    if rng.random() < KILLED_WHILE_STARTING:
        threading.Event().wait(rng.uniform(0, 0.3))
        listener.kill()
        listener.start()
    listener.wait_until_ready()
    acknowledged = {uid: one for sender in senders for uid, one in sender.acknowledged.items()}
    under_way = {uid: one for sender in senders for uid, one in sender.under_way.items()}
    found = kept(settings, study_uid)
    lost = acknowledged.keys() - found.keys()
    assert not lost, f"{len(lost)} acknowledged instances are lost, among them {min(lost)}"
    expected = acknowledged | {uid: digest(data) for uid, data in under_way.items()}
    strange = {uid for uid, one in found.items() if expected.get(uid) != one}
    assert not strange, f"kept with other bytes, or never sent: {sorted(strange)[:3]}"
    check_ledger(settings, study_uid, len(found))
    with Requestor(settings.dicom_port, calling="KILLLOOP") as assoc:
        for uid, data in under_way.items():
            assert assoc.store(uid, data) == 0, f"{uid} is refused when it is sent again"
    return expected, len(found) - len(acknowledged)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--associations", type=int, default=2)
    parser.add_argument("--milliseconds", type=float, default=400, help="a kill comes before")
    parser.add_argument("--folder", default=None)
    args = parser.parse_args()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    home = Path(tempfile.mkdtemp(prefix="kill-", dir=args.folder))
    settings = Settings(home=home, dicom_host="127.0.0.1", dicom_port=free_port())
    listener = Listener(settings, home / "listener.log")
    everything: dict[str, Digests] = {}
    saved = 0
    began = time.monotonic()
    listener.start()
    try:
        listener.wait_until_ready()
        for number in range(1, args.rounds + 1):
            expected, saved_now = round_of(listener, settings, number, args)
            everything[f"{ROOT_UID}.{args.seed}.{number}"] = expected
            saved += saved_now
            if number % 20 == 0 or number == args.rounds:
                total = sum(len(one) for one in everything.values())
                print(f"{number} kills, {total} instances, {time.monotonic() - began:.0f} s")
    except AssertionError as error:
        print(f"seed {args.seed}, round {len(everything) + 1}: {error}; see {home}")
        return 1
    finally:
        listener.stop()
    for study_uid, expected in everything.items():  # later kills changed nothing of it
        assert kept(settings, study_uid) == expected, study_uid
    ledger = Ledger(settings.ledger_url)
    with ledger.reading() as session:
        assert events.first_broken(session) is None, "the event chain is broken"
    ledger.dispose()
    print(f"all there, byte for byte; {saved} were kept although their answer was lost")
    shutil.rmtree(home)
    return 0


if __name__ == "__main__":
    sys.exit(main())
