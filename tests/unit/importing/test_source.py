"""Folders and archives that are fit to be read, and those that are not."""

import contextlib
import io
import os
import stat
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import FileRefused, NothingToImport, UnsafeInput
from gateway.importing import archive, source
from tests.recordings import zip_of


def names(found):
    return [item.name for item in found.items]


def test_a_folder_is_walked_and_clutter_is_left_out(tmp_path):
    (tmp_path / "sub" / ".hidden").mkdir(parents=True)
    for name in ("a.jpg", "sub/b.jpg", ".DS_Store", "Thumbs.db", "sub/.hidden/c.jpg"):
        (tmp_path / name).write_bytes(b"x")
    found = source.open_source(tmp_path)
    assert names(found) == ["a.jpg", "sub/b.jpg"]
    assert found.read(found.items[1]) == b"x"


def test_links_and_devices_are_refused_by_name_and_never_followed(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "in" / "link.jpg").symlink_to(tmp_path / "secret")
    (tmp_path / "in" / "folder").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "in" / "pipe.jpg")
    found = source.open_source(tmp_path / "in")
    assert found.items == []
    assert {name for name, _ in found.refused} == {"link.jpg", "folder", "pipe.jpg"}


def test_a_file_that_becomes_a_link_after_it_was_seen_is_not_followed(tmp_path):
    frame = tmp_path / "a.jpg"
    frame.write_bytes(b"x")
    found = source.open_source(tmp_path)
    frame.unlink()
    frame.symlink_to("/etc/passwd")
    with pytest.raises(FileRefused):
        found.read(found.items[0])
    frame.unlink()
    os.mkfifo(frame)  # reading it would wait for ever
    with pytest.raises(FileRefused):
        found.read(found.items[0])


def test_a_path_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(UnsafeInput):
        source.open_source(tmp_path / "link")


def test_a_path_that_is_not_there_says_so(tmp_path):
    with pytest.raises(NothingToImport):
        source.open_source(tmp_path / "nowhere")


def test_folders_nested_without_end_are_refused(tmp_path):
    (tmp_path / "/".join("d" for _ in range(40))).mkdir(parents=True)
    with pytest.raises(UnsafeInput, match="nested"):
        source.open_source(tmp_path)


def test_an_archives_files_are_read_and_its_clutter_left_out(tmp_path):
    path = zip_of(tmp_path / "x.zip", {"c/a.jpg": b"1", "__MACOSX/c/a.jpg": b"2", "c/.x": b"3"})
    found = source.open_source(path)
    assert names(found) == ["c/a.jpg"]
    assert found.read(found.items[0]) == b"1"
    assert found.path_of(found.items[0]) is None


@pytest.mark.parametrize(
    "name",
    ["../a.jpg", "/etc/passwd", "a/../../b.jpg", "c:/a.jpg", "a\\..\\b.jpg", "\\\\host\\a.jpg",
     "a\nb.jpg", "x" * 2000],
)  # fmt: skip
def test_an_archive_that_names_what_lies_outside_is_refused(tmp_path, name):
    with pytest.raises(UnsafeInput):
        source.open_source(zip_of(tmp_path / "x.zip", {"ok.jpg": b"1", name: b"2"}))
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


def test_an_archive_with_a_link_is_refused(tmp_path):
    info = zipfile.ZipInfo("link.jpg")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as made:
        made.writestr(info, "/etc/passwd")
    with pytest.raises(UnsafeInput, match="link"):
        source.open_source(tmp_path / "x.zip")


def test_an_encrypted_archive_is_refused(tmp_path):
    data = bytearray(zip_of(tmp_path / "x.zip", {"a.jpg": b"1"}).read_bytes())
    data[6] |= 1  # general purpose bit 0, APPNOTE 4.4.4
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(UnsafeInput, match="encrypted"):
        source.open_source(tmp_path / "x.zip")


def test_an_archive_that_expands_without_measure_is_refused_before_it_is_unpacked(tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as made,
        made.open("a.bmp", "w") as member,
    ):
        for _ in range(300):
            member.write(bytes(1 << 20))
    assert (tmp_path / "x.zip").stat().st_size < 1 << 20
    with pytest.raises(UnsafeInput, match="times its size"):
        source.open_source(tmp_path / "x.zip")


def test_an_archive_that_claims_milliards_of_files_is_refused_unread(tmp_path):
    data = bytearray(zip_of(tmp_path / "x.zip", {"a.jpg": b"1"}).read_bytes())
    end = data.rindex(b"PK\x05\x06")
    struct.pack_into("<HHLL", data, end + 8, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    wide = struct.pack(
        "<4sQHHLLQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 1 << 33, 1 << 33, 1 << 40, 0
    )
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    (tmp_path / "x.zip").write_bytes(data[:end] + wide + locator + data[end:])
    with pytest.raises(UnsafeInput, match="more than"):
        source.open_source(tmp_path / "x.zip")


def test_a_file_longer_than_its_archive_says_is_not_read_beyond_that(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a.bmp", bytes(1 << 20))
    data = bytearray(path.read_bytes())
    struct.pack_into("<L", data, data.index(b"PK\x01\x02") + 24, 10)  # uncompressed size
    path.write_bytes(data)
    found = source.open_source(path)
    with pytest.raises(FileRefused):  # the checksum cannot fit
        found.read(found.items[0])


def test_a_damaged_member_is_refused_and_its_neighbours_are_read(tmp_path):
    path = zip_of(tmp_path / "x.zip", {"a.jpg": b"first" * 100, "b.jpg": b"second"})
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(data)
    found = source.open_source(path)
    with pytest.raises(FileRefused):
        found.read(found.items[0])
    assert found.read(found.items[1]) == b"second"


def test_a_file_too_long_for_a_picture_is_not_even_opened(tmp_path):
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(source.PICTURE_BYTES_MAX + 1)
    found = source.open_source(tmp_path)
    with pytest.raises(FileRefused, match="longer"):
        found.read(found.items[0])


@given(st.binary(max_size=200), st.integers(0, 400), st.binary(max_size=6))
@settings(max_examples=100, deadline=None)
def test_any_damage_of_an_archive_is_refused_or_read(tmp_path_factory, tail, where, what):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a.jpg", b"0" * 300)
        made.writestr("b.jpg", b"1")
    data = bytearray(buffer.getvalue() + tail)
    data[where : where + len(what)] = what
    path = tmp_path_factory.mktemp("zip") / "x.zip"
    path.write_bytes(data)
    try:
        made, _ = archive.check_archive(path, 1000)
    except UnsafeInput:
        return
    made.close()
    found = source.Archive(path)
    for item in found.items:
        with contextlib.suppress(FileRefused):
            found.read(item)
    found.close()
