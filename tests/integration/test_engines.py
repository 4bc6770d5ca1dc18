"""What every engine promises, asked of each of them."""

import asyncio
import uuid
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from cluster.engine import Engine
from vectoray.core.errors import InvalidRequest, ShardUnavailable
from vectoray.core.filters import Eq, Range
from vectoray.core.hybrid import HybridQuery, Weighted
from vectoray.core.model import (
    Collection,
    FloatMatrix,
    IndexOptions,
    Metric,
    PointBatch,
    SearchQuery,
    WriteMode,
    WriteResult,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

DIMENSION = 8


def collection_of(engine: Engine, shards: int = 5, metric: Metric = Metric.COSINE) -> Collection:
    now = datetime.now(UTC)
    collection_id = str(uuid.uuid4())
    return Collection(
        id=collection_id,
        name="c",
        owner="local",
        dimension=DIMENSION,
        metric=metric,
        index=IndexOptions(),
        hosts=engine.place(collection_id, shards),
        created_at=now,
        updated_at=now,
    )


def vectors_of(rows: int, seed: int = 0) -> FloatMatrix:
    return np.random.default_rng(seed).standard_normal((rows, DIMENSION)).astype(np.float32)


def batch_of(vectors: FloatMatrix, prefix: str = "p") -> PointBatch:
    rows = range(len(vectors))
    return PointBatch(
        [f"{prefix}{row}" for row in rows],
        vectors,
        [b'{"row":%d}' % row for row in rows],
        [None] * len(vectors),
    )


async def points_in(engine: Engine, collection: Collection) -> int:
    (stats,) = await engine.stats([collection])
    assert stats is not None
    return stats.points


@pytest.mark.parametrize("metric", list(Metric))
async def test_search_over_all_shards_equals_brute_force(engine: Engine, metric: Metric) -> None:
    collection = collection_of(engine, metric=metric)
    await engine.create(collection)
    vectors = vectors_of(300)
    assert await engine.write(collection, batch_of(vectors)) == WriteResult(300)

    query = vectors_of(1, seed=1)[0]
    wide = vectors.astype(np.float64)
    scores = {
        Metric.COSINE: wide @ query / np.linalg.norm(wide, axis=1) / np.linalg.norm(query),
        Metric.DOT: wide @ query,
        Metric.EUCLIDEAN: 1 / (1 + np.linalg.norm(wide - query, axis=1)),
    }[metric]
    expected = np.argsort(-scores)[:20]

    hits = (await engine.search(collection, SearchQuery(query, top_k=20, include_vectors=True))).hits

    assert [hit.id for hit in hits] == [f"p{row}" for row in expected]
    assert [hit.score for hit in hits] == pytest.approx(scores[expected], rel=1e-5)
    assert hits[0].vector is not None
    assert np.array_equal(hits[0].vector, vectors[expected[0]])
    assert hits[0].payload == b'{"row":%d}' % expected[0]


async def test_get_and_delete_answer_in_the_order_asked(engine: Engine) -> None:
    collection = collection_of(engine)
    await engine.create(collection)
    await engine.write(collection, batch_of(vectors_of(20)))

    points = await engine.get(collection, ["p7", "missing", "p3"])
    assert [point and point.id for point in points] == ["p7", None, "p3"]
    assert await engine.delete(collection, ["p3", "missing", "p7", "p3"]) == ["p3", "p7"]
    assert await engine.get(collection, ["p7", "p3"]) == [None, None]
    assert await points_in(engine, collection) == 18


async def test_filters_and_thresholds_reach_every_shard(engine: Engine) -> None:
    collection = collection_of(engine)
    await engine.create(collection)
    vectors = vectors_of(50)
    await engine.write(collection, batch_of(vectors))
    query = SearchQuery(vectors[9], filter=Eq(("row",), 9))
    assert [hit.id for hit in await engine.search(collection, query)] == ["p9"]
    assert [
        hit.id for hit in await engine.search(collection, SearchQuery(vectors[9], score_threshold=0.9999))
    ] == ["p9"]


async def test_collections_do_not_see_each_other(engine: Engine) -> None:
    one, other = collection_of(engine), collection_of(engine, shards=1)
    await engine.create(one)
    await engine.create(other)
    await engine.write(one, batch_of(vectors_of(3)))
    assert len(await engine.search(other, SearchQuery(vectors_of(1)[0]))) == 0
    assert [await points_in(engine, each) for each in (other, one)] == [0, 3]


async def test_create_and_drop_can_be_repeated(engine: Engine) -> None:
    collection = collection_of(engine)
    await engine.create(collection)
    await engine.write(collection, batch_of(vectors_of(3)))
    await engine.create(collection)
    assert await points_in(engine, collection) == 3
    await engine.drop(collection)
    await engine.drop(collection)
    with pytest.raises(ShardUnavailable):
        await engine.search(collection, SearchQuery(vectors_of(1)[0]))
    await engine.create(collection)
    assert await points_in(engine, collection) == 0


async def test_a_missing_shard_fails_the_search_instead_of_shortening_it(engine: Engine) -> None:
    collection = collection_of(engine, shards=2)
    await engine.create(collection)
    with pytest.raises(ShardUnavailable):
        await engine.search(replace(collection, hosts=(*collection.hosts, 0)), SearchQuery(vectors_of(1)[0]))


async def test_concurrent_writers_and_readers_agree(engine: Engine) -> None:
    collection = collection_of(engine)
    await engine.create(collection)

    async def write(worker: int) -> None:
        for turn in range(10):
            vectors = vectors_of(3, seed=worker * 100 + turn)
            await engine.write(collection, batch_of(vectors, prefix=f"{worker}-{turn}-"))
            hits = await engine.search(collection, SearchQuery(vectors[1], top_k=1))
            assert hits.hits[0].id == f"{worker}-{turn}-1"

    await asyncio.gather(*(write(worker) for worker in range(8)))
    assert await points_in(engine, collection) == 240


async def test_conditions_of_a_write_are_decided_by_each_shard(engine: Engine) -> None:
    collection = collection_of(engine)
    await engine.create(collection)
    await engine.write(collection, batch_of(vectors_of(10)))
    again = await engine.write(collection, batch_of(vectors_of(20)), WriteMode.INSERT, atomic=False)
    assert again == WriteResult(10, tuple(range(10)))
    [before] = await engine.get(collection, ["p0"])
    assert before is not None
    seqs = np.array([before.seq, before.seq + 1000], dtype=np.uint64)
    changed = await engine.write(collection, batch_of(vectors_of(2)), atomic=False, expected_seqs=seqs)
    assert changed == WriteResult(1, (1,))
    with pytest.raises(InvalidRequest):
        await engine.write(collection, batch_of(vectors_of(3)), expected_seqs=seqs)


async def test_what_is_deleted_by_a_filter_is_gone(engine: Engine) -> None:
    collection = collection_of(engine)
    await engine.create(collection)
    await engine.write(collection, batch_of(vectors_of(100)))
    deleted = await engine.delete_matching(collection, Range(("row",), gte=10))
    assert sorted(deleted) == sorted(f"p{row}" for row in range(10, 100))
    assert await points_in(engine, collection) == 10


async def test_a_hybrid_search_goes_by_vector_and_words(engine: Engine) -> None:
    collection = collection_of(engine)
    await engine.create(collection)
    vectors = vectors_of(200)
    texts = [f"word{row} of a text" for row in range(200)]
    ids = [f"p{row}" for row in range(200)]
    await engine.write(collection, PointBatch(ids, vectors, [b"{}"] * 200, texts))
    both = HybridQuery(vectors[5], "word7", top_k=2, fusion=Weighted(1, 1))
    found = {hit.id: hit.ranking for hit in await engine.hybrid(collection, both)}
    assert found.keys() == {"p5", "p7"}
    assert found["p5"] is not None
    assert found["p5"].vector_score == pytest.approx(1)
    assert found["p5"].text_score == 0
    [by_words] = await engine.hybrid(collection, HybridQuery(text="word150"))
    assert (by_words.id, by_words.text) == ("p150", "word150 of a text")


async def test_pages_and_scans_show_every_point_that_is_there(engine: Engine) -> None:
    collection = collection_of(engine)
    await engine.create(collection)
    await engine.write(collection, batch_of(vectors_of(150)))
    await asyncio.sleep(0.002)
    await engine.write(collection, batch_of(vectors_of(10), prefix="new"))
    await engine.delete(collection, ["p7", "new3"])
    first, total = await engine.page(collection, skip=0, limit=9)
    assert sorted(point.id for point in first) == [f"new{row}" for row in range(10) if row != 3]
    assert total == 158
    rest, _ = await engine.page(collection, skip=9, limit=1000)
    scanned = [point async for batch in engine.scan(collection, batch_rows=20) for point in batch]
    assert len(scanned) == 158
    assert {point.id for point in scanned} == {point.id for point in (*first, *rest)}
    condition = Eq(("row",), 4)
    chosen = [
        one async for part in engine.scan(collection, batch_rows=20, condition=condition) for one in part
    ]
    assert {point.id for point in chosen} == {"p4", "new4"}
    few, matching = await engine.page(collection, skip=1, limit=1, condition=Eq(("row",), 4))
    assert ([point.id for point in few], matching) == (["p4"], 2)


async def test_optimizing_leaves_every_point_and_puts_it_into_segments(engine: Engine) -> None:
    collection = collection_of(engine, shards=2)
    await engine.create(collection)
    await engine.write(collection, batch_of(vectors_of(50)))
    [before] = await engine.stats([collection])
    assert before is not None
    assert before.index_bytes == 0
    await engine.optimize(collection)
    async with asyncio.timeout(30):
        # Nobody is told when it is done.
        while (sizes := await engine.stats([collection]))[0] is None or not sizes[0].index_bytes:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert await points_in(engine, collection) == 50


async def test_a_batch_larger_than_rays_default_message_passes(engine: Engine) -> None:
    collection = replace(collection_of(engine, shards=1), dimension=1024)
    await engine.create(collection)
    vectors = np.random.default_rng(0).standard_normal((3000, 1024)).astype(np.float32)
    assert await engine.write(collection, batch_of(vectors)) == WriteResult(3000)
    hits = await engine.search(collection, SearchQuery(vectors[0], top_k=1000, include_vectors=True))
    assert len(hits) == 1000
