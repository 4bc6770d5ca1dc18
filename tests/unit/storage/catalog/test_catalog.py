"""The catalog: states of a collection, uniqueness of names, order of owners."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import uuid4

import pytest
from sqlalchemy.exc import StatementError

from storage.catalog import Catalog, CollectionState
from vectoray.core.errors import CollectionExists
from vectoray.core.model import Collection, IndexKind, IndexOptions, Metric

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def collection(name: str = "docs", owner: str = "local", *, age_s: int = 0) -> Collection:
    at = NOW - timedelta(seconds=age_s)
    return Collection(
        id=str(uuid4()),
        name=name,
        owner=owner,
        dimension=3,
        metric=Metric.EUCLIDEAN,
        index=IndexOptions(kind=IndexKind.FLAT, m=8, seed=2**62),
        hosts=(0, 1),
        created_at=at,
        updated_at=at,
        description="Über alles",
        embedding_model="all-MiniLM-L6-v2",
    )


@pytest.fixture
async def catalog(database_url: str) -> AsyncIterator[Catalog]:
    opened = await Catalog.open(database_url)
    yield opened
    await opened.dispose()


async def made(catalog: Catalog, wanted: Collection) -> Collection:
    await catalog.begin_create(wanted)
    assert await catalog.finish_create(wanted.id)
    return wanted


async def test_a_collection_reads_back_as_it_was_written(catalog: Catalog) -> None:
    wanted = await made(catalog, collection())
    assert await catalog.by_id(wanted.id) == wanted
    assert await catalog.by_name(["local"], "docs") == wanted
    assert await catalog.page(["local"]) == ([wanted], 1)


async def test_times_of_other_zones_read_back_in_utc(catalog: Catalog) -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5)))
    wanted = await made(catalog, replace(collection(), created_at=elsewhere))
    found = await catalog.by_id(wanted.id)
    assert found is not None
    assert found.created_at == NOW
    assert found.created_at.utcoffset() == timedelta(0)


async def test_a_time_without_zone_is_refused(catalog: Catalog) -> None:
    with pytest.raises(StatementError, match="time zone"):
        await catalog.begin_create(replace(collection(), created_at=NOW.replace(tzinfo=None)))


async def test_a_collection_is_visible_only_between_finish_create_and_begin_drop(catalog: Catalog) -> None:
    wanted = collection()
    await catalog.begin_create(wanted)
    assert await catalog.by_name(["local"], "docs") is None
    assert await catalog.by_id(wanted.id) is None
    assert await catalog.page(["local"]) == ([], 0)
    await catalog.finish_create(wanted.id)
    assert await catalog.by_id(wanted.id) == wanted
    assert await catalog.begin_drop(wanted.id)
    assert await catalog.by_name(["local"], "docs") is None
    assert await catalog.page(["local"]) == ([], 0)


async def test_what_a_crash_left_between_begin_and_finish_is_found_after_reopening(database_url: str) -> None:
    first = await Catalog.open(database_url)
    half_made, half_dropped = collection("a", age_s=2), collection("b", age_s=1)
    await first.begin_create(half_made)
    await made(first, half_dropped)
    await first.begin_drop(half_dropped.id)
    await made(first, collection("whole"))
    await first.dispose()

    second = await Catalog.open(database_url)
    assert await second.unfinished() == [
        (half_made, CollectionState.CREATING),
        (half_dropped, CollectionState.DROPPING),
    ]
    await second.dispose()


async def test_a_name_is_taken_from_the_start_of_its_creation(catalog: Catalog) -> None:
    await catalog.begin_create(collection())
    with pytest.raises(CollectionExists):
        await catalog.begin_create(collection())


async def test_two_owners_may_use_one_name(catalog: Catalog) -> None:
    mine, theirs = await made(catalog, collection()), await made(catalog, collection(owner="ann"))
    assert await catalog.by_name(["local"], "docs") == mine
    assert await catalog.by_name(["ann"], "docs") == theirs
    assert await catalog.by_name(["bob"], "docs") is None
    assert await catalog.by_name([], "docs") is None


async def test_a_name_is_looked_up_among_the_first_owner_first(catalog: Catalog) -> None:
    local, anns = await made(catalog, collection()), await made(catalog, collection(owner="ann"))
    assert await catalog.by_name(["ann", "local"], "docs") == anns
    assert await catalog.by_name(["local", "ann"], "docs") == local


async def test_one_of_many_racing_creators_wins(catalog: Catalog) -> None:
    outcomes = await asyncio.gather(
        *(catalog.begin_create(collection()) for _ in range(8)), return_exceptions=True
    )
    assert sum(outcome is None for outcome in outcomes) == 1
    assert sum(isinstance(outcome, CollectionExists) for outcome in outcomes) == 7


async def test_one_of_many_racing_droppers_wins(catalog: Catalog) -> None:
    wanted = await made(catalog, collection())
    outcomes = await asyncio.gather(*(catalog.begin_drop(wanted.id) for _ in range(8)))
    assert sum(outcomes) == 1


async def test_a_dropping_collection_frees_its_name_and_cannot_come_back(catalog: Catalog) -> None:
    old = await made(catalog, collection())
    await catalog.begin_drop(old.id)
    new = await made(catalog, collection())
    assert not await catalog.finish_create(old.id)
    assert await catalog.by_name(["local"], "docs") == new
    await catalog.finish_drop(old.id)
    await catalog.finish_drop(old.id)
    assert await catalog.unfinished() == []


async def test_finish_drop_leaves_an_active_collection_alone(catalog: Catalog) -> None:
    wanted = await made(catalog, collection())
    await catalog.finish_drop(wanted.id)
    assert await catalog.by_id(wanted.id) == wanted


async def test_pages_are_cut_from_the_oldest_on_and_count_everything(catalog: Catalog) -> None:
    names = [(await made(catalog, collection(f"c{n}", age_s=9 - n))).name for n in range(5)]
    items, total = await catalog.page(["local"], skip=1, limit=2)
    assert ([item.name for item in items], total) == (names[1:3], 5)
    assert await catalog.page(["local"], skip=9, limit=2) == ([], 5)
