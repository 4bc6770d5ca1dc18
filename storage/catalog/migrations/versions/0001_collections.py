"""Collections."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of collections."""
    op.create_table(
        "collections",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("dimension", sa.Integer, nullable=False),
        sa.Column("metric", sa.String(32), nullable=False),
        sa.Column("index_options", sa.JSON, nullable=False),
        sa.Column("shards", sa.Integer, nullable=False),
        sa.Column("embedding_model", sa.String(255), nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index(
        "uq_collections_owner_name",
        "collections",
        ["owner", "name"],
        unique=True,
        sqlite_where=sa.text("state != 'dropping'"),
        postgresql_where=sa.text("state != 'dropping'"),
    )


def downgrade() -> None:
    """Drop the table of collections."""
    op.drop_table("collections")
