"""Opening the ledger: engine settings, sessions, and the translation of database errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session as Session  # for those who name what `reading` gives
from sqlalchemy.orm import sessionmaker
from sqlalchemy.types import TypeDecorator

from gateway.errors import LedgerUnavailable

BUSY_TIMEOUT_MS = 15_000
"""How long a SQLite writer waits for another one; every transaction of ours is milliseconds."""


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC datetimes on every database: SQLite would hand them back without a zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        assert value.tzinfo is not None, "the ledger holds aware times only"
        return value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class Ledger:
    """One database. Cheap to share between threads; call `dispose` after a fork."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _engine(url)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Run one transaction: committed at the end, rolled back on any error.

        Raises LedgerUnavailable when the database does not answer or stays locked.
        """
        try:
            with self._sessions.begin() as session:
                yield session
        except IntegrityError:
            raise  # a violated constraint is a mistake of ours, not a database that is away
        except DBAPIError as error:
            raise LedgerUnavailable(f"The ledger does not answer: {error.orig}") from error

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Run reads; nothing is written."""
        try:
            with self._sessions() as session:
                session.connection(execution_options={"reading": True})
                yield session
        except DBAPIError as error:
            raise LedgerUnavailable(f"The ledger does not answer: {error.orig}") from error

    def dispose(self, *, close: bool = True) -> None:
        """Drop pooled connections; close=False after a fork, where they belong to the parent."""
        self.engine.dispose(close=close)


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        # The driver must not open transactions by itself: BEGIN IMMEDIATE below does, so that
        # two writers queue instead of failing when a read lock would have to be upgraded.
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine
