"""What is SQLite's own: durable commits, private files, who waits for whom."""

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from storage.catalog import Catalog
from storage.catalog.database import for_writing, migrate, open_database
from vectoray.core.errors import Unavailable


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'cat alog%.db'}"


def test_every_connection_is_durable_and_checks_foreign_keys(database_url: str) -> None:
    engine = open_database(database_url)
    with engine.connect() as one, engine.connect() as two:
        for connection in (one, two):
            pragmas = [
                connection.execute(text(f"PRAGMA {name}")).scalar_one()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            ]
            assert pragmas == ["wal", 2, 1, 10000]
    engine.dispose()


def test_only_its_owner_can_read_the_files(database_url: str, tmp_path: Path) -> None:
    engine = open_database(database_url)
    migrate(engine)
    modes = {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert (len(list(tmp_path.iterdir())) > 1, modes) == (True, {0o600})
    engine.dispose()


async def test_a_database_that_cannot_be_opened_is_unavailable_and_named_nowhere(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as failure:
        await Catalog.open(f"sqlite:///{tmp_path / 'no' / 'catalog.db'}")
    assert str(tmp_path) not in str(failure.value)


def test_a_write_transaction_takes_the_lock_when_it_begins(database_url: str) -> None:
    engine = open_database(database_url)
    with engine.connect() as other:
        other.execute(text("PRAGMA busy_timeout=0"))
        other.rollback()
        with for_writing(engine).begin(), pytest.raises(OperationalError, match="locked"):
            other.exec_driver_sql("CREATE TABLE t (x)")
    engine.dispose()
