"""A real Celery worker under the supervisor: warm shutdown, and no process left behind."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from celery import Celery

from gateway.settings import Settings
from gateway.up import broker, roles
from gateway.up.child import Child
from gateway.up.supervisor import Supervisor

DEADLINE_S = 30.0

# A task that takes its time and writes down when it began and when it ended.
APP = """
import os, pathlib, threading
from celery import Celery
app = Celery("slow_app", broker=os.environ["BROKER"])
app.conf.update(task_ignore_result=True, task_acks_late=True, worker_prefetch_multiplier=1)
@app.task(name="slow")
def slow(folder, seconds):
    (pathlib.Path(folder) / "began").touch()
    threading.Event().wait(seconds)
    (pathlib.Path(folder) / "ended").touch()
"""
UP = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_celery_under_supervisor import children_of
from gateway.up.supervisor import Supervisor
home = Path(sys.argv[1])
supervisor = Supervisor(children_of(home), run_dir=home / "run")
with open(sys.argv[3], "w") as note:
    pids = lambda: (supervisor.pid("broker"), supervisor.pid("worker"))
    supervisor.run(lambda: print(*pids(), file=note, flush=True))
"""


def children_of(home):
    words = ["worker", "-c", "2", "-n", "test@%h", "--loglevel", "WARNING"]
    words += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    environ = {"BROKER": broker.broker_url(home), "PYTHONPATH": str(home)}
    argv = (sys.executable, "-m", "celery", "-A", "slow_app", *words)
    return [roles.children(Settings(home=home))[0], Child("worker", argv, environ, order=1)]


@pytest.fixture
def home(tmp_path):
    (tmp_path / "slow_app.py").write_text(APP)
    return tmp_path


def begin_a_task(home, *, seconds):
    """Send the task and return when a worker has begun it."""
    with Celery(broker=broker.broker_url(home)) as client:
        client.send_task("slow", [str(home), seconds])
    until((home / "began").exists, "the task to begin")


def until(condition, what):
    deadline = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {DEADLINE_S:g} s for {what}"
        time.sleep(0.02)
    return value


def in_sessions(leaders):
    """Return the processes, other than zombies, whose session one of these began."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = entry.read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(session) in leaders and state not in "ZX":
            found.append(int(entry.parent.name))
    return found


def test_a_worker_finishes_its_task_before_it_stops(home):
    with Supervisor(children_of(home), run_dir=home / "run") as supervisor:
        leaders = {supervisor.pid("broker"), supervisor.pid("worker")}
        begin_a_task(home, seconds=1)
        assert not (home / "ended").exists()
    assert (home / "ended").exists()
    assert in_sessions(leaders) == []


def test_kill_9_of_the_supervisor_ends_a_busy_worker_and_its_pool(home, project_environ):
    note = home / "leaders"
    command = [sys.executable, "-c", UP, str(home), str(Path(__file__).parent), str(note)]
    process = subprocess.Popen(command, env=project_environ)
    try:
        until(lambda: note.exists() and note.read_text().endswith("\n"), "the start")
        leaders = {int(word) for word in note.read_text().split()}
        begin_a_task(home, seconds=10)
        assert len(in_sessions(leaders)) >= 4  # broker, worker and its two pool processes
        process.kill()
        process.wait(DEADLINE_S)
        until(lambda: in_sessions(leaders) == [], "every process to end")
        assert not (home / "ended").exists()
    finally:
        process.kill()
        process.wait()
