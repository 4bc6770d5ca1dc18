"""Migrations: they make what the models say, once, whoever runs them at the same time."""

import asyncio
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from storage.catalog import Catalog
from storage.catalog.database import migrate, open_database
from storage.catalog.tables import Base
from tests.unit.storage.catalog.test_catalog import collection, made

INDEXES = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql NOT NULL ORDER BY name",
    "postgresql": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' "
    "AND tablename != 'alembic_version' ORDER BY indexname",
}


def test_migrations_make_what_the_models_say(empty_database_url: str, other_empty_database_url: str) -> None:
    migrated, modelled = open_database(empty_database_url), open_database(other_empty_database_url)
    migrate(migrated)
    Base.metadata.create_all(modelled)
    # Alembic compares all but the condition of a partial index.
    indexes = INDEXES[migrated.dialect.name]
    with migrated.connect() as one, modelled.connect() as other:
        assert compare_metadata(MigrationContext.configure(one), Base.metadata) == []
        assert one.execute(text(indexes)).all() == other.execute(text(indexes)).all() != []
    migrated.dispose()
    modelled.dispose()


async def test_migrating_twice_keeps_the_rows(empty_database_url: str) -> None:
    first = await Catalog.open(empty_database_url)
    wanted = await made(first, collection())
    await first.dispose()
    second = await Catalog.open(empty_database_url)
    assert await second.by_id(wanted.id) == wanted
    await second.dispose()


async def test_engines_that_migrate_at_once_agree(empty_database_url: str) -> None:
    catalogs = await asyncio.gather(*(Catalog.open(empty_database_url) for _ in range(4)))
    wanted = await made(catalogs[0], collection())
    assert await catalogs[3].by_id(wanted.id) == wanted
    for opened in catalogs:
        await opened.dispose()


@pytest.mark.slow
def test_processes_that_migrate_at_once_agree(empty_database_url: str) -> None:
    program = (
        "import asyncio, sys\n"
        "from storage.catalog import Catalog\n"
        "async def main():\n"
        "    print('ready', flush=True)\n"
        "    sys.stdin.readline()\n"
        "    catalog = await Catalog.open(sys.argv[1])\n"
        "    await catalog.dispose()\n"
        "asyncio.run(main())\n"
    )
    root = Path(__file__).parents[4]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", program, empty_database_url],
                    cwd=root,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            for _ in range(3)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
        assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
