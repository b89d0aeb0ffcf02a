"""The key that signs sessions is made once and is nobody else's."""

import stat

import pytest

from gateway.errors import ConfigurationError
from gateway.settings import Settings
from gateway.web.secret import secret_key


def test_a_configured_key_is_used_and_nothing_is_written(tmp_path):
    assert secret_key(Settings(home=tmp_path, secret_key="given")) == "given"
    assert list(tmp_path.iterdir()) == []


def test_a_key_is_made_once_for_us_alone(tmp_path):
    settings = Settings(home=tmp_path / "home")
    key = secret_key(settings)
    assert len(key) >= 48
    assert secret_key(settings) == key
    (file,) = settings.home.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_two_gateways_have_two_keys(tmp_path):
    keys = {secret_key(Settings(home=tmp_path / name)) for name in "ab"}
    assert len(keys) == 2


def test_a_place_that_cannot_hold_a_key_stops_the_start(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError, match="CAPSULE_SECRET_KEY"):
        secret_key(Settings(home=tmp_path / "file"))
