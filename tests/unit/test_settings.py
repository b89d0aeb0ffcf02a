"""Settings come from one place, fail at start, and say which variable is wrong."""

import pytest

from gateway.errors import ConfigurationError
from gateway.settings import Settings


def test_the_same_settings_come_back_from_the_environment_they_make(tmp_path):
    settings = Settings(home=tmp_path, settle_s=7, ae_title="OTHER")
    assert Settings.load(settings.as_environment()) == settings


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CAPSULE_NO_SUCH", "1"),
        ("CAPSULE_DICOM_PORT", "99999"),
        ("CAPSULE_AE_TITLE", "SEVENTEEN-LETTERS"),
        ("CAPSULE_SETTLE_S", "soon"),
        ("CAPSULE_WORKLIST", "host:AE"),
        ("CAPSULE_SECRET_KEY_FILE", "/no/such/file"),
    ],
)
def test_a_wrong_variable_stops_the_start_with_its_name(variable, value):
    with pytest.raises(ConfigurationError, match=variable):
        Settings.load({variable: value})


def test_a_secret_can_come_from_a_file(tmp_path):
    (tmp_path / "key").write_text("s3cret\n")
    loaded = Settings.load({"CAPSULE_SECRET_KEY_FILE": str(tmp_path / "key")})
    assert loaded.secret_key == "s3cret"


def test_variables_of_others_are_none_of_our_business():
    Settings.load({"PATH": "/bin", "CAPSULEX": "1"})
