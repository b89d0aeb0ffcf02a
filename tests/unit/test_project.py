"""The files around the code: locks that name no place, documentation that tells all."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_locks_name_no_place_to_download_from(lock):
    text = (ROOT / lock).read_text()
    assert re.findall(r"\S*(?:://|file:|--index|--extra-index|--find-links)\S*", text) == []


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_locks_pin_every_package_by_hash(lock):
    requirements = pinned(lock)
    assert len(requirements) > 50
    for requirement, block in requirements.items():
        assert re.match(r"[\w.-]+==[\w.]+( ; |$)", requirement), requirement
        assert "--hash=sha256:" in block, requirement


def test_both_locks_agree():
    runtime, development = pinned("requirements.lock"), pinned("requirements-dev.lock")
    assert runtime.items() <= development.items()


def pinned(lock):
    """Return {requirement and marker: the same with its hashes} of a lock file."""
    lines = [line for line in (ROOT / lock).read_text().splitlines() if not line.startswith("#")]
    blocks = re.split(r"(?<!\\)\n", "\n".join(lines))
    return {block.partition(" \\")[0]: block for block in blocks if block.strip()}


def test_the_table_of_settings_in_the_documentation_is_the_real_one(project_environ):
    check = [sys.executable, str(ROOT / "docs" / "settings_table.py"), "--check"]
    done = subprocess.run(check, env=project_environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_every_setting_is_explained():
    for name, field in Settings.model_fields.items():
        assert field.description, f"{name} has no docstring"
