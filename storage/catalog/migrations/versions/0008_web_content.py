"""Projects, their URLs and shares, and the collection in which each keeps its chunks."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of projects."""
    op.create_table(
        "projects",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("user_id", sa.String(36), sa.ForeignKey("users.id"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_projects_user_id", "projects", ["user_id"])
    # In SQL: Alembic would make SQLite's table anew, and with it whatever refers to it.
    op.execute("ALTER TABLE collections ADD COLUMN project_id VARCHAR(36) REFERENCES projects (id)")
    op.create_index("uq_collections_project_id", "collections", ["project_id"], unique=True)
    op.create_table(
        "project_urls",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column(
            "project_id", sa.String(36), sa.ForeignKey("projects.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("original_url", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("failure_reason", sa.Text, nullable=True),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_updated_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("uq_project_urls_project_id_url", "project_urls", ["project_id", "url"], unique=True)
    op.create_index("ix_project_urls_status", "project_urls", ["status"])
    op.create_table(
        "project_shares",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column(
            "project_id", sa.String(36), sa.ForeignKey("projects.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("user_id", sa.String(36), sa.ForeignKey("users.id"), nullable=True),
        sa.Column("token", sa.Text, nullable=True),
        sa.Column("token_hash", sa.LargeBinary(32), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index(
        "uq_project_shares_project_id_user_id", "project_shares", ["project_id", "user_id"], unique=True
    )
    op.create_index(
        "uq_project_shares_token_of_project",
        "project_shares",
        ["project_id"],
        unique=True,
        sqlite_where=sa.text("token IS NOT NULL"),
        postgresql_where=sa.text("token IS NOT NULL"),
    )
    op.create_index("uq_project_shares_token_hash", "project_shares", ["token_hash"], unique=True)
    op.create_index("ix_project_shares_user_id", "project_shares", ["user_id"])


def downgrade() -> None:
    """Drop the tables of projects. The collections of their chunks stay, and are like any other."""
    op.drop_table("project_shares")
    op.drop_table("project_urls")
    op.drop_index("uq_collections_project_id", "collections")
    with op.batch_alter_table("collections") as table:
        table.drop_column("project_id")
    op.drop_table("projects")
