"""The listener as several processes: one accepts, the others receive, none outlives the first.

The parent has no threads and no ledger. It forks receiving processes from itself, everything
imported already, passes connections to them (gateway.scp.acceptor) and starts a new one when
one dies. A crash takes down the associations of its own process and no others; what they
brought is recovered at once, by one more process that ends when it is done. When the parent
ends, however that comes about, the children see the end of their channel, seal and end too.
"""

import contextlib
import gc
import multiprocessing
import os
import signal
import socket
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.context import ForkProcess
from typing import NoReturn

from gateway import log
from gateway.errors import GatewayError
from gateway.ledger.engine import Ledger
from gateway.scp import presence, recovery
from gateway.scp.acceptor import Acceptor, listen
from gateway.scp.channel import Channel
from gateway.scp.server import Receiver
from gateway.settings import Settings

PROCESSES_MIN, PROCESSES_MAX = 2, 8
STEADY_S = 5.0
"""A process that lived this long was well: its death is the first one of its place."""
BACKOFF_MAX_S = 30.0
STOP_TIMEOUT_S = 9.0
"""Children seal within gateway.scp.server.STOP_TIMEOUT_S; after that they are killed."""
RECOVER_AGAIN_S = 30.0
"""After the start: by then, processes of a listener that was killed have ended too."""
RECOVERY_RETRY_S = 10.0

_FORK = multiprocessing.get_context("fork")
_logger = log.get(__name__)


def process_count(settings: Settings, cores: int) -> int:
    """Return how many processes receive: as set, or one per core within limits."""
    return settings.scp_processes or min(max(cores, PROCESSES_MIN), PROCESSES_MAX)


def restart_delay_s(quick_deaths: int) -> float:
    """Return how long to wait: nothing after a first death, then 1, 2, 4 ... at most 30 s."""
    return min(2.0 ** (quick_deaths - 2), BACKOFF_MAX_S) if quick_deaths > 1 else 0.0


@dataclass
class _Place:
    """One of the receiving processes that there are to be."""

    process: ForkProcess | None = None
    started_s: float = 0.0
    quick_deaths: int = 0
    due_s: float = 0.0


