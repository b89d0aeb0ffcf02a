"""What the machine itself can do, and what it is."""

import os
import platform
import re
import shutil
import time
from pathlib import Path
from typing import Any

from tests.bench.ingest.figures import Run


def synced_appends(folder: Path, size: int, count: int) -> Run:
    """Time `count` O_DSYNC writes of `size` bytes into a file extended ahead with real zeros.

    That is the least a receiver must do who answers only what would survive a power cut.
    """
    path = folder / "appends"
    block = os.urandom(size)
    latencies = [0.0] * count
    with path.open("wb") as file:
        for _ in range(count):
            file.write(bytes(size))
        file.flush()
        os.fsync(file.fileno())
    descriptor = os.open(path, os.O_WRONLY | os.O_DSYNC)
    try:
        started = time.perf_counter()
        for number in range(count):
            begun = time.perf_counter()
            os.pwrite(descriptor, block, number * size)
            latencies[number] = (time.perf_counter() - begun) * 1e6
        seconds = time.perf_counter() - started
    finally:
        os.close(descriptor)
    return Run(count, count * size, seconds, latencies_us=latencies)


def description(folder: Path) -> dict[str, Any]:
    """Return what the figures were measured on."""
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    return {
        "cores": os.cpu_count(),
        "processor": cpu[1] if cpu else platform.machine(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "filesystem": filesystem(folder),
        "free_gb": round(shutil.disk_usage(folder).free / 1e9, 1),
    }


def filesystem(folder: Path) -> str:
    """Return the type of the file system a folder lies on."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    at = folder.resolve()
    holding = [one for one in mounts if at.is_relative_to(one[0])]
    return max(holding, key=lambda one: len(one[0]))[1]
