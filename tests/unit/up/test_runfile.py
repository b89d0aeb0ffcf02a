import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from gateway.errors import ConfigurationError
from gateway.up import runfile

ANNOUNCE_AND_END = """
import sys
from pathlib import Path
from gateway.up import runfile
runfile.announce(Path(sys.argv[1]), "scp", host="127.0.0.1", port=11112)
"""


def announce_from_a_process_that_ends(run_dir, project_environ):
    command = [sys.executable, "-c", ANNOUNCE_AND_END, str(run_dir)]
    subprocess.run(command, env=project_environ, check=True, timeout=30)


def test_what_was_announced_is_read_back(tmp_path):
    before = datetime.now(UTC)
    runfile.announce(tmp_path / "run", "scp", host="127.0.0.1", port=11112)
    entry = runfile.read(tmp_path / "run", "scp")
    assert entry is not None
    assert (entry.role, entry.pid, entry.host, entry.port) == (
        "scp",
        os.getpid(),
        "127.0.0.1",
        11112,
    )
    assert before <= entry.started_at <= datetime.now(UTC)


def test_a_role_that_never_announced_itself_is_not_there(tmp_path):
    assert runfile.read(tmp_path, "web") is None


def test_the_file_of_a_dead_process_is_not_believed(tmp_path, project_environ):
    announce_from_a_process_that_ends(tmp_path, project_environ)
    assert runfile.path_of(tmp_path, "scp").exists()
    assert runfile.read(tmp_path, "scp") is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"pid": 1}',
        '{"pid": "x", "host": "", "port": 0, "started_at": ""}',
        '{"pid": 99999999999999999999, "host": "", "port": 0, "started_at": "2026-01-01"}',
    ],
)
def test_a_damaged_file_counts_as_absent(tmp_path, content):
    runfile.path_of(tmp_path, "scp").write_text(content)
    assert runfile.read(tmp_path, "scp") is None


def test_announcing_leaves_no_draft_behind(tmp_path):
    runfile.announce(tmp_path, "web")
    runfile.announce(tmp_path, "web")
    assert [path.name for path in tmp_path.iterdir()] == ["web.json"]


def test_waiting_ends_with_the_role_s_name_when_it_never_comes(tmp_path):
    with pytest.raises(ConfigurationError, match=r"scp was not ready after 0\.05 s"):
        runfile.wait_for(tmp_path, "scp", timeout_s=0.05)


def test_waiting_returns_what_was_announced(tmp_path):
    runfile.announce(tmp_path, "web", port=8080)
    assert runfile.wait_for(tmp_path, "web", timeout_s=1).port == 8080


def test_withdrawing_removes_our_own_announcement(tmp_path):
    runfile.announce(tmp_path, "web")
    runfile.withdraw(tmp_path, "web")
    assert not runfile.path_of(tmp_path, "web").exists()
    runfile.withdraw(tmp_path, "web")


def test_withdrawing_leaves_another_process_s_announcement(tmp_path):
    other = {"pid": os.getppid(), "host": "", "port": 1, "started_at": "2026-01-01T00:00:00+00:00"}
    runfile.path_of(tmp_path, "web").write_text(str(other).replace("'", '"'))
    runfile.withdraw(tmp_path, "web")
    entry = runfile.read(tmp_path, "web")
    assert entry is not None
    assert entry.pid == os.getppid()


def test_the_supervisor_may_discard_anyone_s_file(tmp_path, project_environ):
    announce_from_a_process_that_ends(tmp_path, project_environ)
    runfile.discard(tmp_path, "scp")
    assert not runfile.path_of(tmp_path, "scp").exists()
