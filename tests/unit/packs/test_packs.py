"""A pack is an ordinary tar; what was acknowledged is in it, a torn tail is not."""

import errno
import subprocess
import tarfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import IntegrityError, ObjectMissing, StorageFull
from gateway.model import FrameEncoding
from gateway.packs import index as pack_index
from gateway.packs import reading, tar
from gateway.packs.known import KnownInstances
from gateway.packs.writer import PackWriter, storage_error
from tests.instances import SERIES_UID, jpeg, part10_frame


def append(pack: PackWriter, number: int) -> bytes:
    data = part10_frame(number)
    digest = tar.content_digest(data)
    offset = pack.append(f"{SERIES_UID}.{number}.dcm", [data], digest=digest)
    return pack_index.Describer().record(data, offset=offset, size=len(data), digest=digest)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "study" / "series" / "one.tar"


def test_a_sealed_pack_is_a_tar_every_tool_can_list_and_extract(path, tmp_path):
    pack = PackWriter(path)
    rows = [append(pack, number) for number in (1, 2, 3)]
    pack.seal(pack_index.from_records(b"".join(rows)))
    with tarfile.open(path) as archive:
        assert archive.getnames() == [f"{SERIES_UID}.{number}.dcm" for number in (1, 2, 3)]
        assert archive.extractfile(archive.getmembers()[1]).read() == part10_frame(2)
    listed = subprocess.run(["tar", "tf", path], capture_output=True, text=True, check=True)
    assert len(listed.stdout.split()) == 3
    assert listed.stderr == ""


def test_an_open_pack_is_a_legal_tar_at_every_moment(path):
    pack = PackWriter(path)
    append(pack, 1)
    with tarfile.open(path) as archive:
        assert len(archive.getnames()) == 1
    pack.close()


def test_the_index_leads_to_the_frame(path):
    pack = PackWriter(path)
    pack.seal(pack_index.from_records(append(pack, 5)))
    (row,) = pack_index.load(path)
    assert row["encoding"] == FrameEncoding.JPEG_YBR
    assert row["instance_number"] == 5
    stream = reading.read_range(path, int(row["fragment_offset"]), int(row["fragment_size"]))
    assert stream.rstrip(b"\0") == jpeg(5).rstrip(b"\0")
    assert tar.content_digest(stream) == bytes(row["fragment_digest"])


@pytest.fixture(scope="module")
def open_pack(tmp_path_factory):
    """The path and the bytes of a pack that was not sealed, and where its members end."""
    path = tmp_path_factory.mktemp("cut") / "one.tar"
    pack = PackWriter(path)
    ends = [0]
    for number in (1, 2, 3):
        append(pack, number)
        ends.append(pack.size_bytes)
    pack.close()
    return path, path.read_bytes(), ends


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_cut_anywhere_a_pack_keeps_exactly_its_whole_members(open_pack, data):
    path, written, ends = open_pack
    cut = data.draw(st.integers(0, ends[-1]))
    whole = bytearray(written)
    whole[cut:] = bytes(len(whole) - cut)  # what a torn write leaves: zeros from there on
    path.write_bytes(whole)
    index, end = reading.scan(path)
    member_ends = [
        finish - tar.padded(len(part10_frame(n))) + len(part10_frame(n))
        for n, finish in enumerate(ends[1:], start=1)
    ]
    # Trailing zeros of a member may be its own bytes: then it is whole although cut.
    assert len(index) >= sum(finish <= cut for finish in member_ends)
    assert end == ends[len(index)]
    for number, row in enumerate(index, start=1):
        kept = reading.read_range(path, int(row["offset"]), int(row["size"]))
        assert kept == part10_frame(number)


def test_a_flipped_bit_ends_a_recovered_pack_before_the_damaged_member(path):
    pack = PackWriter(path)
    rows = [append(pack, number) for number in (1, 2)]
    pack.close()
    damaged = bytearray(path.read_bytes())
    damaged[int(pack_index.from_records(rows[1])["offset"][0]) + 700] ^= 1
    path.write_bytes(damaged)
    index = reading.recover(path)
    assert len(index) == 1
    assert path.stat().st_size == int(
        pack_index.from_records(rows[1])["offset"][0]
    ) - tar.BLOCK + len(tar.END_MARK)


def test_a_pack_somebody_still_writes_to_is_left_alone(path):
    pack = PackWriter(path)
    append(pack, 1)
    assert reading.recover(path) is None
    pack.close()
    assert len(reading.recover(path)) == 1


def test_a_large_member_exists_only_once_it_is_committed(path):
    pack = PackWriter(path)
    abandoned = pack.begin("1.2.3.dcm")
    abandoned.write(b"x" * 100_000)
    assert len(reading.scan(path)[0]) == 0
    row = append(pack, 1)
    stream = pack.begin(f"{SERIES_UID}.2.dcm")
    data = part10_frame(2)
    stream.write(data[:500])
    stream.write(data[500:])
    offset, digest = stream.commit()
    assert digest == tar.content_digest(data)
    index, _ = reading.scan(path)
    assert [int(one["offset"]) for one in index] == [
        int(pack_index.from_records(row)["offset"][0]),
        offset,
    ]
    pack.close()


def test_known_instances_are_found_in_sealed_packs_and_in_the_open_one(path):
    pack = PackWriter(path)
    pack.seal(pack_index.from_records(append(pack, 1) + append(pack, 2)))
    known = KnownInstances(path.parent)
    place = known.place(f"{SERIES_UID}.2")
    assert reading.read_range(place.pack, place.offset, place.size) == part10_frame(2)
    assert known.place(f"{SERIES_UID}.9") is None
    known.add(f"{SERIES_UID}.9", place)
    assert known.place(f"{SERIES_UID}.9") == place


def test_a_missing_pack_and_a_damaged_index_have_names(path):
    with pytest.raises(ObjectMissing):
        reading.read_range(path, 0, 10)
    path.parent.mkdir(parents=True)
    np.save(path.with_suffix(".npy"), np.zeros(3))
    with pytest.raises(IntegrityError):
        pack_index.load(path)


def test_a_full_disk_is_storage_full(tmp_path):
    error = storage_error(OSError(errno.ENOSPC, "No space left on device"), tmp_path / "p.tar")
    assert isinstance(error, StorageFull)
    assert not error.permanent
