"""Creating, dropping and recovering collections when the engine fails, the caller leaves or a crash comes."""

import asyncio
from collections.abc import AsyncIterator, Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from cluster.engine import Engine
from serve.auth import Principal
from serve.service.collections import CollectionService, NewCollection
from serve.service.completion import Completion
from serve.service.event_relay import EventRelay
from serve.service.limits import CollectionDefaults, Limits
from serve.service.ownership import ById, ByName, find_collection
from serve.service.recovery import recover_unfinished
from storage.catalog import Catalog, CollectionState
from storage.events import EventLog
from vectoray.core.accounts import Scope
from vectoray.core.errors import CollectionNotFound, ShardUnavailable
from vectoray.core.model import Collection, Metric

ANN = Principal("ann")
BOB = Principal("bob")
DOCS = NewCollection(name="docs", dimension=2, metric=Metric.COSINE)


@dataclass
class ShardsOnly:
    """The part of an engine that makes and removes shards; it can be made to fail or to wait."""

    made: set[str] = field(default_factory=set)
    failure: Exception | None = None
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def place(self, collection_id: str, shards: int) -> tuple[int, ...]:
        return (0,) * shards

    async def create(self, collection: Collection) -> None:
        self.entered.set()
        await self.gate.wait()
        self.made.add(collection.id)
        if self.failure is not None:
            raise self.failure

    async def drop(self, collection: Collection) -> None:
        if self.failure is not None:
            raise self.failure
        self.made.discard(collection.id)


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as captured:
        yield captured


@pytest.fixture
async def catalog(database_url: str) -> AsyncIterator[Catalog]:
    opened = await Catalog.open(database_url)
    yield opened
    await opened.dispose()


@pytest.fixture
def shards() -> ShardsOnly:
    shards = ShardsOnly()
    shards.gate.set()
    return shards


@pytest.fixture
def relay(catalog: Catalog, events_url: str) -> Iterator[EventRelay]:
    events = EventLog.open(events_url)
    yield EventRelay(catalog, events)
    events.dispose()


@pytest.fixture
def service(catalog: Catalog, shards: ShardsOnly, relay: EventRelay) -> CollectionService:
    engine = cast("Engine", shards)
    return CollectionService(catalog, engine, Limits(), CollectionDefaults(shards=3), Completion(), [], relay)


async def test_a_collection_belongs_to_its_creator_alone(
    catalog: Catalog, service: CollectionService
) -> None:
    made = await service.create(ANN, DOCS)
    assert (made.owner, made.shards) == ("ann", 3)
    for address in (ByName("docs"), ById(made.id)):
        assert await find_collection(catalog, ANN, address, Scope.READ) == made
        with pytest.raises(CollectionNotFound):
            await find_collection(catalog, BOB, address, Scope.READ)
        with pytest.raises(CollectionNotFound):
            await service.drop(BOB, address)
    await service.create(BOB, DOCS)


@pytest.mark.parametrize("failure", [ShardUnavailable("Down."), RuntimeError("bug")])
async def test_a_creation_that_failed_is_never_seen(
    catalog: Catalog, service: CollectionService, shards: ShardsOnly, failure: Exception
) -> None:
    shards.failure = failure
    with pytest.raises(type(failure)):
        await service.create(ANN, DOCS)
    assert await catalog.page(["ann"]) == ([], 0)
    shards.failure = None
    made = await service.create(ANN, DOCS)
    assert made.id in shards.made


async def test_a_creation_whose_caller_leaves_runs_to_its_end(
    catalog: Catalog, service: CollectionService, shards: ShardsOnly
) -> None:
    shards.gate.clear()
    creation = asyncio.create_task(service.create(ANN, DOCS))
    await shards.entered.wait()
    creation.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creation
    shards.gate.set()
    await service.completion.wait()
    assert await catalog.by_name(["ann"], "docs") is not None
    assert await catalog.unfinished() == []


async def test_a_drop_stands_even_if_the_shards_remain(
    catalog: Catalog, service: CollectionService, shards: ShardsOnly, logs: list[MutableMapping[str, Any]]
) -> None:
    made = await service.create(ANN, DOCS)
    shards.failure = ShardUnavailable("Down.")
    await service.drop(ANN, ByName("docs"))
    assert await catalog.by_name(["ann"], "docs") is None
    assert await catalog.unfinished() == [(made, CollectionState.DROPPING)]
    assert [line["event"] for line in logs] == ["collection_left_to_remove"]

    shards.failure = None
    await recover_unfinished(catalog, cast("Engine", shards))
    assert shards.made == set()
    assert await catalog.unfinished() == []


async def test_a_creation_cut_by_a_crash_is_completed(
    catalog: Catalog, service: CollectionService, shards: ShardsOnly
) -> None:
    model = await service.create(BOB, DOCS)
    half = Collection(
        id="00000000-0000-0000-0000-000000000001",
        name="half",
        owner="ann",
        dimension=2,
        metric=model.metric,
        index=model.index,
        hosts=(0,),
        created_at=model.created_at,
        updated_at=model.updated_at,
    )
    await catalog.begin_create(half)
    await recover_unfinished(catalog, cast("Engine", shards))
    assert await catalog.by_name(["ann"], "half") == half
    assert half.id in shards.made


async def test_what_cannot_be_recovered_waits_for_the_next_start(
    catalog: Catalog, service: CollectionService, shards: ShardsOnly, logs: list[MutableMapping[str, Any]]
) -> None:
    made = await service.create(ANN, DOCS)
    await catalog.begin_drop(made.id)
    shards.failure = ShardUnavailable("Down.")
    await recover_unfinished(catalog, cast("Engine", shards))
    assert await catalog.unfinished() == [(made, CollectionState.DROPPING)]
    assert [line["event"] for line in logs] == ["collection_left_unfinished"]
