"""Alembic environment: the connection is handed in by gateway.ledger.migrate."""

from alembic import context

from gateway.ledger import (  # noqa: F401 - their tables
    accounts_schema,
    deidentification_schema,
    delivery_schema,
    schema,
    steps_schema,
)
from gateway.ledger.base import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
