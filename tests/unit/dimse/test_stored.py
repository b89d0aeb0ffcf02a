"""A stored instance is read whole and proven, or refused."""

import hashlib

import pytest

from gateway.dimse.store_scu import SopInstance
from gateway.dimse.stored import StoredInstance
from gateway.errors import IntegrityError, ObjectMissing, StorageUnavailable
from tests.deliveries import Made

MADE = Made(1)
INSTANCE = SopInstance(MADE.sop_class_uid, MADE.sop_instance_uid, MADE.transfer_syntax_uid)


def opened(path, *, offset_bytes=0, file=MADE.file, instance=INSTANCE):
    return StoredInstance(
        path,
        instance,
        offset_bytes=offset_bytes,
        size_bytes=len(file),
        digest=hashlib.sha256(file).hexdigest(),
    )


def read(stored, step=1000):
    buffer, data = memoryview(bytearray(step)), b""
    while count := stored.readinto(buffer):
        data += buffer[:count]
    return data


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "instance.dcm"
    path.write_bytes(MADE.file)
    return path


@pytest.mark.parametrize("step", [1, 7, 1000, 1 << 20])
def test_the_data_set_is_read_without_the_file_meta_information(path, step):
    with opened(path) as stored:
        assert stored.size_bytes == len(MADE.content)
        assert read(stored, step) == MADE.content
        stored.verify()


def test_a_member_of_a_pack_is_read_from_its_range(path):
    path.write_bytes(b"before" + MADE.file + b"after")
    with opened(path, offset_bytes=6) as stored:
        assert read(stored) == MADE.content
        stored.verify()


@pytest.mark.parametrize("position", [0, 140, 500, -1])
def test_one_changed_byte_is_noticed(path, position):
    content = bytearray(MADE.file)
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError), opened(path) as stored:
        read(stored)
        stored.verify()


def test_a_data_set_that_was_not_read_to_its_end_is_not_verified(path):
    with opened(path) as stored:
        stored.readinto(memoryview(bytearray(10)))
        with pytest.raises(IntegrityError):
            stored.verify()


def test_a_shortened_file_is_not_verified(path):
    path.write_bytes(MADE.file[:-2])
    with opened(path) as stored:
        read(stored)
        with pytest.raises(IntegrityError):
            stored.verify()


def test_a_file_that_is_gone_is_named(path):
    path.unlink()
    with pytest.raises(ObjectMissing, match=MADE.sop_instance_uid):
        opened(path)


def test_a_directory_in_its_place_is_a_storage_error(tmp_path):
    with pytest.raises(StorageUnavailable):
        opened(tmp_path)


@pytest.mark.parametrize("content", [b"", b"x" * 4000, MADE.file[:140]])
def test_what_is_no_dicom_file_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(IntegrityError):
        opened(path)


def test_a_file_of_another_instance_is_refused(path):
    path.write_bytes(Made(2).file)
    with pytest.raises(IntegrityError, match="something else"):
        opened(path)
