"""One supervised program: how it is started, recognised as ready, and ended with all it began."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO

from gateway.settings import PREFIX
from gateway.up import leash

BACKOFF_MAX_S = 30.0
STEADY_S = 60.0
"""A program that lived this long was well: its next end counts as the first one."""


def _nothing() -> None:
    pass


def _always() -> bool:
    return True


@dataclass(frozen=True)
class Child:
    """A program to keep running.

    order: programs of one order start together, after all of the lower orders are ready, and
    stop together, before them. environ: variables added to ours. prepare: called before each
    start. ready: asked again and again, cheap. grace_s: how long it may take to stop by itself.
    """

    name: str
    argv: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    order: int = 0
    prepare: Callable[[], None] = _nothing
    ready: Callable[[], bool] = _always
    grace_s: float = 10.0


def backoff_s(ended_count: int) -> float:
    """Return how long to wait before the next start: 1, 2, 4 ... seconds, at most 30."""
    return min(2.0 ** min(ended_count - 1, 5), BACKOFF_MAX_S)


class Running:
    """A Child that was started: its process, which leads a session and a group of its own."""

    def __init__(self, child: Child, *, now_s: float, output: IO[bytes] | None) -> None:
        child.prepare()
        self.child = child
        self.started_s = now_s
        # The interpreter on the leash needs no site packages (-S) and no PYTHON* (-E);
        # the program that it becomes gets the environment whole.
        words = (sys.executable, "-S", "-E", leash.__file__, str(os.getpid()), *child.argv)
        self.process = subprocess.Popen(
            words,
            env=_environment(child.environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # the terminal's Ctrl-C reaches the supervisor alone
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def has_ended(self) -> bool:
        """Tell whether the process ended, without collecting it: its group keeps its number."""
        if self.process.returncode is not None:
            return True
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, options) is not None

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the process alone: Celery and gunicorn tell their children themselves."""
        if not self.has_ended():
            self.process.send_signal(signal.SIGTERM)

    def end(self) -> int:
        """Kill what is left of its group, collect it and return its exit code."""
        if self.process.returncode is None:
            with contextlib.suppress(PermissionError):  # macOS, when only the ended leader is left
                os.killpg(self.pid, signal.SIGKILL)
        return self.process.wait()


def _environment(added: Mapping[str, str]) -> dict[str, str]:
    """Return our environment with the gateway's variables replaced by those added."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
    return {**inherited, **added}
