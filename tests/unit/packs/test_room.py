"""When the disk warns, when it refuses, and how seldom it is asked."""

from pathlib import Path

import pytest

from gateway.errors import StorageFull
from gateway.model import DiskLevel
from gateway.packs.room import LOOK_INTERVAL_S, Marks, Measured, Room, decide, marks, measure
from gateway.packs.writer import EXTENT_BYTES

MIB, GIB = 1 << 20, 1 << 30
PLENTY, LOW, FULL = DiskLevel


class Disk:
    """A file system whose free bytes the test sets, and a clock it turns."""

    def __init__(self, size_bytes: int, free_bytes: int) -> None:
        self.size_bytes, self.free_bytes = size_bytes, free_bytes
        self.moment, self.asked = 0.0, 0

    def measure(self, _directory: Path) -> Measured:
        self.asked += 1
        return Measured(self.size_bytes, self.free_bytes, 10_000)

    def room(self, **marks: int) -> Room:
        return Room([Path("/")], measure=self.measure, clock=lambda: self.moment, **marks)

    def wait(self) -> None:
        self.moment += 2 * LOOK_INTERVAL_S


@pytest.mark.parametrize(
    ("size", "warn", "refuse"),
    [
        (64 * MIB, 6.4 * MIB, 3.2 * MIB),
        (20 * GIB, 2 * GIB, 1 * GIB),
        (10_000 * GIB, 10 * GIB, 2 * GIB),
    ],
)
def test_the_automatic_marks_fit_small_disks_and_large_ones(size, warn, refuse):
    at = marks(size, warn_bytes=0, refuse_bytes=0)
    assert at == Marks(int(warn) + EXTENT_BYTES, int(refuse) + EXTENT_BYTES)


def test_marks_that_are_set_are_taken_and_the_warning_never_comes_after_the_refusal():
    at = marks(GIB, warn_bytes=100 * MIB, refuse_bytes=300 * MIB)
    assert at.warn_bytes == at.refuse_bytes == 300 * MIB + EXTENT_BYTES


@pytest.mark.parametrize(
    ("free", "before", "after"),
    [
        (201, PLENTY, PLENTY),
        (199, PLENTY, LOW),
        (201, LOW, LOW),  # an eighth more than where it began
        (226, LOW, PLENTY),
        (79, PLENTY, FULL),
        (79, LOW, FULL),
        (81, FULL, FULL),
        (91, FULL, LOW),
        (250, FULL, PLENTY),
    ],
)
def test_a_level_is_not_left_the_moment_it_was_entered(free, before, after):
    assert decide(Measured(1000, free, None), Marks(200, 80), before) is after


def test_a_file_system_that_says_nothing_of_its_size_never_refuses():
    assert decide(Measured(0, 0, None), Marks(200, 80), PLENTY) is PLENTY


def test_a_file_system_without_names_left_is_full():
    assert decide(Measured(1000, 900, 0), Marks(200, 80), PLENTY) is FULL


def test_the_file_system_is_asked_by_time_and_by_bytes_and_not_for_each_instance():
    disk = Disk(100 * GIB, 50 * GIB)
    room = disk.room()
    for _ in range(10_000):
        room.take(25_000)
    assert disk.asked == 1
    disk.wait()
    room.take(25_000)
    assert disk.asked == 2
    room.take(4 * GIB)
    assert disk.asked == 3


def test_sixteen_writers_at_once_do_not_pass_the_mark_unseen():
    disk = Disk(100 * GIB, 50 * GIB)
    writers = [disk.room(refuse_bytes=GIB) for _ in range(16)]
    stopped = 0
    while stopped < len(writers):
        stopped = 0
        for room in writers:
            try:
                room.take(MIB)
                disk.free_bytes -= MIB
            except StorageFull:
                stopped += 1
        disk.moment += LOOK_INTERVAL_S / 1e6  # so fast that time says nothing
    # Beyond the mark: less than each could still write of the last sixteenths.
    assert disk.free_bytes > GIB + EXTENT_BYTES - 16 * 2 * MIB


def test_while_it_is_full_everything_is_refused_and_room_that_returns_is_noticed():
    disk = Disk(GIB, 10 * MIB)
    room = disk.room()
    for _ in range(100):
        with pytest.raises(StorageFull):
            room.take(1)
    assert (room.level, disk.asked) == (FULL, 1)
    disk.free_bytes = GIB // 2
    disk.wait()
    room.take(1)
    assert room.level is PLENTY


def test_of_two_file_systems_the_worse_one_decides(tmp_path):
    free = {Path("/ledger"): 5 * MIB, Path("/packs"): GIB}
    room = Room(
        list(free), measure=lambda directory: Measured(2 * GIB, free[directory], None),
        clock=lambda: 0.0,
    )  # fmt: skip
    assert room.look() is FULL
    assert room.free_bytes == 5 * MIB


def test_a_directory_that_is_not_there_yet_says_nothing(tmp_path):
    assert Room([tmp_path / "packs"]).look() is PLENTY


def test_this_machine_can_be_asked(tmp_path):
    found = measure(tmp_path)
    assert 0 < found.free_bytes <= found.size_bytes
