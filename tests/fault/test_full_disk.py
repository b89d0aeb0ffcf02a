"""A disk that fills up: refused in time, nobody dies, and it goes on when there is room.

A small tmpfs is the disk; a file beside the data takes the room away and gives it back.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.encaps import encapsulate

from gateway.ledger.queries import disk
from gateway.model import DiskLevel
from gateway.packs import room
from tests.instances import data_set, encoded
from tests.listening import eventually
from tests.requestor import Broken, Refused
from tests.running import free_port
from tests.scp_process import ScpProcess, scp_process

pytestmark = pytest.mark.timeout(240)

SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700
DISK_BYTES = 160 << 20
MIB = 1 << 20


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory) -> Iterator[Path]:
    """A file system of its own, of DISK_BYTES."""
    folder = tmp_path_factory.mktemp("disk")
    mounted = sys.platform == "linux" and os.geteuid() == 0 and not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", folder], check=False
    ).returncode  # fmt: skip
    if not mounted:
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say("a file system can be mounted by root alone")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(scope="module")
def listener(small_disk) -> Iterator[ScpProcess]:
    with scp_process(small_disk / "home", free_port()) as running:
        yield running


@pytest.fixture
def ballast(small_disk) -> Iterator["Ballast"]:
    one = Ballast(small_disk)
    yield one
    one.remove()


class Ballast:
    """A file that leaves so much room on the disk."""

    def __init__(self, disk: Path) -> None:
        self._disk, self._file = disk, disk / "ballast"

    def leave(self, free_bytes: int) -> None:
        self._file.unlink(missing_ok=True)
        size = room.measure(self._disk).free_bytes - free_bytes
        with self._file.open("wb") as file, contextlib.suppress(OSError):
            while size > 0:
                size -= file.write(bytes(min(size, MIB)))

    def remove(self) -> None:
        self._file.unlink(missing_ok=True)


def uid(number: int) -> str:
    return f"1.2.826.0.1.3680043.9.7433.1.1.{number}"


def instance(number: int, size: int = 200_000) -> bytes:
    return encoded(data_set(number, PixelData=encapsulate([bytes([number % 251]) * size])))


def marks() -> room.Marks:
    return room.marks(DISK_BYTES, warn_bytes=0, refuse_bytes=0)


def level(listener: ScpProcess) -> DiskLevel:
    with listener.ledger.reading() as session:
        return disk.level(session)


def test_it_refuses_before_the_disk_is_full_and_takes_again_when_there_is_room(
    listener, small_disk, ballast
):
    sent: dict[str, bytes] = {}
    ballast.leave(marks().warn_bytes + 8 * MIB)
    with listener.associate() as assoc:
        for number in range(1000, 1999):
            if assoc.store(uid(number), instance(number)) != SUCCESS:
                break
            sent[uid(number)] = instance(number)
        assert len(sent) > 20
        refused = [assoc.store(uid(one), instance(one)) for one in range(number, number + 20)]
        assert set(refused) == {OUT_OF_RESOURCES}
        found = room.measure(small_disk)
        assert found.free_bytes > marks().refuse_bytes - 2 * MIB, "it was noticed too late"
        eventually(lambda: level(listener) is DiskLevel.FULL)
        ballast.remove()
        # The same association, without any help: the file system is asked again now and then.
        eventually(lambda: assoc.store(uid(number), instance(number)) == SUCCESS)
        sent[uid(number)] = instance(number)
    listener.wait_until_sealed()
    assert listener.kept() == sent
    eventually(lambda: level(listener) is DiskLevel.PLENTY)
    listener.assert_the_ledger_agrees()


def test_a_large_instance_under_way_is_stopped_and_gives_its_room_back(
    listener, small_disk, ballast
):
    ballast.leave(marks().refuse_bytes + 40 * MIB)
    with listener.associate() as assoc:
        eventually(lambda: assoc.store(uid(2001), instance(2001)) == SUCCESS)
        free_before = room.measure(small_disk).free_bytes
        assert assoc.store(uid(2002), instance(2002, size=100 * MIB)) == OUT_OF_RESOURCES
        assert room.measure(small_disk).free_bytes >= free_before - MIB
        eventually(lambda: assoc.store(uid(2003), instance(2003)) == SUCCESS)
    listener.wait_until_sealed()
    kept = listener.kept()
    assert (uid(2001) in kept, uid(2002) in kept, uid(2003) in kept) == (True, False, True)


def test_a_disk_that_others_fill_to_the_last_byte_kills_nobody(listener, ballast):
    kept_before = listener.kept()
    with listener.associate() as assoc:
        eventually(lambda: assoc.store(uid(3001), instance(3001)) == SUCCESS)
        ballast.leave(0)
        for number in range(3002, 3060):
            assert assoc.store(uid(number), instance(number)) in (SUCCESS, OUT_OF_RESOURCES)
        assert assoc.store(uid(3060), instance(3060)) == OUT_OF_RESOURCES
    for _ in range(5):  # now even the ledger has no room
        with contextlib.suppress(Refused, Broken), listener.associate() as assoc:
            assert assoc.store(uid(3061), instance(3061)) == OUT_OF_RESOURCES
        listener.assert_alive()
    ballast.remove()
    with listener.associate() as assoc:
        eventually(lambda: assoc.store(uid(3062), instance(3062)) == SUCCESS)
    listener.wait_until_sealed()
    kept = listener.kept()
    assert kept.items() >= kept_before.items()
    assert (kept[uid(3001)], kept[uid(3062)]) == (instance(3001), instance(3062))
    assert not {uid(3060), uid(3061)} & kept.keys()
    listener.assert_the_ledger_agrees()


def test_killed_on_a_full_disk_it_starts_again_there_and_recovers(listener, small_disk, ballast):
    acknowledged = listener.kept()
    ballast.leave(marks().refuse_bytes + 16 * MIB)
    assoc = listener.associate()
    eventually(lambda: assoc.store(uid(4000), instance(4000)) == SUCCESS)
    acknowledged[uid(4000)] = instance(4000)
    for number in range(4001, 4999):
        if assoc.store(uid(number), instance(number)) != SUCCESS:
            break
        acknowledged[uid(number)] = instance(number)
    listener.kill()
    ballast.leave(MIB)
    with scp_process(small_disk / "home", listener.settings.dicom_port) as again:
        assert again.open_packs() == []
        assert again.kept() == acknowledged
        with again.associate() as second:
            assert second.store(uid(5000), instance(5000)) == OUT_OF_RESOURCES
        again.assert_the_ledger_agrees()
