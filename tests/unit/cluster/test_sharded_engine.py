"""The engine over several hosts answers as one shard would, or not at all."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from cluster.placement import shard_of
from cluster.sharded_engine import ShardedEngine
from cluster.shards import OpenShards
from tests.unit.cluster.conftest import QUIET, batch_of, collection_of, vectors_of
from vectoray.core.errors import ShardUnavailable
from vectoray.core.filters import Range
from vectoray.core.model import Collection, Metric, SearchQuery, WriteResult

IDS = [f"p{number}" for number in range(40)]

OpenEngine = Callable[..., Awaitable[ShardedEngine]]


@pytest.fixture
async def open_engine(tmp_path: Path) -> AsyncIterator[OpenEngine]:
    """Makes engines over hosts with a folder each; drops their collections and closes them at the end."""
    opened: list[tuple[ShardedEngine, list[Collection]]] = []

    async def open_one(hosts: int, *collections: Collection) -> ShardedEngine:
        place = tmp_path / f"engine-{len(opened)}"
        engine = ShardedEngine([OpenShards(place / f"host-{number}", QUIET) for number in range(hosts)])
        opened.append((engine, list(collections)))
        for collection in collections:
            await engine.create(collection)
        return engine

    yield open_one
    for engine, collections in opened:
        for collection in collections:
            await engine.drop(collection)
        await engine.close()


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize(("hosts", "shards"), [(1, 1), (1, 5), (2, 3), (3, 2), (3, 5)])
async def test_any_spread_over_hosts_and_shards_answers_as_a_single_shard(
    open_engine: OpenEngine, hosts: int, shards: int, metric: Metric
) -> None:
    single = collection_of(1, metric=metric)
    spread = collection_of(shards, hosts, metric=metric)
    reference, engine = await open_engine(1, single), await open_engine(hosts, spread)
    for number in range(3):
        # Each batch overwrites half of the one before.
        batch = batch_of(IDS[10 * number : 10 * number + 20], seed=number)
        assert await engine.write(spread, batch) == await reference.write(single, batch) == WriteResult(20)
    gone = ["p7", "missing", "p30", "p7", "p0"]
    assert await engine.delete(spread, gone) == await reference.delete(single, gone) == ["p7", "p30", "p0"]

    for query in vectors_of(4, seed=9):
        for search in (
            SearchQuery(query, top_k=1),
            SearchQuery(query, top_k=7),
            SearchQuery(query, top_k=100),
            SearchQuery(query, top_k=5, filter=Range(("row",), gte=5, lt=15)),
            SearchQuery(query, top_k=20, score_threshold=0.4),
        ):
            assert await engine.search(spread, search) == await reference.search(single, search)
    for found in (*await engine.stats([spread]), *await reference.stats([single])):
        assert found is not None
        assert found.points == 37
        assert found.last_write_ms > 0


async def test_get_answers_in_the_order_asked_with_gaps_and_repetitions(open_engine: OpenEngine) -> None:
    collection = collection_of(5, 2)
    engine = await open_engine(2, collection)
    await engine.write(collection, batch_of(IDS))
    asked = ["p3", "missing", "p39", "p3", "p0"]
    points = await engine.get(collection, asked)
    assert [point and point.id for point in points] == ["p3", None, "p39", "p3", "p0"]
    assert [point and point.payload for point in points[2:]] == [b'{"row":39}', b'{"row":3}', b'{"row":0}']
    assert await engine.get(collection, []) == []


async def test_deletes_come_back_in_the_order_asked_each_once(open_engine: OpenEngine) -> None:
    collection = collection_of(5, 3)
    engine = await open_engine(3, collection)
    await engine.write(collection, batch_of(IDS))
    asked = [*reversed(IDS[10:]), "missing", "p20", *IDS[5:15]]
    assert await engine.delete(collection, asked) == [*reversed(IDS[10:]), *IDS[5:10]]
    assert await engine.delete(collection, asked) == []
    assert await engine.delete(collection, []) == []
    assert [point is not None for point in await engine.get(collection, IDS)] == [True] * 5 + [False] * 35


async def test_the_last_of_equal_ids_in_a_batch_wins_in_its_shard(open_engine: OpenEngine) -> None:
    collection = collection_of(5, 2)
    engine = await open_engine(2, collection)
    assert await engine.write(collection, batch_of(["a", "b", "a"])) == WriteResult(3)
    found = await engine.get(collection, ["a", "b"])
    assert [point and point.payload for point in found] == [b'{"row":2}', b'{"row":1}']


async def test_each_host_has_its_shards_and_no_others(open_engine: OpenEngine, tmp_path: Path) -> None:
    collection = collection_of(5, 3)
    await open_engine(3, collection)
    found = {
        (int(path.parent.parent.parent.name.removeprefix("host-")), int(path.name.removeprefix("shard-")))
        for path in (tmp_path / "engine-0").glob("host-*/collections/*/shard-*")
    }
    assert found == {(host, shard) for shard, host in enumerate(collection.hosts)}


async def test_collections_on_the_same_hosts_do_not_mix(open_engine: OpenEngine) -> None:
    one, two = collection_of(3, 2, number=1), collection_of(2, 2, number=2)
    engine = await open_engine(2, one, two)
    await engine.write(one, batch_of(["a", "b", "c"]))
    await engine.write(two, batch_of(["a"], seed=5))
    assert [stats and stats.points for stats in await engine.stats([two, one])] == [1, 3]
    assert await engine.stats([]) == []
    await engine.delete(two, ["a"])
    assert [stats and stats.points for stats in await engine.stats([one, two])] == [3, 0]
    await engine.drop(two)
    assert len(await engine.search(one, SearchQuery(vectors_of(1)[0]))) == 3


async def test_one_shard_that_is_away_fails_the_call_and_never_shortens_the_answer(
    open_engine: OpenEngine,
) -> None:
    collection = collection_of(5, 3)
    engine = await open_engine(3, collection)
    await engine.write(collection, batch_of(IDS))
    away = 4
    await engine._hosts[collection.hosts[away]].drop(collection, [away])
    on_it = [point_id for point_id in IDS if shard_of(point_id, 5) == away]
    beside_it = [point_id for point_id in IDS if shard_of(point_id, 5) != away]
    assert on_it

    query = vectors_of(1)[0]
    for search in (SearchQuery(query, top_k=1), SearchQuery(query, filter=Range(("row",), gte=0))):
        with pytest.raises(ShardUnavailable) as caught:
            await engine.search(collection, search)
        assert caught.value.details == {"shard": away}
    for call in (
        engine.get(collection, IDS),
        engine.write(collection, batch_of(IDS)),
        engine.delete(collection, IDS),
    ):
        with pytest.raises(ShardUnavailable):
            await call
    assert await engine.stats([collection]) == [None]
    # What the shard has no part in goes on; the deletes above reached the other shards.
    assert await engine.write(collection, batch_of(beside_it)) == WriteResult(len(beside_it))
    assert all(await engine.get(collection, beside_it))


async def test_an_engine_opened_again_finds_what_was_acknowledged(tmp_path: Path) -> None:
    collection = collection_of(2, 2)

    def engine_again() -> ShardedEngine:
        return ShardedEngine([OpenShards(tmp_path / f"host-{number}", QUIET) for number in range(2)])

    first = engine_again()
    await first.create(collection)
    await first.write(collection, batch_of(IDS))
    await first.close()
    second = engine_again()
    await second.create(collection)
    assert [point and point.id for point in await second.get(collection, IDS)] == IDS
    await second.drop(collection)
    await second.close()


async def test_a_host_that_is_not_there_fails_the_call(open_engine: OpenEngine) -> None:
    collection = collection_of(5, 3)
    assert set(collection.hosts) == {0, 1, 2}
    engine = await open_engine(2)
    with pytest.raises(ShardUnavailable):
        await engine.search(collection, SearchQuery(vectors_of(1)[0]))


async def test_a_collection_on_a_host_that_is_no_more_hides_the_stats_of_no_other(
    open_engine: OpenEngine,
) -> None:
    here, lost = collection_of(2, 1), collection_of(6, 3, number=1)
    assert max(lost.hosts) > 0
    engine = await open_engine(1, here)
    await engine.write(here, batch_of(IDS))
    found = await engine.stats([lost, here, lost])
    assert found[0] is None
    assert found[2] is None
    assert found[1] is not None
    assert found[1].points == len(IDS)
    with pytest.raises(ShardUnavailable, match="there are 1 hosts"):
        await engine.search(lost, SearchQuery(vectors_of(1)[0]))
