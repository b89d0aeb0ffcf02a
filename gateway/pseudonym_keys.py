"""The key of a pseudonym domain: a file only we may read, or one secret for all of them."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from gateway.deidentify.profile import domain_name
from gateway.deidentify.pseudonyms import KEY_BYTES, derived_key
from gateway.errors import ConfigurationError
from gateway.settings import Settings

_HEX = 2 * KEY_BYTES


def key_of(settings: Settings, domain: str) -> bytes:
    """Return the key of a domain; made at its first use.

    Raises ConfigurationError if it cannot be read or kept, or others may read it.
    """
    domain_name(domain)
    if settings.pseudonym_key:
        return derived_key(settings.pseudonym_key.encode(), domain)
    path = settings.home / "pseudonym-keys" / f"{domain}.key"
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ConfigurationError(f"The key {path} cannot be read: {error.strerror}.") from error
    try:
        _make(path)
        return _read(path)
    except OSError as error:
        raise ConfigurationError(f"The key {path} cannot be kept: {error.strerror}.") from error


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    with os.fdopen(descriptor) as file:
        if os.fstat(descriptor).st_mode & 0o077:
            raise ConfigurationError(f"Others may read the key {path}: chmod 600 it.")
        text = file.read(_HEX + 2).strip()
    try:
        key = bytes.fromhex(text)
    except ValueError as error:
        raise ConfigurationError(f"The key {path} is not in hexadecimal digits.") from error
    if len(key) != KEY_BYTES:
        raise ConfigurationError(f"The key {path} has not {_HEX} hexadecimal digits.")
    return key


def _make(path: Path) -> None:
    """Keep a new key. Whole or not at all, and never over another one: workers race."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.draft")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
