"""Real children, really killed. What must hold: they come back, and none outlives `up`."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gateway.errors import ConfigurationError
from gateway.up import lock
from gateway.up.child import Child
from gateway.up.supervisor import Supervisor

DEADLINE_S = 20.0

WAIT = "import signal\nsignal.pause()\n"
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
SAY_READY = "import pathlib, sys\npathlib.Path(sys.argv[1]).touch()\n"
# A program that, like Celery or gunicorn, has a child of its own, and writes down which.
WITH_A_CHILD = """
import os, pathlib, signal, sys
pid = os.fork()
if pid:
    draft = pathlib.Path(sys.argv[1] + ".tmp")
    draft.write_text(str(pid))
    draft.rename(sys.argv[1])
signal.pause()
"""
# A supervisor in a process of its own, so that it can be killed. It prints its children's
# process ids; each child writes down its own as well, after a restart again.
UP = """
import sys
from pathlib import Path
from gateway.up.child import Child
from gateway.up.supervisor import Supervisor
run_dir = Path(sys.argv[1])
program = "import os, signal, sys; open(sys.argv[1], 'w').write(str(os.getpid())); signal.pause()"
def child(name):
    note = run_dir / name
    argv = (sys.executable, "-S", "-c", program, str(note))
    return Child(name, argv, ready=lambda: note.exists() and note.read_text())
supervisor = Supervisor([child("one"), child("two")], run_dir=run_dir)
def ready():
    print(supervisor.pid("one"), supervisor.pid("two"), file=sys.stderr, flush=True)
supervisor.run(ready)
"""


def until(condition, what):
    """Poll until the condition gives something true, and return that."""
    deadline = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {DEADLINE_S:g} s for {what}"
        time.sleep(0.01)
    return value


def lives(pid):
    """Tell whether a process runs. A zombie, which only waits to be collected, does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def zombies_of(pid):
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = entry.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state == "Z" and int(parent) == pid:
            found.append(int(entry.parent.name))
    return found


def python(source, *arguments):
    return (sys.executable, "-S", "-c", source, *(str(argument) for argument in arguments))


def running_pid(supervisor, name, *, other_than=None):
    """Return the child's process id once it is another one than before."""

    def current():
        try:
            pid = supervisor.pid(name)
        except KeyError:
            return None
        return pid if pid != other_than and lives(pid) else None

    return until(current, f"{name} to run")


