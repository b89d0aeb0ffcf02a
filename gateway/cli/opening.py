"""Opening what a command needs: settings from the environment, the ledger, migrated."""

from datetime import UTC, datetime

from gateway.errors import ConfigurationError
from gateway.ledger import version
from gateway.ledger.engine import Ledger
from gateway.settings import Settings

ACTOR = "command line"


def now() -> datetime:
    return datetime.now(UTC)


def settings() -> Settings:
    return Settings.load()


def ledger(settings: Settings, *, create: bool = False) -> Ledger:
    """Open the ledger. create: bring it to this version's schema.

    An embedded ledger is always brought up to date. Raises ConfigurationError if another one
    is not and create is False.
    """
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o750)
    opened = Ledger(settings.ledger_url)
    if not version.is_current(opened):
        if settings.database_url and not create:
            raise ConfigurationError(
                "The ledger is of another version: run `capsule-gateway migrate`."
            )
        from gateway.ledger import migrate  # Alembic costs a start half a second

        migrate.upgrade(opened)
    return opened


def current_ledger() -> Ledger:
    """Open the ledger the environment names."""
    return ledger(settings())
