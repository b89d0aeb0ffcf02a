"""A write that broke off at any byte: what stood before stays, what was torn is not counted."""

import errno
import os
import tarfile
from pathlib import Path

import pytest

from gateway.errors import StorageError
from gateway.packs import reading, tar
from gateway.packs.writer import PackWriter
from tests.instances import SERIES_UID, part10_frame


def append(pack: PackWriter, *numbers: int) -> None:
    """Write members together, as an operations window does."""
    for number in numbers:
        data = part10_frame(number)
        pack.stage(f"{SERIES_UID}.{number}.dcm", [data], digest=tar.content_digest(data))
    pack.flush()


def members(path: Path) -> list[bytes]:
    """Seal a pack as after a crash; returns the contents that were recovered."""
    index = reading.recover(path)
    with tarfile.open(path) as archive:
        assert len(archive.getnames()) == len(index)
    return [reading.read_range(path, int(row["offset"]), int(row["size"])) for row in index]


@pytest.fixture
def two(tmp_path) -> tuple[bytes, int, int]:
    """The bytes of an open pack of two members, and where the last begins and ends."""
    pack = PackWriter(tmp_path / "template" / "one.tar")
    append(pack, 1)
    start = pack.size_bytes
    append(pack, 2)
    end = start + tar.BLOCK + len(part10_frame(2))
    pack.close()
    return pack.path.read_bytes()[: pack.size_bytes + 1024], start, end


@pytest.mark.parametrize(
    ("rest", "step"),
    [
        pytest.param(bytes, 1, id="zeros-behind"),  # the extent was zeroed beforehand
        pytest.param(lambda _count: b"", 7, id="the-file-ends"),
        pytest.param(lambda count: b"\xa5" * count, 7, id="noise-behind"),
    ],
)
def test_torn_at_any_byte_the_last_member_is_gone_and_the_first_whole(tmp_path, two, rest, step):
    whole, start, end = two
    path, first = tmp_path / "torn.tar", tar.content_digest(part10_frame(1))
    for cut in range(start, end, step):
        torn = whole[:cut] + rest(len(whole) - cut)
        if torn == whole:
            continue  # the bytes cut off were zeros themselves
        path.write_bytes(torn)
        index, found_end = reading.scan(path)
        assert len(index) == 1, f"torn at byte {cut - start} of {end - start}"
        assert found_end == start
        assert bytes(index[0]["digest"]) == first


def test_recovered_at_many_of_them_the_pack_is_sealed_and_readable(tmp_path, two):
    whole, start, end = two
    for cut in [*range(start, start + 600, 61), *range(start + 600, end, 211)]:
        path = tmp_path / f"{cut}.tar"
        path.write_bytes(whole[:cut] + bytes(len(whole) - cut))
        assert members(path) == [part10_frame(1)]
        assert path.stat().st_size == start + len(tar.END_MARK)


def test_of_a_group_written_at_once_the_members_before_the_tear_are_whole(tmp_path):
    pack = PackWriter(tmp_path / "one" / "one.tar")
    append(pack, 1)
    begin = pack.size_bytes
    append(pack, 2, 3, 4)
    pack.close()
    whole = pack.path.read_bytes()[: pack.size_bytes + 1024]
    sizes = [tar.BLOCK + tar.padded(len(part10_frame(number))) for number in (2, 3, 4)]
    path = tmp_path / "torn.tar"
    for cut in range(begin, begin + sum(sizes), 97):
        torn = whole[:cut] + bytes(len(whole) - cut)
        path.write_bytes(torn)
        index, _ = reading.scan(path)
        complete = sum(cut >= begin + sum(sizes[: place + 1]) for place in range(3))
        # A cut inside the padding of a member takes nothing of it.
        assert len(index) in (1 + complete, 2 + complete)
        for row, number in zip(index, (1, 2, 3, 4), strict=False):
            assert bytes(row["digest"]) == tar.content_digest(part10_frame(number))


def test_a_group_whose_write_failed_half_way_leaves_nothing_for_a_recovery_to_find(tmp_path):
    """The first members of it may be whole on the disk: they were refused all the same."""
    pack = PackWriter(tmp_path / "one" / "one.tar")
    append(pack, 1)
    before = pack.size_bytes
    # A limit on the file's size stands for a disk that takes a part of the write.
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = tar.BLOCK + tar.padded(len(part10_frame(2)))
    os.truncate(pack.path, before + size)
    pack._allocated = before
    resource.setrlimit(resource.RLIMIT_FSIZE, (before + size + 100, limits[1]))
    try:
        with pytest.raises(StorageError, match=os.strerror(errno.EFBIG)):
            append(pack, 2, 3)
        assert pack.size_bytes == before
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    append(pack, 4)
    pack.close()
    assert members(pack.path) == [part10_frame(1), part10_frame(4)]
