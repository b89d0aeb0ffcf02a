"""Which listener process an association belongs to, and whether that process lives.

A process that receives holds a lock on HOME/run/listeners/<token>.lock, which the kernel drops
when it ends, however it ends. Its name, `<node>/<token>`, stands on every association it
opens. The node is this data directory's own id, so that several gateways may share a ledger:
each judges its own processes and takes those of the others to live.
"""

import contextlib
import fcntl
import os
import secrets
from pathlib import Path

from gateway.errors import ConfigurationError
from gateway.settings import Settings

NODE_BYTES, TOKEN_BYTES = 6, 8


class Presence:
    """The lock this process holds until `close`, or until it ends."""

    def __init__(self, settings: Settings) -> None:
        """Take a new name. Raises ConfigurationError if the data directory cannot be written."""
        token = secrets.token_hex(TOKEN_BYTES)
        self.name = f"{node_id(settings)}/{token}"
        self._path = _directory(settings) / f"{token}.lock"
        draft = self._path.with_suffix(".tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            draft.rename(self._path)  # whoever finds it by its name finds it locked
        except OSError as error:
            raise ConfigurationError(f"CAPSULE_HOME: cannot lock {draft}: {error}") from error

    def close(self) -> None:
        """Say that this process receives no longer."""
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)


class Living:
    """Tells which listeners live; asks about each once, so make a new one for each question."""

    def __init__(self, settings: Settings) -> None:
        self._node, self._directory = node_id(settings), _directory(settings)
        self._known: dict[str, bool] = {}

    def __contains__(self, name: object) -> bool:
        listener = str(name)
        if listener not in self._known:
            self._known[listener] = self._lives(listener)
        return self._known[listener]

    def _lives(self, name: str) -> bool:
        node, _, token = name.partition("/")
        if node != self._node:
            return node != ""  # another gateway's; without a name, an older version's
        return _is_locked(self._directory / f"{token}.lock")

    def forget_ended(self) -> None:
        """Remove the lock files of processes that ended without a chance to do it themselves."""
        for path in self._directory.glob("*.lock"):
            if not _is_locked(path):
                path.unlink(missing_ok=True)


def node_id(settings: Settings) -> str:
    """Return the data directory's id from HOME/node-id, made there once.

    Raises ConfigurationError if it cannot be made or read.
    """
    path = settings.home / "node-id"
    try:
        if not path.exists():
            settings.home.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
            draft.write_text(secrets.token_hex(NODE_BYTES))
            with contextlib.suppress(FileExistsError):  # another process was first
                os.link(draft, path)
            draft.unlink()
        return path.read_text().strip()
    except OSError as error:
        raise ConfigurationError(f"CAPSULE_HOME: cannot keep {path}: {error}") from error


def _directory(settings: Settings) -> Path:
    return settings.run_dir / "listeners"


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
