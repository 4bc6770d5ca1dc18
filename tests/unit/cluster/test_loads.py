"""Bulk loads through the engine: each part is in every shard once, whatever is repeated or fails."""

import os
import time
from pathlib import Path

import pytest

from cluster.local_engine import LocalEngine
from cluster.placement import shard_directory, shard_of
from cluster.sharded_engine import ShardedEngine
from cluster.shards import OpenShards
from storage import bulk
from storage.manifest import manifest_generations, read_manifest
from tests.unit.cluster.conftest import QUIET, batch_of, collection_of
from vectoray.core.errors import DimensionMismatch, ShardUnavailable
from vectoray.core.model import Collection

IDS = [f"p{number}" for number in range(40)]
SHARDS, HOSTS = 5, 3


@pytest.fixture
def engine(tmp_path: Path) -> ShardedEngine:
    return ShardedEngine([OpenShards(tmp_path / f"host-{number}", QUIET) for number in range(HOSTS)])


async def payloads(engine: ShardedEngine, collection: Collection, ids: list[str]) -> list[bytes | None]:
    return [point.payload if point else None for point in await engine.get(collection, ids)]


async def test_a_part_is_in_every_shard_once_however_often_it_is_loaded(engine: ShardedEngine) -> None:
    collection = collection_of(SHARDS, HOSTS)
    await engine.create(collection)
    await engine.write(collection, batch_of(["p0", "before"]))
    await engine.load(collection, "job", "part", batch_of(IDS))
    assert await payloads(engine, collection, ["before", "p0", "p39"]) == [
        b'{"row":1}',
        b'{"row":0}',
        b'{"row":39}',
    ]
    [stats] = await engine.stats([collection])
    assert stats is not None
    assert stats.points == 41
    await engine.write(collection, batch_of(["x", "p1"]))
    await engine.delete(collection, ["p2"])
    await engine.load(collection, "job", "part", batch_of(IDS))
    assert await payloads(engine, collection, ["p1", "p2", "p3"]) == [b'{"row":1}', None, b'{"row":3}']
    await engine.close()


async def test_a_part_counts_as_loaded_once_all_shards_have_it_also_those_without_rows(
    engine: ShardedEngine,
) -> None:
    collection = collection_of(SHARDS, HOSTS)
    await engine.create(collection)
    assert await engine.loaded_parts(collection, "job") == frozenset()
    await engine.load(collection, "job", "small", batch_of(["one"]))
    await engine._hosts[collection.hosts[0]].commit_fragments(collection, "job", "half", {0: []})
    assert await engine.loaded_parts(collection, "job") == {"small"}
    await engine.end_load(collection, "job")
    assert await engine.loaded_parts(collection, "job") == frozenset()
    assert await payloads(engine, collection, ["one"]) == [b'{"row":0}']
    await engine.close()


async def test_a_part_that_one_shard_refused_is_completed_by_asking_again(
    engine: ShardedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = collection_of(SHARDS, HOSTS)
    await engine.create(collection)
    failing = engine._hosts[collection.hosts[1]]

    async def refuse(*_: object) -> None:
        raise ShardUnavailable("Try again.")

    with monkeypatch.context() as patched:
        patched.setattr(failing, "commit_fragments", refuse)
        with pytest.raises(ShardUnavailable):
            await engine.load(collection, "job", "part", batch_of(IDS))
    had = [point for point in await engine.get(collection, IDS) if point is not None]
    assert 0 < len(had) < len(IDS)
    assert {point.id for point in had} == {
        point_id for point_id in IDS if collection.hosts[shard_of(point_id, SHARDS)] != collection.hosts[1]
    }
    # What was changed since stays changed.
    await engine.delete(collection, [had[0].id])
    await engine.load(collection, "job", "part", batch_of(IDS))
    assert [point.id for point in await engine.get(collection, IDS) if point] == [
        point_id for point_id in IDS if point_id != had[0].id
    ]
    await engine.close()


async def test_nothing_of_a_part_is_visible_when_a_fragment_cannot_be_written(engine: ShardedEngine) -> None:
    collection = collection_of(SHARDS, HOSTS)
    await engine.create(collection)
    batch = batch_of(IDS)
    wrong = type(batch)(batch.ids, batch.vectors[:, :3].copy(), batch.payloads, batch.texts)
    with pytest.raises(DimensionMismatch):
        await engine.load(collection, "job", "part", wrong)
    await engine._hosts[collection.hosts[4]].drop(collection, [4])
    with pytest.raises(ShardUnavailable):
        await engine.load(collection, "job", "part", batch)
    on_others = [point_id for point_id in IDS if shard_of(point_id, SHARDS) != 4]
    assert await payloads(engine, collection, on_others) == [None] * len(on_others)
    await engine.close()


async def test_the_ledger_outlives_the_owner_and_ends_with_the_load(tmp_path: Path) -> None:
    collection = collection_of(2)
    engine = LocalEngine(tmp_path, QUIET)
    await engine.create(collection)
    await engine.load(collection, "job", "a", batch_of(IDS[:20]))
    await engine.close()
    again = LocalEngine(tmp_path, QUIET)
    assert await again.loaded_parts(collection, "job") == {"a"}
    await again.load(collection, "job", "b", batch_of(IDS[20:]))
    assert await payloads(again, collection, ["p0", "p39"]) == [b'{"row":0}', b'{"row":19}']
    place = shard_directory(tmp_path, collection.id, 0) / bulk.BULK
    assert list(place.iterdir())
    await again.end_load(collection, "job")
    assert not list(place.iterdir())
    await again.close()


async def test_what_a_dead_load_left_goes_when_another_begins_and_when_the_shard_is_opened(
    tmp_path: Path,
) -> None:
    collection = collection_of(1)
    directory = shard_directory(tmp_path, collection.id, 0)
    engine = LocalEngine(tmp_path, QUIET)
    await engine.create(collection)

    async def leave_behind() -> None:
        await engine.load(collection, "dead", "a", batch_of(IDS))
        bulk.write_fragment(directory, "dead", "b", batch_of(IDS))
        old_s = time.time() - bulk.ABANDONED_AFTER_S - 60
        os.utime(bulk.place_of(directory, "dead"), (old_s, old_s))

    await leave_behind()
    await engine.load(collection, "alive", "a", batch_of(["alive"]))
    assert await engine.loaded_parts(collection, "dead") == frozenset()
    assert not bulk.place_of(directory, "dead").exists()
    await leave_behind()
    await engine.close()
    engine = LocalEngine(tmp_path, QUIET)
    assert await engine.loaded_parts(collection, "alive") == {"a"}
    await engine.close()
    assert not bulk.place_of(directory, "dead").exists()
    newest = read_manifest(directory, manifest_generations(directory)[0])
    assert set(newest.jobs) == {"alive"}


async def test_a_load_that_goes_on_is_not_forgotten_however_long_ago_it_began(tmp_path: Path) -> None:
    collection = collection_of(1)
    directory = shard_directory(tmp_path, collection.id, 0)
    engine = LocalEngine(tmp_path, QUIET)
    await engine.create(collection)
    await engine.load(collection, "long", "a", batch_of(IDS))
    old_s = time.time() - bulk.ABANDONED_AFTER_S - 60
    os.utime(bulk.place_of(directory, "long"), (old_s, old_s))
    bulk.write_fragment(directory, "long", "a", batch_of(IDS))
    await engine.load(collection, "other", "a", batch_of(["x"]))
    assert await engine.loaded_parts(collection, "long") == {"a"}
    await engine.close()
