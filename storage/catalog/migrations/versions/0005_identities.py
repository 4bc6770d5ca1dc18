"""Who users are to other providers, and whether their email is proven."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of identities; what users had so far is unproven."""
    with op.batch_alter_table("users") as users:
        users.add_column(sa.Column("email_verified", sa.Boolean, nullable=False, server_default=sa.false()))
        users.add_column(sa.Column("epoch", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "identities",
        sa.Column("provider", sa.String(16), primary_key=True),
        sa.Column("subject", sa.String(255), primary_key=True),
        sa.Column("user_id", sa.String(36), sa.ForeignKey("users.id"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_identities_user_id", "identities", ["user_id"])


def downgrade() -> None:
    """Drop what was added."""
    op.drop_table("identities")
    with op.batch_alter_table("users") as users:
        users.drop_column("epoch")
        users.drop_column("email_verified")
