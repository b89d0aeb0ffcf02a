"""A ledger of a test's own: migrated once a run, copied ever after."""

import functools
import tempfile
from pathlib import Path

import pytest

from gateway.ledger import migrate
from gateway.ledger.engine import Ledger


def migrated(path: Path) -> Ledger:
    """Open the SQLite ledger at `path`; an empty one of this version's schema if none is there."""
    if not path.exists():
        path.write_bytes(_empty())
    return Ledger(f"sqlite:///{path}")


def in_home(home: Path) -> Ledger:
    """Open the embedded ledger of a data directory, where Settings look for it."""
    home.mkdir(parents=True, exist_ok=True)
    return migrated(home / "ledger.sqlite")


@pytest.fixture
def ledger(tmp_path):
    opened = in_home(tmp_path)
    yield opened
    opened.dispose()


@functools.cache
def _empty() -> bytes:
    """Return a migrated SQLite file: migrating takes longer than most tests that need one."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "ledger.sqlite"
        ledger = Ledger(f"sqlite:///{path}")
        migrate.upgrade(ledger)
        ledger.dispose()  # the last connection takes the write-ahead log into the file
        return path.read_bytes()
