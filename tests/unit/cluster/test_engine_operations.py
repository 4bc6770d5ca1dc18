"""Writes with conditions, hybrid searches, pages and scans answer over any spread as over one shard."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from cluster.placement import shard_of
from cluster.sharded_engine import ShardedEngine
from cluster.shards import OpenShards
from storage.writer import ShardWriter
from tests.unit.cluster.conftest import QUIET, batch_of, collection_of, vectors_of
from vectoray.core.errors import ShardUnavailable
from vectoray.core.filters import Range
from vectoray.core.hybrid import HybridQuery, ReciprocalRank, Weighted
from vectoray.core.model import Collection, Hit, Point, PointBatch, WriteMode, WriteResult

IDS = [f"p{number}" for number in range(40)]
SPREAD = collection_of(5, 2)
SINGLE = collection_of(1, number=1)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[ShardedEngine]:
    """Two hosts, with a collection on both and one of a single shard."""
    engine = ShardedEngine([OpenShards(tmp_path / f"host-{number}", QUIET) for number in range(2)])
    for collection in (SPREAD, SINGLE):
        await engine.create(collection)
    yield engine
    await engine.close()


def ids_of(points: list[Point]) -> list[str]:
    return [point.id for point in points]


@pytest.mark.parametrize("collection", [SPREAD, SINGLE], ids=["spread", "single"])
async def test_rows_that_the_mode_refuses_are_named_and_the_others_written(
    engine: ShardedEngine, collection: Collection
) -> None:
    await engine.write(collection, batch_of(IDS[:10]))
    inserted = await engine.write(collection, batch_of(IDS[5:15], seed=1), WriteMode.INSERT, atomic=False)
    assert inserted == WriteResult(5, (0, 1, 2, 3, 4))
    updated = await engine.write(collection, batch_of(IDS[10:20], seed=2), WriteMode.UPDATE, atomic=False)
    assert updated == WriteResult(5, (5, 6, 7, 8, 9))
    [kept] = await engine.get(collection, ["p5"])
    assert kept is not None
    assert kept.payload == b'{"row":5}'


@pytest.mark.parametrize("collection", [SPREAD, SINGLE], ids=["spread", "single"])
async def test_a_refused_row_refuses_its_whole_shard_and_no_other(
    engine: ShardedEngine, collection: Collection
) -> None:
    await engine.write(collection, batch_of(["p3"]))
    result = await engine.write(collection, batch_of(IDS), WriteMode.INSERT)
    there = [point is not None for point in await engine.get(collection, IDS)]
    beside = [shard_of(one, collection.shards) != shard_of("p3", collection.shards) for one in IDS]
    assert result == WriteResult(sum(beside), (3,))
    assert there == [ok or point_id == "p3" for ok, point_id in zip(beside, IDS, strict=True)]


@pytest.mark.parametrize("collection", [SPREAD, SINGLE], ids=["spread", "single"])
async def test_rows_that_another_write_came_before_are_refused(
    engine: ShardedEngine, collection: Collection
) -> None:
    await engine.write(collection, batch_of(IDS))
    before = await engine.get(collection, IDS)
    seqs = np.array([point.seq for point in before if point is not None], dtype=np.uint64)
    await engine.write(collection, batch_of(["p7", "p30"], seed=1))
    result = await engine.write(collection, batch_of(IDS, seed=2), atomic=False, expected_seqs=seqs)
    assert result == WriteResult(38, (7, 30))


@pytest.mark.parametrize("collection", [SPREAD, SINGLE], ids=["spread", "single"])
async def test_points_are_deleted_by_what_their_payload_says(
    engine: ShardedEngine, collection: Collection
) -> None:
    await engine.write(collection, batch_of(IDS))
    deleted = await engine.delete_matching(collection, Range(("row",), gte=5, lt=15))
    assert sorted(deleted) == sorted(IDS[5:15])
    assert await engine.delete_matching(collection, Range(("row",), gte=5, lt=15)) == []
    assert [point is None for point in await engine.get(collection, IDS)] == [
        5 <= row < 15 for row in range(40)
    ]


def without_text_scores(hits: list[Hit]) -> list[object]:
    """Each shard counts for itself how rare a word is."""
    return [(hit.id, hit.ranking and hit.ranking.vector_score) for hit in hits]


@pytest.mark.parametrize("fusion", [Weighted(), Weighted(1, 0), ReciprocalRank()], ids=str)
async def test_a_hybrid_search_finds_over_all_shards_what_one_shard_finds(
    engine: ShardedEngine, fusion: Weighted | ReciprocalRank
) -> None:
    # One row in which the word stands, alone in its shard or not: the first by words in either spread.
    batch = batch_of(IDS)
    batch = PointBatch(batch.ids, batch.vectors, batch.payloads, ["rare word", *[None] * 39])
    for collection in (SPREAD, SINGLE):
        await engine.write(collection, batch)
    for vector in vectors_of(4, seed=3):
        for condition in (None, Range(("row",), lt=20)):
            query = HybridQuery(vector, "rare", top_k=7, filter=condition, fusion=fusion)
            spread = await engine.hybrid(SPREAD, query)
            single = await engine.hybrid(SINGLE, query)
            assert without_text_scores(list(spread)) == without_text_scores(list(single))
            assert [hit.score for hit in spread] == pytest.approx([hit.score for hit in single])
    [by_words] = await engine.hybrid(SPREAD, HybridQuery(text="rare word"))
    assert by_words.id == "p0"


@pytest.mark.parametrize("collection", [SPREAD, SINGLE], ids=["spread", "single"])
async def test_pages_are_parts_of_one_order_the_newest_first(
    engine: ShardedEngine, collection: Collection
) -> None:
    for number in range(4):
        await engine.write(collection, batch_of(IDS[10 * number : 10 * number + 10]))
        # A later write of the same millisecond would come among those before.
        await asyncio.sleep(0.002)
    await engine.write(collection, batch_of(["p3"]))
    await engine.delete(collection, ["p35"])
    points, total = await engine.page(collection, skip=0, limit=100)
    assert total == len(points) == 39
    assert points == sorted(points, key=lambda point: (-point.created_ms, point.id))
    found = ids_of(points)
    assert sorted(found[:9]) == sorted(set(IDS[30:]) - {"p35"})
    # That one of them was written again does not make it new.
    assert [sorted(found[at : at + 10]) for at in (9, 19, 29)] == [
        sorted(IDS[first : first + 10]) for first in (20, 10, 0)
    ]
    for skip, limit in [(0, 1), (0, 7), (5, 10), (36, 10), (39, 5), (1000, 1), (3, 0)]:
        page, count = await engine.page(collection, skip=skip, limit=limit)
        assert ids_of(page) == ids_of(points)[skip : skip + limit]
        assert count == 39
    page, count = await engine.page(collection, skip=1, limit=3, condition=Range(("row",), lt=2))
    matching = [point.id for point in points if point.payload in (b'{"row":0}', b'{"row":1}')]
    assert (ids_of(page), count) == (matching[1:4], len(matching))
    assert page[0].text == page[0].id


@pytest.mark.parametrize("collection", [SPREAD, SINGLE], ids=["spread", "single"])
@pytest.mark.parametrize("batch_rows", [1, 7, 100])
async def test_a_scan_gives_every_point_once_in_bounded_batches(
    engine: ShardedEngine, collection: Collection, batch_rows: int
) -> None:
    await engine.write(collection, batch_of(IDS))
    await engine.delete(collection, IDS[:5])
    batches = [batch async for batch in engine.scan(collection, batch_rows=batch_rows)]
    assert all(0 < len(batch) <= batch_rows for batch in batches)
    found = [point for batch in batches for point in batch]
    assert sorted(ids_of(found)) == sorted(IDS[5:])
    assert {point.text for point in found} == set(IDS[5:])
    condition = Range(("row",), lt=20)
    batches = [batch async for batch in engine.scan(collection, batch_rows=batch_rows, condition=condition)]
    assert all(0 < len(batch) <= batch_rows for batch in batches)
    assert sorted(point.id for batch in batches for point in batch) == sorted(
        point.id for point in found if int(point.payload[7:-1]) < 20
    )


async def test_optimizing_returns_at_once_and_merges_all_that_was_written(
    engine: ShardedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on, ended = threading.Event(), threading.Event()
    begun: list[Path] = []
    optimize = ShardWriter.optimize

    def held_optimize(writer: ShardWriter) -> None:
        begun.append(writer.directory)
        assert may_go_on.wait(10)
        optimize(writer)
        ended.set()

    monkeypatch.setattr(ShardWriter, "optimize", held_optimize)
    await engine.write(SINGLE, batch_of(IDS))
    [before] = await engine.stats([SINGLE])
    await engine.optimize(SINGLE)
    await engine.optimize(SINGLE)
    # Writes and reads go on.
    await engine.write(SINGLE, batch_of(["later"]))
    assert len(await engine.get(SINGLE, IDS)) == 40
    may_go_on.set()
    assert await asyncio.to_thread(ended.wait, 10)
    [after] = await engine.stats([SINGLE])
    assert before is not None
    assert after is not None
    assert before.index_bytes == 0
    assert after.index_bytes > 40 * 4 * 4
    assert len(begun) == 1
    assert (after.points, before.points) == (41, 40)


async def test_a_host_closes_though_it_is_asked_to_optimize(tmp_path: Path) -> None:
    host = OpenShards(tmp_path, QUIET)
    await host.create(SPREAD, range(5))
    for shard in range(5):
        await host.optimize(SPREAD, [shard])
    async with asyncio.timeout(30):
        await host.close()


async def test_one_shard_that_is_away_fails_every_operation(engine: ShardedEngine) -> None:
    await engine.write(SPREAD, batch_of(IDS))
    await engine._hosts[SPREAD.hosts[4]].drop(SPREAD, [4])
    query = HybridQuery(vectors_of(1)[0], "p1")
    for call in (
        engine.write(SPREAD, batch_of(IDS), WriteMode.UPDATE),
        engine.delete_matching(SPREAD, Range(("row",), lt=0)),
        engine.hybrid(SPREAD, query),
        engine.page(SPREAD, skip=0, limit=1),
        engine.optimize(SPREAD),
    ):
        with pytest.raises(ShardUnavailable):
            await call
    with pytest.raises(ShardUnavailable):
        async for _ in engine.scan(SPREAD, batch_rows=100):
            pass
