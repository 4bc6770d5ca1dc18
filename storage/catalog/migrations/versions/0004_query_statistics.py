"""Statistics of queries by collection and day; and what the owner of a collection keeps with it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of statistics, and add the column of collections."""
    op.create_table(
        "query_statistics",
        sa.Column("collection_id", sa.String(36), primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("queries", sa.BigInteger, nullable=False),
        sa.Column("latency_ms", sa.Double, nullable=False),
    )
    op.add_column("collections", sa.Column("config", sa.Text, nullable=True))


def downgrade() -> None:
    """Drop both."""
    op.drop_column("collections", "config")
    op.drop_table("query_statistics")
