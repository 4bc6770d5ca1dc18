"""Which host owns each shard of a collection, in place of the number of shards."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the hosts. Until now there was one."""
    op.add_column("collections", sa.Column("hosts", sa.JSON, nullable=True))
    collections = sa.table(
        "collections",
        sa.column("id", sa.String),
        sa.column("shards", sa.Integer),
        sa.column("hosts", sa.JSON),
    )
    connection = op.get_bind()
    for collection_id, shards in connection.execute(sa.select(collections.c.id, collections.c.shards)).all():
        of_one = collections.c.id == collection_id
        connection.execute(collections.update().where(of_one).values(hosts=[0] * shards))
    with op.batch_alter_table("collections") as table:
        table.alter_column("hosts", existing_type=sa.JSON, nullable=False)
        table.drop_column("shards")


def downgrade() -> None:
    """Keep the number of shards alone."""
    op.add_column("collections", sa.Column("shards", sa.Integer, nullable=True))
    connection = op.get_bind()
    for collection_id, hosts in connection.execute(sa.text("SELECT id, hosts FROM collections")).all():
        shards = len(json.loads(hosts) if isinstance(hosts, str) else hosts)
        connection.execute(
            sa.text("UPDATE collections SET shards = :shards WHERE id = :id"),
            {"shards": shards, "id": collection_id},
        )
    with op.batch_alter_table("collections") as table:
        table.alter_column("shards", existing_type=sa.Integer, nullable=False)
        table.drop_column("hosts")
