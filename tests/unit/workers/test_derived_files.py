"""Files that are there whole and durable, or not at all."""

import hashlib

import pytest

from gateway.errors import StorageUnavailable
from workers import derived_files
from workers.derived_files import Batch


def nothing():
    """A heartbeat nobody listens to."""


def names(directory):
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def test_a_batch_is_there_when_its_block_ends(tmp_path):
    directory = tmp_path / "derived" / "1.2.3"
    with Batch(directory, nothing) as batch:
        written = batch.add("a.dcm", b"first")
        batch.add("b.dcm", memoryview(b"second"))
        assert "a.dcm" not in names(directory)
    assert names(directory) == ["a.dcm", "b.dcm"]
    assert (directory / "b.dcm").read_bytes() == b"second"
    assert (written.size_bytes, written.digest) == (5, hashlib.sha256(b"first").hexdigest())


def test_a_batch_that_fails_leaves_nothing_and_changes_nothing(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), Batch(tmp_path, nothing) as batch:
        batch.add("a.dcm", b"new")
        batch.add("b.dcm", b"new")
        raise ZeroDivisionError
    assert names(tmp_path) == ["a.dcm"]
    assert (tmp_path / "a.dcm").read_bytes() == b"old"


def test_a_heartbeat_that_fails_while_a_batch_becomes_durable_leaves_nothing(tmp_path):
    beats = 0

    def heartbeat():
        nonlocal beats
        beats += 1
        if beats == 3:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Batch(tmp_path, heartbeat) as batch:
        batch.add("a.dcm", b"new")
        batch.add("b.dcm", b"new")
    assert names(tmp_path) == []


def test_the_same_file_twice_in_a_batch_is_the_latter_one(tmp_path):
    with Batch(tmp_path, nothing) as batch:
        batch.add("a.dcm", b"first, longer")
        batch.add("a.dcm", b"second")
    assert (tmp_path / "a.dcm").read_bytes() == b"second"
    assert names(tmp_path) == ["a.dcm"]


def test_a_batch_that_cannot_be_written_is_told_as_a_storage_error(tmp_path):
    in_the_way = tmp_path / "derived"
    in_the_way.write_bytes(b"not a directory")
    with pytest.raises(StorageUnavailable), Batch(in_the_way / "1.2.3", nothing) as batch:
        batch.add("a.dcm", b"contents")


def test_drafts_of_a_killed_worker_are_removed_and_nothing_else(tmp_path):
    for name in ("a.dcm", "a.dcm.12ab34cd.draft", "features.npy"):
        (tmp_path / name).write_bytes(b"x")
    derived_files.remove_drafts(tmp_path)
    assert names(tmp_path) == ["a.dcm", "features.npy"]