class ListenerProcesses:
    """`run` it in a process of its own, in the main thread, before any other thread starts."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        count = process_count(settings, os.cpu_count() or 1)
        self._places = [_Place() for _ in range(count)]
        self._recovery: ForkProcess | None = None
        self._recover_due_s = 0.0
        self._stopping = self._hurrying = False
        self._wake, self._woken = socket.socketpair()

    def run(self, on_ready: Callable[[int], None]) -> None:
        """Listen until SIGTERM or SIGINT. Raises ConfigurationError if the port is taken.

        on_ready: called with the port when the packs that were left open at the last end are
        recovered. Connections are served before that.
        """
        presence.node_id(self._settings)  # made here once, not in every child
        self._acceptor = Acceptor(listen(self._settings), self._settings.associations_max)
        self._catch_signals()
        # pydicom warns of every odd UID, with the bytes a peer sent.
        warnings.filterwarnings("ignore", module="pydicom")
        gc.collect()
        gc.freeze()  # what is shared after the fork stays shared
        self._start_due()
        self._start_recovery()
        if not self._settings.sync:
            _logger.error("scp.not-durable", words="CAPSULE_SYNC is off: a power cut loses data.")
        _logger.info(
            "scp.listening", ae_title=self._settings.ae_title, port=self._acceptor.port,
            processes=len(self._places),
        )  # fmt: skip
        try:
            self._supervise(on_ready)
        finally:
            self._stop()

    def _supervise(self, on_ready: Callable[[int], None]) -> None:
        ready = False
        while not self._stopping:
            self._acceptor.turn(self._patience_s())
            self._drain_wakings()
            self._collect()
            self._start_due()
            if self._recovery is None and not ready:
                ready = True
                self._recover_due_s = time.monotonic() + RECOVER_AGAIN_S
                on_ready(self._acceptor.port)

    def _patience_s(self) -> float | None:
        """Return until when nothing is due."""
        due = [place.due_s for place in self._places if place.process is None]
        if self._recover_due_s and self._recovery is None:
            due.append(self._recover_due_s)
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _start_due(self) -> None:
        now_s = time.monotonic()
        for place in self._places:
            if place.process is None and now_s >= place.due_s:
                place.process, place.started_s = self._start_receiver(), now_s
        if self._recover_due_s and now_s >= self._recover_due_s and self._recovery is None:
            self._start_recovery()

    def _start_receiver(self) -> ForkProcess:
        ours, theirs = Channel.pair()
        process = _FORK.Process(target=self._receive, args=(ours, theirs))
        process.start()
        theirs.close()
        self._acceptor.add(ours)
        return process

    def _start_recovery(self) -> None:
        self._recover_due_s = 0.0
        self._recovery = _FORK.Process(target=self._recover)
        self._recovery.start()

    def _collect(self) -> None:
        """Look after children that have ended."""
        now_s = time.monotonic()
        for place in self._places:
            process = place.process
            if process is not None and not process.is_alive():
                pid, how = process.pid, _in_words(process.exitcode)
                process.close()
                place.process = None
                lived_s = now_s - place.started_s
                place.quick_deaths = 1 if lived_s >= STEADY_S else place.quick_deaths + 1
                delay_s = restart_delay_s(place.quick_deaths)
                place.due_s = now_s + delay_s
                _logger.error("scp.process-ended", pid=pid, how=how, restart_in_s=delay_s)
                self._recover_due_s = now_s
        if self._recovery is not None and not self._recovery.is_alive():
            if self._recovery.exitcode:
                how = _in_words(self._recovery.exitcode)
                _logger.error("scp.recovery-ended", how=how, again_in_s=RECOVERY_RETRY_S)
                self._recover_due_s = self._recover_due_s or now_s + RECOVERY_RETRY_S
            self._recovery.close()
            self._recovery = None

    def _stop(self) -> None:
        """Let the children see the end, and wait for them; kill what takes too long."""
        self._acceptor.close()
        left = [place.process for place in self._places if place.process is not None]
        if self._recovery is not None:
            self._recovery.terminate()
            left.append(self._recovery)
        until_s = time.monotonic() + STOP_TIMEOUT_S
        for process in left:
            while process.is_alive() and time.monotonic() < until_s and not self._hurrying:
                process.join(0.05)
            if process.is_alive():
                _logger.error("scp.process-killed", pid=process.pid)
                process.kill()
            process.join()

    def _catch_signals(self) -> None:
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        self._acceptor.watch(self._woken)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # ends a wait: that is all it is for

    def _on_stop(self, *_: object) -> None:
        self._hurrying, self._stopping = self._stopping, True

    def _drain_wakings(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(1 << 10)

    def _become_child(self) -> None:
        """Drop what belongs to the parent: an open copy would hide its end from the others."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C: the parent decides
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._acceptor.abandon()
        self._wake.close()
        self._woken.close()

    def _receive(self, parents_end: Channel, channel: Channel) -> NoReturn:
        """What a receiving process does."""
        self._become_child()
        parents_end.close()
        ledger = Ledger(self._settings.ledger_url)
        receiver = Receiver(self._settings, ledger, channel, processes=len(self._places))
        signal.signal(signal.SIGTERM, lambda *_: receiver.stop())
        receiver.run()
        ledger.dispose()
        os._exit(0)  # whatever thread still waits for a disk or a peer has had its time

    def _recover(self) -> None:
        """What the process does that looks after what another one left behind."""
        self._become_child()
        ledger = Ledger(self._settings.ledger_url)
        try:
            recovery.recover(self._settings, ledger, datetime.now(UTC))
        except GatewayError as error:
            _logger.error("recovery.failed", code=error.code, error=str(error))
            raise SystemExit(1) from error
        finally:
            ledger.dispose()


def _in_words(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    return signal.Signals(-code).name
