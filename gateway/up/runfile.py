"""Run files: how a role tells the others on this machine that it is ready, and where it listens.

HOME/run/<role>.json holds the process id, the address and the time. Port 0 in the settings
means "any free one"; this file is where the real one is found. A process that was killed
leaves its file behind, so a reader believes it only while that process lives, and `up`
removes old ones before it starts a role (a process id may be in use again after a reboot).
"""

import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.errors import ConfigurationError

POLL_S = 0.02


@dataclass(frozen=True)
class RunFile:
    """Where a role listens. host and port are empty and 0 for a role that does not."""

    role: str
    pid: int
    host: str
    port: int
    started_at: datetime


def path_of(run_dir: Path, role: str) -> Path:
    return run_dir / f"{role}.json"


def announce(run_dir: Path, role: str, *, host: str = "", port: int = 0) -> RunFile:
    """Say that this process serves `role` from now on. A reader sees the whole file or none."""
    entry = RunFile(role, os.getpid(), host, port, datetime.now(UTC))
    run_dir.mkdir(parents=True, exist_ok=True)
    target = path_of(run_dir, role)
    draft = target.with_suffix(f".{entry.pid}.tmp")
    draft.write_text(
        json.dumps(
            {
                "pid": entry.pid,
                "host": host,
                "port": port,
                "started_at": entry.started_at.isoformat(),
            }
        )
    )
    draft.replace(target)
    return entry


def read(run_dir: Path, role: str) -> RunFile | None:
    """Return what the role announced; None if it did not, or if its process is gone."""
    try:
        content = json.loads(path_of(run_dir, role).read_text())
        entry = RunFile(
            role,
            int(content["pid"]),
            str(content["host"]),
            int(content["port"]),
            datetime.fromisoformat(content["started_at"]),
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return entry if _lives(entry.pid) else None


def wait_for(run_dir: Path, role: str, *, timeout_s: float) -> RunFile:
    """Wait until the role has announced itself. Raises ConfigurationError when it does not."""
    deadline = time.monotonic() + timeout_s
    while (entry := read(run_dir, role)) is None:
        if time.monotonic() >= deadline:
            raise ConfigurationError(f"{role} was not ready after {timeout_s:g} s: see its log")
        time.sleep(POLL_S)
    return entry


def withdraw(run_dir: Path, role: str) -> None:
    """Take back this process's announcement; another process's stays."""
    entry = read(run_dir, role)
    if entry is not None and entry.pid == os.getpid():
        path_of(run_dir, role).unlink(missing_ok=True)


def discard(run_dir: Path, role: str) -> None:
    """Remove the role's file, whoever wrote it. For the supervisor, before it starts the role."""
    path_of(run_dir, role).unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:  # it lives, under another user
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True
