"""Counts of queries: kept in memory, written together, and never lost or written twice."""

import asyncio
from collections.abc import Iterator, Mapping, MutableMapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast
from unittest.mock import patch

import pytest
from structlog.testing import capture_logs

from serve.query_counts import QueryCounts
from storage.catalog import QueryStatistics, QueryTotals
from vectoray.core.errors import Unavailable

TODAY = datetime.now(UTC).date()


class Written:
    """Takes what is written; may fail, or wait."""

    def __init__(self) -> None:
        self.batches: asyncio.Queue[dict[tuple[str, date], QueryTotals]] = asyncio.Queue()
        self.failure: Exception | None = None
        self.entered = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def add(self, counted: Mapping[tuple[str, date], QueryTotals]) -> None:
        self.entered.set()
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.batches.put_nowait(dict(counted))

    def counts(self, interval_s: float = 3600) -> QueryCounts:
        return QueryCounts(cast("QueryStatistics", self), interval_s=interval_s)


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as captured:
        yield captured


async def test_what_was_counted_is_written_together(written: Written) -> None:
    counts = written.counts()
    for collection_id, elapsed_ms in (("a", 1.0), ("b", 5.0), ("a", 3.0)):
        counts.note(collection_id, elapsed_ms)
    assert written.batches.empty()
    await counts.flush()
    assert written.batches.get_nowait() == {
        ("a", TODAY): QueryTotals(2, 4.0),
        ("b", TODAY): QueryTotals(1, 5.0),
    }
    await counts.flush()
    await counts.close()
    assert written.batches.empty()


async def test_nobody_needs_to_ask_for_it_to_be_written(written: Written) -> None:
    counts = written.counts(interval_s=0.001)
    for _ in range(2):
        counts.note("a", 1.0)
        assert await written.batches.get() == {("a", TODAY): QueryTotals(1, 1.0)}
    await counts.close()


async def test_closing_writes_the_rest(written: Written) -> None:
    counts = written.counts()
    counts.note("a", 1.0)
    await counts.close()
    assert written.batches.get_nowait() == {("a", TODAY): QueryTotals(1, 1.0)}


async def test_what_could_not_be_written_is_written_later(
    written: Written, logs: list[MutableMapping[str, Any]]
) -> None:
    counts = written.counts()
    counts.note("a", 1.0)
    written.failure = Unavailable("Down.")
    await counts.flush()
    assert [line["event"] for line in logs] == ["queries_not_counted_yet"]
    written.failure = None
    counts.note("a", 2.0)
    await counts.close()
    assert written.batches.get_nowait() == {("a", TODAY): QueryTotals(2, 3.0)}


async def test_what_could_not_be_written_keeps_its_day(written: Written) -> None:
    counts = written.counts()
    with patch("serve.query_counts.datetime") as clock:
        clock.now.return_value = datetime.now(UTC) - timedelta(days=1)
        counts.note("a", 1.0)
        written.failure = Unavailable("Down.")
        await counts.flush()
    written.failure = None
    counts.note("a", 1.0)
    await counts.close()
    assert written.batches.get_nowait().keys() == {("a", TODAY - timedelta(days=1)), ("a", TODAY)}


async def test_a_reader_that_leaves_does_not_have_it_written_twice(written: Written) -> None:
    counts = written.counts()
    counts.note("a", 1.0)
    written.gate.clear()
    reader = asyncio.create_task(counts.flush())
    await written.entered.wait()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    counts.note("a", 1.0)
    written.gate.set()
    await counts.close()
    assert written.batches.get_nowait() == {("a", TODAY): QueryTotals(1, 1.0)}
    assert written.batches.get_nowait() == {("a", TODAY): QueryTotals(1, 1.0)}
    assert written.batches.empty()
