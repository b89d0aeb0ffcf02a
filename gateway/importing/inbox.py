"""The watched folder: whatever is dropped there is imported when it is complete.

Each import is a process of its own: a video that brings a decoder down, or a picture that fills
the memory, ends that process and nothing else. Dying at any moment is harmless: the thing still
lies in the inbox, and importing it again adds nothing.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway import log
from gateway.errors import ConfigurationError, StorageError
from gateway.importing import dropped
from gateway.importing.dropped import DONE, FAILED, Fingerprint
from gateway.settings import Settings
from gateway.up import leash

LOOK_INTERVAL_S = 1.0
LOOK_SHARE = 0.1
"""Looking at a large folder again and again takes no more than this share of the time."""
CRASHES_MAX = 3
RETRY_BASE_S, RETRY_MAX_S = 15.0, 600.0
STOP_S = 8.0
_OUTPUT_BYTES_MAX = 64 << 20

_logger = log.get(__name__)


@dataclass
class _Seen:
    """since_s: monotonic, when it was last seen to change; not_before_s: of the next attempt."""

    mark: Fingerprint
    since_s: float
    not_before_s: float = 0.0
    tries: int = 0
    crashes: int = 0


class Inbox:
    """Watches CAPSULE_INBOX from one thread."""

    def __init__(self, settings: Settings, *, now: Callable[[], datetime]) -> None:
        """Raises ConfigurationError if the folder cannot be made or read."""
        self._settings, self._now = settings, now
        self._folder = Path(settings.inbox)
        self._seen: dict[Path, _Seen] = {}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            os.scandir(self._folder).close()
        except OSError as error:
            raise ConfigurationError(
                f"CAPSULE_INBOX: {self._folder} cannot be read: {error.strerror}."
            ) from error

    def watch(self, stop: threading.Event) -> None:
        """Look until `stop` is set."""
        _logger.info("inbox.watching", quiet_s=self._settings.inbox_quiet_s)
        while not stop.is_set():
            began_s = ended_s = time.monotonic()
            try:
                paths = self.complete()
                ended_s = time.monotonic()
                for path in paths:
                    if not stop.is_set():
                        self._import(path, stop)
            except StorageError as error:
                _logger.error("inbox.failed", code=error.code, error=str(error))
            stop.wait(max(LOOK_INTERVAL_S, (ended_s - began_s) / LOOK_SHARE))

    def complete(self) -> list[Path]:
        """Look once; returns what is complete and due. Raises StorageError."""
        paths = list(dropped.candidates(self._folder))
        self._seen = {path: seen for path, seen in self._seen.items() if path in paths}
        return [path for path in paths if self._is_due(path)]

    def _is_due(self, path: Path) -> bool:
        moment_s = time.monotonic()
        mark = dropped.fingerprint(path)
        if mark is None:
            return False
        seen = self._seen.get(path)
        if seen is None or seen.mark != mark:
            seen = self._seen[path] = _Seen(mark, moment_s)
        quiet = moment_s - seen.since_s >= self._settings.inbox_quiet_s
        return (quiet or dropped.is_marked(path)) and moment_s >= seen.not_before_s

    def _import(self, path: Path, stop: threading.Event) -> None:
        _logger.info("inbox.importing")
        exit_code, said = self._run(path, stop)
        if stop.is_set():
            return
        seen = self._seen[path]
        if exit_code not in (0, 1) and self._try_again(seen, exit_code, said):
            return
        if dropped.fingerprint(path) != seen.mark:
            return  # something was added meanwhile: it is imported again, as a whole
        kept = int(said.get("imported") or 0) + int(said.get("already_there") or 0)
        outcome = DONE if exit_code in (0, 1) and kept else FAILED
        ended = {"outcome": outcome, "finished_at": self._now().isoformat()}
        dropped.put_away(path, outcome, {**ended, **said})
        del self._seen[path]
        _logger.info("inbox.imported", outcome=outcome, kept=kept, refused=said.get("refused", 0))

    def _try_again(self, seen: _Seen, exit_code: int, said: dict[str, Any]) -> bool:
        """Tell whether an import that failed is worth another attempt, and put it off."""
        crashed = not said
        seen.crashes += crashed
        if crashed:
            said["reason"] = f"The import ended by itself with code {exit_code}."
        worth_it = seen.crashes < CRASHES_MAX if crashed else not said.get("permanent", True)
        if worth_it:
            wait_s = min(RETRY_BASE_S * 2**seen.tries, RETRY_MAX_S)
            seen.tries += 1
            seen.not_before_s = time.monotonic() + wait_s
            _logger.warning("inbox.again-later", code=said.get("error", ""), wait_s=wait_s)
        return worth_it

    def _run(self, path: Path, stop: threading.Event) -> tuple[int, dict[str, Any]]:
        """Import in a process of its own; returns its exit code and what it printed as JSON."""
        words = [sys.executable, "-P", "-m", "gateway", "import", str(path), "--json"]
        name = path.stem if path.is_file() else path.name
        words.append(f"--likely-accession-number={name}")
        leashed = [sys.executable, "-S", "-E", leash.__file__, str(os.getpid()), *words]
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(leashed, stdin=subprocess.DEVNULL, stdout=output)
            while process.poll() is None:
                if stop.wait(0.05):
                    _end(process)
            output.seek(0)
            return process.returncode, _last_json(output.read(_OUTPUT_BYTES_MAX))


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask an import to seal what it has, as Ctrl-C does; kill it if it does not."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_json(output: bytes) -> dict[str, Any]:
    lines = output.strip().splitlines()
    try:
        said = json.loads(lines[-1]) if lines else {}
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
