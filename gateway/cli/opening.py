"""Opening what a command needs: settings from the environment, the ledger, migrated."""

from datetime import UTC, datetime

from gateway.errors import ConfigurationError
from gateway.ledger import migrate
from gateway.ledger.engine import Ledger
from gateway.settings import Settings

ACTOR = "command line"


def now() -> datetime:
    return datetime.now(UTC)


def settings() -> Settings:
    return Settings.load()


def ledger(settings: Settings, *, create: bool = False) -> Ledger:
    """Open the ledger. create: bring it to this version's schema first.

    Raises ConfigurationError if it is older than this version and create is False.
    """
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o750)
    opened = Ledger(settings.ledger_url)
    if create or not settings.database_url:
        migrate.upgrade(opened)
    elif migrate.pending(opened):
        raise ConfigurationError(
            "The ledger is of an older version: run `capsule-gateway migrate`."
        )
    return opened


def current_ledger() -> Ledger:
    """Open the ledger the environment names."""
    return ledger(settings())
