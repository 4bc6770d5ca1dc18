"""What looking for work costs: it is asked every second, and must not read all that was ever done."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event

from storage.catalog import Catalog, JobRuns, UrlRuns
from storage.catalog.database import open_database
from tests.unit.storage.catalog.test_catalog import NOW


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """What any database is asked meanwhile."""
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            sent.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.parametrize(("runs", "table"), [(JobRuns, "ingestion_jobs"), (UrlRuns, "project_urls")])
async def test_only_what_is_due_some_time_is_looked_at(
    database_url: str, runs: type[JobRuns | UrlRuns], table: str
) -> None:
    if not database_url.startswith("sqlite"):
        pytest.skip("PostgreSQL chooses by how many rows there are, and reads few of them one by one")
    catalog = await Catalog.open(database_url)
    queue = runs(catalog.database)
    with statements() as sent:
        await queue.due(NOW)
        await queue.claim_next("worker", NOW, NOW + timedelta(seconds=15))
    await catalog.dispose()
    engine, looked = open_database(database_url), list[str]()
    with engine.connect() as connection:
        for statement, parameters in sent:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            looked += [row[3] for row in rows if table in row[3]]
    assert len(looked) >= 4
    for step in looked:
        assert any(f"INDEX ix_{table}_{index}" in step for index in ("due_at", "queue", "lease")), step
    engine.dispose()
