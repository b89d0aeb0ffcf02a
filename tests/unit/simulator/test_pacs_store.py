"""The simulated PACS's folder: nothing a peer sent becomes a path, nothing torn is visible."""

from pathlib import Path

import pytest

from gateway.simulator.pacs_store import OTHER_BYTES_STORED, InstanceFolder


def written(folder: InstanceFolder, data: bytes) -> Path:
    path = folder.folder / "incoming.partial"
    path.write_bytes(data)
    return path


def test_an_instance_put_is_found_by_its_uid(tmp_path: Path) -> None:
    folder = InstanceFolder(tmp_path / "pacs")
    assert folder.put(written(folder, b"abc"), "1.2.3") == 0x0000
    found = folder.path_of("1.2.3")
    assert found is not None
    assert found.read_bytes() == b"abc"
    assert list(folder.paths()) == [found]


def test_the_same_bytes_again_are_a_success(tmp_path: Path) -> None:
    folder = InstanceFolder(tmp_path)
    folder.put(written(folder, b"abc"), "1.2.3")
    assert folder.put(written(folder, b"abc"), "1.2.3") == 0x0000


def test_other_bytes_under_a_known_uid_are_refused_and_change_nothing(tmp_path: Path) -> None:
    folder = InstanceFolder(tmp_path)
    folder.put(written(folder, b"abc"), "1.2.3")
    assert folder.put(written(folder, b"xyz"), "1.2.3") == OTHER_BYTES_STORED
    assert (tmp_path / "1.2.3.dcm").read_bytes() == b"abc"


@pytest.mark.parametrize("uid", ["", "../secret", "1.2/3", "1..2", "1.2.03", "1" * 65, "a.b"])
def test_what_is_not_a_uid_never_becomes_a_path(tmp_path: Path, uid: str) -> None:
    (tmp_path / "secret.dcm").touch()
    assert InstanceFolder(tmp_path / "pacs").path_of(uid) is None


def test_what_a_killed_process_left_behind_is_removed(tmp_path: Path) -> None:
    torn = tmp_path / "tmpabc.partial"
    torn.write_bytes(b"half")
    folder = InstanceFolder(tmp_path)
    assert not torn.exists()
    assert list(folder.paths()) == []