@pytest.fixture
def start_up(project_environ):
    """Return a function that starts a supervisor process and gives it and its children's ids."""
    started = []

    def start(run_dir):
        process = subprocess.Popen(
            [sys.executable, "-c", UP, str(run_dir)],
            env=project_environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        words = process.stderr.readline().split()
        assert len(words) == 2, words
        return process, [int(word) for word in words]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


def test_children_run_inside_the_block_and_not_after_it(tmp_path):
    children = [Child("one", python(WAIT)), Child("two", python(WAIT))]
    with Supervisor(children, run_dir=tmp_path) as supervisor:
        pids = [supervisor.pid("one"), supervisor.pid("two")]
        assert all(lives(pid) for pid in pids)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_killed_child_is_back_after_a_second(tmp_path):
    with Supervisor([Child("one", python(WAIT))], run_dir=tmp_path) as supervisor:
        first = supervisor.pid("one")
        killed_at = time.monotonic()
        os.kill(first, signal.SIGKILL)
        running_pid(supervisor, "one", other_than=first)
        assert 0.9 < time.monotonic() - killed_at < 5
        assert not zombies_of(os.getpid())


def test_the_end_of_a_child_is_noticed_within_half_a_second(tmp_path):
    with Supervisor([Child("one", python(WAIT))], run_dir=tmp_path) as supervisor:
        pid = supervisor.pid("one")
        os.kill(pid, signal.SIGKILL)
        killed_at = time.monotonic()
        until(lambda: not Path(f"/proc/{pid}").exists(), "the child to be collected")
        assert time.monotonic() - killed_at < 0.5


def test_a_child_that_ends_again_waits_longer(tmp_path):
    with Supervisor([Child("one", python(WAIT))], run_dir=tmp_path) as supervisor:
        first = supervisor.pid("one")
        os.kill(first, signal.SIGKILL)
        second = running_pid(supervisor, "one", other_than=first)
        killed_at = time.monotonic()
        os.kill(second, signal.SIGKILL)
        running_pid(supervisor, "one", other_than=second)
        assert time.monotonic() - killed_at > 1.9


def test_the_children_of_a_killed_child_end_with_it(tmp_path):
    note = tmp_path / "grandchild"
    child = Child("one", python(WITH_A_CHILD, note), ready=note.exists)
    with Supervisor([child], run_dir=tmp_path / "run") as supervisor:
        grandchild = int(note.read_text())
        assert lives(grandchild)
        os.kill(supervisor.pid("one"), signal.SIGKILL)
        until(lambda: not lives(grandchild), "the grandchild to end")


def test_the_children_of_a_stopped_child_end_with_it(tmp_path):
    note = tmp_path / "grandchild"
    child = Child("one", python(WITH_A_CHILD, note), ready=note.exists)
    with Supervisor([child], run_dir=tmp_path / "run"):
        grandchild = int(note.read_text())
    until(lambda: not lives(grandchild), "the grandchild to end")


def test_a_child_that_ignores_the_request_is_killed_after_its_grace(tmp_path):
    mark = tmp_path / "ready"
    child = Child("one", python(STUBBORN + SAY_READY + WAIT, mark), ready=mark.exists, grace_s=0.3)
    with Supervisor([child], run_dir=tmp_path) as supervisor:
        pid = supervisor.pid("one")
        stopped_at = time.monotonic()
    assert 0.3 <= time.monotonic() - stopped_at < 5
    assert not lives(pid)


def test_a_child_gets_the_time_to_finish_what_it_does(tmp_path):
    ready, finished = tmp_path / "ready", tmp_path / "finished"
    source = (
        "import pathlib, signal, sys, threading\n"
        "asked = threading.Event()\n"
        "signal.signal(signal.SIGTERM, lambda *_: asked.set())\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "asked.wait()\n"
        "threading.Event().wait(0.5)\n"
        "pathlib.Path(sys.argv[2]).touch()\n"
    )
    with Supervisor(
        [Child("one", python(source, ready, finished), ready=ready.exists)], run_dir=tmp_path
    ):
        assert not finished.exists()
    assert finished.exists()


def test_children_start_in_order_and_stop_in_reverse(tmp_path):
    journal = tmp_path / "journal"
    source = (
        "import pathlib, signal, sys, threading\n"
        "asked, name = threading.Event(), sys.argv[1]\n"
        "signal.signal(signal.SIGTERM, lambda *_: asked.set())\n"
        "journal = open(sys.argv[2], 'a', buffering=1)\n"
        "print(name, 'up', file=journal)\n"
        "asked.wait()\n"
        "print(name, 'down', file=journal)\n"
    )

    def child(name, order):
        return Child(
            name,
            python(source, name, journal),
            order=order,
            ready=lambda: journal.exists() and f"{name} up" in journal.read_text(),
        )

    with Supervisor([child("second", 1), child("first", 0)], run_dir=tmp_path):
        pass
    assert journal.read_text().splitlines() == [
        "first up",
        "second up",
        "second down",
        "first down",
    ]


def test_a_child_that_cannot_start_stops_the_start_and_the_others(tmp_path):
    mark = tmp_path / "ready"
    good = Child("good", python(SAY_READY + WITH_A_CHILD, mark), ready=mark.exists)
    bad = Child("bad", python("raise SystemExit(3)"), order=1, ready=lambda: False)
    with (
        pytest.raises(ConfigurationError, match=r"bad ended while starting \(exit code 3\)"),
        Supervisor([good, bad], run_dir=tmp_path / "run"),
    ):
        pytest.fail("it must not get here")
    grandchild = int(mark.read_text())
    until(lambda: not lives(grandchild), "the good child's child to end")


def test_a_program_that_does_not_exist_is_named(tmp_path, capfd):
    child = Child("one", ("/nowhere/program",), ready=lambda: False)
    with (
        pytest.raises(ConfigurationError, match="one ended while starting"),
        Supervisor([child], run_dir=tmp_path),
    ):
        pytest.fail("it must not get here")
    assert "cannot run /nowhere/program" in capfd.readouterr().err


def test_a_child_that_never_becomes_ready_stops_the_start(tmp_path):
    child = Child("mute", python(WAIT), ready=lambda: False)
    with (
        pytest.raises(ConfigurationError, match=r"mute was not ready after 0\.3 s"),
        Supervisor([child], run_dir=tmp_path, start_timeout_s=0.3),
    ):
        pytest.fail("it must not get here")


def test_what_children_say_goes_to_the_file_given(tmp_path):
    mark = tmp_path / "ready"
    source = "import sys\nprint('to output', flush=True)\nprint('to error', file=sys.stderr)\n"
    child = Child("one", python(source + SAY_READY + WAIT, mark), ready=mark.exists)
    with Supervisor([child], run_dir=tmp_path, output=tmp_path / "children.log"):
        pass
    assert (tmp_path / "children.log").read_text().splitlines() == ["to output", "to error"]


def test_children_see_their_own_settings_and_none_of_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("CAPSULE_AE_TITLE", "OURS")
    monkeypatch.setenv("LANG_OF_TEST", "kept")
    note = tmp_path / "note"
    source = (
        "import os, pathlib, sys\n"
        "seen = {k: v for k, v in os.environ.items() if k[:4] in ('CAPS', 'LANG')}\n"
        "draft = pathlib.Path(sys.argv[1] + '.tmp')\n"
        "draft.write_text(repr(seen))\n"
        "draft.rename(sys.argv[1])\n"
    )
    child = Child("one", python(source + WAIT, note), {"CAPSULE_HOME": "/x"}, ready=note.exists)
    with Supervisor([child], run_dir=tmp_path):
        seen = note.read_text()
    assert "'CAPSULE_HOME': '/x'" in seen
    assert "'LANG_OF_TEST': 'kept'" in seen
    assert "OURS" not in seen


def test_a_second_supervisor_on_the_same_data_directory_is_refused(tmp_path):
    run_dir = tmp_path / "run"
    children = [Child("one", python(WAIT))]
    with Supervisor(children, run_dir=run_dir):
        expected = rf"CAPSULE_HOME: a gateway \(process {os.getpid()}\) already runs"
        with (
            pytest.raises(ConfigurationError, match=expected),
            Supervisor(children, run_dir=run_dir),
        ):
            pytest.fail("it must not get here")
    with Supervisor(children, run_dir=run_dir):
        pass


def test_interrupting_the_start_leaves_nothing_running(tmp_path):
    """Ctrl-C while children start: KeyboardInterrupt in the main thread, before the block."""
    started = tmp_path / "started"
    child = Child("slow", python(WITH_A_CHILD, started), ready=lambda: False)

    def interrupt_when_started():
        until(started.exists, "the child to start")
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    interrupter = threading.Thread(target=interrupt_when_started)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt), Supervisor([child], run_dir=tmp_path / "run"):
        pytest.fail("it must not get here")
    interrupter.join()
    grandchild = int(started.read_text())
    until(lambda: not lives(grandchild), "the grandchild to end")
    with lock.held(tmp_path / "run"):
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_ends_the_supervisor_and_all_children(tmp_path, start_up, number):
    process, children = start_up(tmp_path / "run")
    process.send_signal(number)
    assert process.wait(DEADLINE_S) == 0
    assert not any(lives(pid) for pid in children)


def test_nothing_is_left_after_kill_9_of_the_supervisor(tmp_path, start_up):
    process, children = start_up(tmp_path / "run")
    assert all(lives(pid) for pid in children)
    process.kill()
    process.wait(DEADLINE_S)
    until(lambda: not any(lives(pid) for pid in children), "the children to end")


def test_a_restarted_child_ends_with_a_killed_supervisor_too(tmp_path, start_up):
    process, (first, _) = start_up(tmp_path / "run")
    note = tmp_path / "run" / "one"
    assert note.read_text() == str(first)
    os.kill(first, signal.SIGKILL)
    second = int(until(lambda: note.read_text().replace(str(first), ""), "the restart"))
    assert lives(second)
    process.kill()
    process.wait(DEADLINE_S)
    until(lambda: not lives(second), "the restarted child to end")


def test_a_killed_supervisor_s_place_can_be_taken_at_once(tmp_path, start_up):
    process, _ = start_up(tmp_path / "run")
    process.kill()
    process.wait(DEADLINE_S)
    successor, children = start_up(tmp_path / "run")
    assert all(lives(pid) for pid in children)
    successor.terminate()
    assert successor.wait(DEADLINE_S) == 0
