"""Statistics of queries in the catalog: added up, read for those who may see, gone with the collection."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta

import pytest
from sqlalchemy import select

from storage.catalog import ANYONE, Catalog, QueryStatistics, QueryTotals
from storage.catalog.statistics_table import QueryStatisticsRow
from tests.unit.storage.catalog.test_catalog import collection, made

MONDAY = date(2026, 1, 5)
TUESDAY = MONDAY + timedelta(days=1)


@pytest.fixture
async def catalog(database_url: str) -> AsyncIterator[Catalog]:
    opened = await Catalog.open(database_url)
    yield opened
    await opened.dispose()


@pytest.fixture
def statistics(catalog: Catalog) -> QueryStatistics:
    return QueryStatistics(catalog.database)


async def test_totals_are_added_up(catalog: Catalog, statistics: QueryStatistics) -> None:
    docs = await made(catalog, collection())
    assert await statistics.of_collection(docs.id) == QueryTotals()
    await statistics.add({(docs.id, MONDAY): QueryTotals(2, 10.0), (docs.id, TUESDAY): QueryTotals(1, 2.0)})
    await statistics.add({(docs.id, MONDAY): QueryTotals(1, 6.0)})
    found = await statistics.of_collection(docs.id)
    assert found == QueryTotals(4, 18.0)
    assert found.average_ms == 4.5
    assert QueryTotals().average_ms == 0


async def test_processes_that_add_at_once_lose_nothing(database_url: str, catalog: Catalog) -> None:
    docs = await made(catalog, collection())
    other = await Catalog.open(database_url)
    one = {(docs.id, MONDAY): QueryTotals(1, 0.5)}
    writers = [QueryStatistics(catalog.database), QueryStatistics(other.database)]
    await asyncio.gather(*(writers[number % 2].add(one) for number in range(20)))
    assert await writers[0].of_collection(docs.id) == QueryTotals(20, 10.0)
    await other.dispose()


async def test_everybody_is_told_of_their_own(catalog: Catalog, statistics: QueryStatistics) -> None:
    ann, bob, more = [
        await made(catalog, collection(name, owner))
        for name, owner in (("a", "ann"), ("b", "bob"), ("c", "ann"))
    ]
    await statistics.add(
        {
            (ann.id, MONDAY): QueryTotals(1, 1.0),
            (bob.id, TUESDAY): QueryTotals(2, 2.0),
            (more.id, TUESDAY): QueryTotals(4, 4.0),
        }
    )
    assert await statistics.of_owners(["ann"]) == QueryTotals(5, 5.0)
    assert await statistics.of_owners(["ann"], among=frozenset((more.id, bob.id))) == QueryTotals(4, 4.0)
    assert await statistics.of_owners(["bob", ANYONE]) == QueryTotals(7, 7.0)
    assert await statistics.of_owners(["carl"]) == QueryTotals()
    assert await statistics.by_day(["ann"], since=MONDAY) == {
        MONDAY: QueryTotals(1, 1.0),
        TUESDAY: QueryTotals(4, 4.0),
    }
    assert await statistics.by_day(["ann", ANYONE], since=TUESDAY) == {TUESDAY: QueryTotals(6, 6.0)}


async def test_a_collection_that_goes_takes_its_figures_along(
    catalog: Catalog, statistics: QueryStatistics
) -> None:
    docs, other = await made(catalog, collection()), await made(catalog, collection("other"))
    both = {(docs.id, MONDAY): QueryTotals(1, 1.0), (other.id, MONDAY): QueryTotals(1, 1.0)}
    await statistics.add(both)
    await catalog.begin_drop(docs.id)
    assert await statistics.of_owners(["local"]) == QueryTotals(1, 1.0)
    await catalog.finish_drop(docs.id)
    await statistics.add(both)
    left = select(QueryStatisticsRow.collection_id, QueryStatisticsRow.queries)
    rows = await catalog.database.read(lambda session: session.execute(left).all())
    assert [tuple(row) for row in rows] == [(other.id, 2)]


async def test_dropping_what_is_active_keeps_its_figures(
    catalog: Catalog, statistics: QueryStatistics
) -> None:
    docs = await made(catalog, collection())
    await statistics.add({(docs.id, MONDAY): QueryTotals(1, 1.0)})
    await catalog.finish_drop(docs.id)
    assert await statistics.of_collection(docs.id) == QueryTotals(1, 1.0)
