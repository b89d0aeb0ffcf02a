"""CAPSULE_SYNC=false, for benchmarks: the same pack, only not durable before it is sealed."""

import fcntl
import os

import pytest

from gateway.packs import tar
from gateway.packs.writer import PackWriter
from gateway.settings import Settings


def written(path, *, sync):
    pack = PackWriter(path, sync=sync)
    for number in range(3):
        data = b"%d" % number * 700
        pack.append(f"{number}.dcm", [data], digest=tar.content_digest(data))
    return pack


@pytest.mark.parametrize("sync", [True, False])
def test_every_write_is_synced_unless_that_was_switched_off(tmp_path, sync):
    pack = written(tmp_path / "one.tar", sync=sync)
    assert bool(fcntl.fcntl(pack._fd, fcntl.F_GETFL) & os.O_DSYNC) is sync
    assert (pack.path.stat().st_size > pack.size_bytes) is sync  # extended ahead
    pack.close()


def test_the_members_are_the_same(tmp_path):
    one, other = (written(tmp_path / f"{sync}.tar", sync=sync) for sync in (True, False))
    for pack in (one, other):
        pack.close()
    size = one.size_bytes
    assert size == other.size_bytes
    kept, unsynced = ((tmp_path / f"{sync}.tar").read_bytes()[:size] for sync in (True, False))
    assert without_times(kept) == without_times(unsynced)


def without_times(pack: bytes) -> list[tuple[str, bytes]]:
    """Return (name, content) of each member; the headers hold the time of writing."""
    members, at = [], 0
    while at < len(pack):
        member = tar.decode_header(pack[at : at + tar.BLOCK])
        start = at + tar.BLOCK
        members.append((member.name, pack[start : start + member.size]))
        at = start + tar.padded(member.size)
    return members


def test_it_is_on_unless_somebody_says_so():
    assert Settings().sync
    assert not Settings.load({"CAPSULE_SYNC": "false"}).sync
