"""The listener killed altogether at random moments: a short round of tests/bench/kill_loop.py."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

ROUNDS = 5


@pytest.mark.timeout(240)
def test_whatever_was_acknowledged_survives_every_kill(project_environ, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.kill_loop", "--rounds", str(ROUNDS),
         "--folder", tmp_path],
        cwd=ROOT, env=project_environ, capture_output=True, text=True, timeout=220,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert f"{ROUNDS} kills" in done.stdout
