"""Leases of jobs and URLs, whose turn it is, the workers, and the ledger of documents."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_LEASED = {"ingestion_jobs": ("created_by", "created_at"), "project_urls": ("project_id", "submitted_at")}
_IS_DUE, _IS_TAKEN = sa.text("due_at IS NOT NULL"), sa.text("lease IS NOT NULL")


def upgrade() -> None:
    """Add the columns of leases and create the tables."""
    for table, queue in _LEASED.items():
        op.add_column(table, sa.Column("due_at", sa.DateTime(timezone=True), nullable=True))
        op.add_column(table, sa.Column("lease", sa.String(36), nullable=True))
        op.add_column(table, sa.Column("worker", sa.String(36), nullable=True))
        op.add_column(table, sa.Column("tries", sa.Integer, nullable=False, server_default="0"))
        due: dict[str, Any] = {"sqlite_where": _IS_DUE, "postgresql_where": _IS_DUE}
        taken: dict[str, Any] = {"sqlite_where": _IS_TAKEN, "postgresql_where": _IS_TAKEN}
        op.create_index(f"ix_{table}_due_at", table, ["due_at", "tries"], **due)
        op.create_index(f"ix_{table}_queue", table, [*queue, "id", "due_at"], **due)
        op.create_index(f"ix_{table}_lease", table, ["lease", queue[0]], **taken)
    op.add_column(
        "ingestion_jobs", sa.Column("partial", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.execute("UPDATE ingestion_jobs SET due_at = created_at WHERE status IN ('pending', 'processing')")
    op.execute("UPDATE project_urls SET due_at = submitted_at WHERE status NOT IN ('stored', 'failed')")
    op.create_table(
        "ingestion_turns",
        sa.Column("queue", sa.String(16), primary_key=True),
        sa.Column("who", sa.String(255), primary_key=True),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "ingestion_workers",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("running", sa.Integer, nullable=False),
    )
    op.create_table(
        "ingestion_documents",
        sa.Column("owner_id", sa.String(36), primary_key=True),
        sa.Column("document_id", sa.String(36), primary_key=True),
        sa.Column(
            "collection_id",
            sa.String(36),
            sa.ForeignKey("collections.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("uri", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("chunks", sa.Integer, nullable=False),
        sa.Column("stored_chunks", sa.Integer, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=True),
        sa.Column("fingerprint", sa.String(64), nullable=True),
        sa.Column("fetched_url", sa.Text, nullable=True),
        sa.Column("etag", sa.Text, nullable=True),
        sa.Column("last_modified", sa.Text, nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_ingestion_documents_collection_id", "ingestion_documents", ["collection_id"])


def downgrade() -> None:
    """Drop the tables and the columns of leases."""
    for table in ("ingestion_documents", "ingestion_workers", "ingestion_turns"):
        op.drop_table(table)
    op.drop_column("ingestion_jobs", "partial")
    for table in _LEASED:
        op.drop_index(f"ix_{table}_lease", table)
        op.drop_index(f"ix_{table}_due_at", table)
        op.drop_index(f"ix_{table}_queue", table)
        for column in ("tries", "worker", "lease", "due_at"):
            op.drop_column(table, column)
