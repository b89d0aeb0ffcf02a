"""Bringing the ledger to the schema of this version."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from gateway.ledger.engine import Ledger


def upgrade(ledger: Ledger) -> None:
    """Run every migration the ledger has not seen. Safe to run again, and by several at once."""
    config = _config()
    with ledger.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
