"""Keeps a handful of programs running, for one machine and one data directory.

Children are started in order, watched, started again when they end, and stopped in reverse
order. They never outlive the supervisor: it stops them, or, if it is killed, the kernel does
(gateway.up.leash). One thread does all of it from the first start to the last stop, because
the kernel's promise belongs to the thread that started the child.
"""

import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import IO, Self

from gateway import log
from gateway.errors import ConfigurationError
from gateway.up import lock
from gateway.up.child import STEADY_S, Child, Running, backoff_s

POLL_S = 0.1
START_TIMEOUT_S = 300.0
"""After a crash the listener reads its open packs before it is ready: with the defaults at most
64 of 1 GiB, about 220 s at 300 MB/s."""
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_log = log.get(__name__)


class Supervisor:
    """Supervises children; either `run()`, or a `with` block in which they all run.

    run_dir: HOME/run, where the lock lies that keeps a second supervisor away.
    start_timeout_s: how long the children of one order may take until all are ready.
    output: a file to which they write instead of our standard output and error.
    """

    def __init__(
        self,
        children: Sequence[Child],
        *,
        run_dir: Path,
        start_timeout_s: float = START_TIMEOUT_S,
        output: Path | None = None,
    ) -> None:
        self._children = sorted(children, key=lambda child: child.order)
        self._run_dir = run_dir
        self._start_timeout_s = start_timeout_s
        self._output = output
        self._running: dict[str, Running] = {}
        self._ended_counts: dict[str, int] = {}
        self._due_s: dict[str, float] = {}
        self._stop = threading.Event()
        self._hurry = threading.Event()
        self._settled = threading.Event()  # all are ready, or it is over
        self._over = threading.Event()
        self._held = ExitStack()
        self._outcome: Future[None] = Future()

    def __enter__(self) -> Self:
        """Start the children and return when all are ready.

        Raises ConfigurationError if another supervisor runs on this data directory, or if a
        child ends or stays silent instead of becoming ready; then nothing is left running.
        """
        with ExitStack() as held:
            held.enter_context(lock.held(self._run_dir))
            thread = held.enter_context(ThreadPoolExecutor(1, thread_name_prefix="supervisor"))
            held.callback(self._stop.set)
            self._outcome = thread.submit(self._supervise)
            self._settled.wait()
            if self._over.is_set():
                self._outcome.result()
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()
        self._outcome.result()

    def run(self, on_ready: Callable[[], None] | None = None) -> None:
        """Start the children and keep them running until SIGINT, SIGTERM or SIGHUP.

        A second signal ends the children's time to stop by themselves. Main thread only.
        Raises what `__enter__` raises.
        """
        with ExitStack() as restore:
            for number in STOP_SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
                    before = signal.signal(number, self._on_signal)
                    restore.callback(signal.signal, number, before)
            with self:
                if on_ready is not None and not self._stop.is_set():
                    on_ready()
                self._over.wait()

    def pid(self, name: str) -> int:
        """Return the process id of a running child. Raises KeyError while it does not run."""
        return self._running[name].pid

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        (self._hurry if self._stop.is_set() else self._stop).set()

    def _supervise(self) -> None:
        try:
            with ExitStack() as opened:
                output = None if self._output is None else self._output.open("ab")
                if output is not None:
                    opened.enter_context(output)
                opened.callback(self._stop_all)
                self._start_all(output)
                self._settled.set()
                while not self._stop.wait(POLL_S):
                    self._restart_ended(output)
        finally:
            self._over.set()
            self._settled.set()

    def _start_all(self, output: IO[bytes] | None) -> None:
        for _, group in groupby(self._children, key=lambda child: child.order):
            waiting = list(group)
            for child in waiting:
                self._start(child, output)
            deadline_s = time.monotonic() + self._start_timeout_s
            while waiting and not self._stop.is_set():
                for child in waiting:
                    self._check_start(child, deadline_s)
                waiting = [child for child in waiting if not child.ready()]
                self._stop.wait(POLL_S / 5 if waiting else 0)
            if self._stop.is_set():
                return

    def _check_start(self, child: Child, deadline_s: float) -> None:
        running = self._running[child.name]
        if running.has_ended():
            code = running.end()
            raise ConfigurationError(f"{child.name} ended while starting ({_in_words(code)})")
        if time.monotonic() > deadline_s:
            raise ConfigurationError(
                f"{child.name} was not ready after {self._start_timeout_s:g} s"
            )

    def _start(self, child: Child, output: IO[bytes] | None) -> None:
        self._running[child.name] = Running(child, now_s=time.monotonic(), output=output)
        _log.info("started", child=child.name, pid=self.pid(child.name))

    def _restart_ended(self, output: IO[bytes] | None) -> None:
        now_s = time.monotonic()
        for child in self._children:
            running = self._running.get(child.name)
            if running is not None and running.has_ended():
                del self._running[child.name]
                if now_s - running.started_s >= STEADY_S:
                    self._ended_counts[child.name] = 0
                self._back_off(child, now_s, _in_words(running.end()))
            elif running is None and now_s >= self._due_s[child.name]:
                try:
                    self._start(child, output)
                except (OSError, ConfigurationError) as error:  # the machine is short of something
                    self._back_off(child, now_s, str(error))

    def _back_off(self, child: Child, now_s: float, why: str) -> None:
        count = self._ended_counts[child.name] = self._ended_counts.get(child.name, 0) + 1
        delay_s = backoff_s(count)
        self._due_s[child.name] = now_s + delay_s
        _log.error("not running", child=child.name, why=why, restart_in_s=delay_s)

    def _stop_all(self) -> None:
        for _, group in groupby(reversed(self._children), key=lambda child: child.order):
            stopping = [self._running[child.name] for child in group if child.name in self._running]
            for running in stopping:
                running.ask_to_stop()
            asked_s = time.monotonic()
            for running in stopping:
                self._wait_for_end(running, asked_s + running.child.grace_s)
                code = running.end()
                del self._running[running.child.name]
                _log.info("stopped", child=running.child.name, how=_in_words(code))

    def _wait_for_end(self, running: Running, deadline_s: float) -> None:
        while not running.has_ended() and time.monotonic() < deadline_s:
            if self._hurry.wait(POLL_S / 5):
                return


def _in_words(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
