"""Alembic environment: the connection is handed in by gateway.ledger.migrate."""

from alembic import context

from gateway.ledger import accounts_schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=accounts_schema.User.metadata,  # with the tables of schema, which it imports
    render_as_batch=True,  # SQLite alters a table by copying it
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
