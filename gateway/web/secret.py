"""The key that signs console sessions."""

import contextlib
import os
import secrets
from pathlib import Path

from gateway.errors import ConfigurationError
from gateway.settings import Settings


def secret_key(settings: Settings) -> str:
    """Return the configured key, or the one in HOME/secret-key, made there once.

    Raises ConfigurationError if the file cannot be made or read.
    """
    if settings.secret_key:
        return settings.secret_key
    path = settings.home / "secret-key"
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            _write_once(path, secrets.token_urlsafe(48))
        return path.read_text().strip()
    except OSError as error:
        raise ConfigurationError(
            f"CAPSULE_SECRET_KEY: cannot keep one in {path}: {error}"
        ) from error


def _write_once(path: Path, key: str) -> None:
    """Write the key whole or not at all; raises FileExistsError if another process was first."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(key)
        os.link(draft, path)
    finally:
        draft.unlink()
