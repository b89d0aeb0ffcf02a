"""A disk that fails: what is acknowledged is kept, what is not kept is refused, nobody dies.

The calls of the operating system are made to fail inside the running listener, by a library
the loader puts before the C library (eio.c). STYLE of SQLite's tests: fail the first call, then
the second, and so on, until a run goes through untouched.
"""

import errno
import itertools
import mmap
import resource
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import find_program
from tests.instances import STUDY_UID, frame
from tests.requestor import Broken, Refused
from tests.running import free_port
from tests.scp_process import ScpProcess, scp_process

pytestmark = [pytest.mark.peer("gcc"), pytest.mark.timeout(300)]

SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700
FOR_EVER = 1 << 30
_numbers = itertools.count(1)


class Faults:
    """What eio.c shares with us; see there."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(struct.pack("5i", -1, errno.EIO, 0, 0, 0) + bytes(4076))
        self._file = path.open("r+b")
        self._map = mmap.mmap(self._file.fileno(), 4096)

    def arm(self, path: str, after: int, *, error: int = errno.EIO, in_a_row: int = 1) -> None:
        """Let one call on a file fail whose path contains `path`, when `after` have passed."""
        self._map[:20] = struct.pack("5i", -1, error, 0, in_a_row - 1, 0)
        self._map[64:128] = path.encode().ljust(64, b"\0")
        self._map[:4] = struct.pack("i", after)

    def disarm(self) -> int:
        """Let all calls pass again; returns how many failed."""
        self._map[:4] = struct.pack("i", -1)
        return struct.unpack_from("i", self._map, 16)[0]


@pytest.fixture(scope="module")
def harmed(tmp_path_factory) -> Iterator[tuple[ScpProcess, Faults]]:
    """A listener, and the means to harm it."""
    folder = tmp_path_factory.mktemp("harmed")
    library = folder / "eio.so"
    subprocess.run(
        [find_program("gcc"), "-Wall", "-O1", "-shared", "-fPIC", "-o", library,
         Path(__file__).with_name("eio.c"), "-ldl"],
        check=True,
    )  # fmt: skip
    faults = Faults(folder / "control")
    environ = {"LD_PRELOAD": str(library), "FAULT_CONTROL": str(folder / "control")}
    with scp_process(folder / "home", free_port(), environ=environ) as listener:
        yield listener, faults


def instances(count: int = 3) -> dict[str, bytes]:
    """Return data sets by SOP Instance UID, of a study nobody sent before."""
    study_uid = f"{STUDY_UID}.{next(_numbers)}"
    uids = [f"{study_uid}.1.{one}" for one in range(1, count + 1)]
    return {
        uid: frame(
            one, StudyInstanceUID=study_uid, SeriesInstanceUID=f"{study_uid}.1", SOPInstanceUID=uid
        )
        for one, uid in enumerate(uids, start=1)
    }


def send(listener: ScpProcess, sent: dict[str, bytes]) -> dict[str, int]:
    """Send on one association; returns the status of every instance that was answered."""
    statuses: dict[str, int] = {}
    try:
        with listener.associate() as assoc:
            for uid, data in sent.items():
                statuses[uid] = assoc.store(uid, data)
    except Refused as refused:
        if refused.args[1][1] != 0x02:  # transient, PS3.8 9.3.4
            pytest.fail(f"the association was refused for good: {refused}")
    except Broken:
        pytest.fail(f"the association broke off: {listener.said()[-3000:]}")
    return statuses


def check(listener: ScpProcess, sent: dict[str, bytes], statuses: dict[str, int]) -> None:
    """1. Only Success or Out of resources was answered. 2. Success is true. 3. It all goes on."""
    listener.assert_alive()
    assert set(statuses.values()) <= {SUCCESS, OUT_OF_RESOURCES}, listener.said()[-3000:]
    listener.wait_until_sealed()
    kept = listener.kept()
    for uid, status in statuses.items():
        if status == SUCCESS:
            assert kept.get(uid) == sent[uid], "acknowledged and not kept"
        else:
            assert uid not in kept, "refused and kept"
    assert set(send(listener, sent).values()) == {SUCCESS}
    listener.wait_until_sealed()
    kept = listener.kept()
    assert all(kept.get(uid) == data for uid, data in sent.items())


@pytest.mark.parametrize(
    ("path", "error", "step"),
    [
        ("/packs/", errno.EIO, 1),
        ("/packs/", errno.ENOSPC, 3),
        ("ledger.sqlite", errno.EIO, 5),
        ("ledger.sqlite", errno.ENOSPC, 11),
    ],
    ids=["packs-EIO", "packs-ENOSPC", "ledger-EIO", "ledger-ENOSPC"],
)
def test_whichever_call_fails_no_answer_is_wrong(harmed, path, error, step):
    listener, faults = harmed
    failed = 0
    for number in range(0, 1000, step):
        sent = instances()
        faults.arm(path, number, error=error)
        statuses = send(listener, sent)
        # Packs are sealed before a release is answered; what failed there is tried again.
        untouched = faults.disarm() == 0
        check(listener, sent, statuses)
        if untouched:
            break
        failed += 1
    assert failed > 5, "the library did not make anything fail"
    listener.assert_the_ledger_agrees()


@pytest.mark.parametrize("path", ["/packs/", "ledger.sqlite", "/home/"])
def test_while_a_disk_is_dead_everything_is_refused_and_when_it_is_back_taken(harmed, path):
    listener, faults = harmed
    before, after = instances(), instances()
    assert set(send(listener, before).values()) == {SUCCESS}
    listener.wait_until_sealed()
    faults.arm(path, 0, in_a_row=FOR_EVER)
    for _ in range(3):
        assert set(send(listener, after).values()) <= {OUT_OF_RESOURCES}
        listener.assert_alive()
    assert faults.disarm() > 0
    check(listener, after, {})
    assert listener.kept().items() >= (before | after).items()
    listener.assert_the_ledger_agrees()


def test_a_limit_on_file_sizes_is_one_more_way_a_disk_fails(harmed):
    """RLIMIT_FSIZE: EFBIG, on packs and ledger alike."""
    listener, _ = harmed
    sent = instances()
    for limit in (100, 1 << 20):
        limited(listener, limit)
        statuses = send(listener, sent)
        limited(listener, resource.RLIM_INFINITY)
        assert set(statuses.values()) <= {OUT_OF_RESOURCES}
        check(listener, sent, statuses)
        sent = instances()
    listener.assert_the_ledger_agrees()


def limited(listener: ScpProcess, size_bytes: int) -> None:
    for pid in listener.family:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))
