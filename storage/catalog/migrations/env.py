"""Runs the migrations on the connection, and in the transaction, that the caller holds."""

from alembic import context

from storage.catalog.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
context.run_migrations()
