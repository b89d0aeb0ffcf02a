"""Alembic environment: the connection is handed in by gateway.ledger.migrate."""

from alembic import context

from gateway.ledger import accounts_schema  # importing it adds its table to those of schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=accounts_schema.Base.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
