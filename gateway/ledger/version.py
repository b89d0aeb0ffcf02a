"""Which schema the ledger has, told without loading the migrations."""

from pathlib import Path

from sqlalchemy import inspect, text

from gateway.ledger.engine import Ledger

_MIGRATIONS = Path(__file__).parent / "migrations" / "versions"


def head() -> str:
    """Return the revision of the latest migration: the number its file name begins with."""
    return max(path.name.partition("_")[0] for path in _MIGRATIONS.glob("[0-9]*_*.py"))


def is_current(ledger: Ledger) -> bool:
    """Tell whether the ledger has the schema of this version of the gateway."""
    with ledger.engine.connect().execution_options(reading=True) as connection:
        if not inspect(connection).has_table("alembic_version"):
            return False
        at = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return bool(at == head())
