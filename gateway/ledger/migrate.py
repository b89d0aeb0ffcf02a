"""Bringing the ledger to the schema of this version."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from gateway.ledger.engine import Ledger


def upgrade(ledger: Ledger) -> None:
    """Run every migration the ledger has not seen. Safe to run again, and by several at once."""
    config = _config()
    with ledger.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def pending(ledger: Ledger) -> bool:
    """Tell whether the ledger is older than this version of the gateway."""
    with ledger.engine.connect().execution_options(reading=True) as connection:
        if not inspect(connection).has_table("alembic_version"):
            return True
        at = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return at != ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
