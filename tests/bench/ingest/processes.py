"""What a receiver uses, whatever number of processes it consists of."""

import contextlib
import os
import threading
import time
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SAMPLE_INTERVAL_S = 0.1


def family(pid: int) -> list[int]:
    """Return a process and its descendants, whichever of their threads started them."""
    below: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            below += [int(one) for one in children.read_text().split()]
    return [pid, *(one for child in below for one in family(child))]


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process, its descendants and those that have ended.

    A child that ends while we count moves its time to its parent: then count again.
    """
    while True:
        members = family(pid)
        ticks = sum(_ticks(one) for one in members)
        if family(pid) == members:
            return ticks / TICKS_PER_S


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(fields[index]) for index in (11, 12, 13, 14))  # proc(5): utime to cstime


def settled_cpu_seconds(pid: int, *, timeout_s: float = 5) -> float:
    """Return the same once it has stopped growing: sealing a pack is part of receiving it."""
    deadline = time.monotonic() + timeout_s
    last = cpu_seconds(pid)
    while time.monotonic() < deadline:
        time.sleep(0.3)
        now = cpu_seconds(pid)
        if now - last <= 2 / TICKS_PER_S:  # polling loops never rest altogether
            return now
        last = now
    return last


def peak_rss_bytes(pid: int) -> int:
    """Return the largest VmHWM of a process and its descendants that live."""
    return max(_peak(one) for one in family(pid))


def _peak(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except (FileNotFoundError, ProcessLookupError, IndexError):  # gone, or a zombie
        return 0


class PeakWatch:
    """Samples the peaks of a family while it works: of a child that ended nothing is left to
    read. Usable as a context manager; peak_bytes is valid after it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.peak_bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "PeakWatch":
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._done.set()
        self._thread.join()
        self._sample()

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_INTERVAL_S):
            self._sample()

    def _sample(self) -> None:
        self.peak_bytes = max(self.peak_bytes, peak_rss_bytes(self._pid))
