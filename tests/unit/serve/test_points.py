"""What the point service makes of inserts, updates, lists and deletes, over real shards."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from cluster.local_engine import LocalEngine
from serve.auth import Principal
from serve.service.limits import Limits
from serve.service.ownership import ByName
from serve.service.points import NewPoints, PointChange, PointService
from storage.catalog import Catalog
from vectoray.core.errors import (
    CollectionNotFound,
    Conflict,
    DimensionMismatch,
    InvalidRequest,
    LimitExceeded,
    PointExists,
    PointNotFound,
)
from vectoray.core.filters import Range
from vectoray.core.model import Collection, FloatVector, IndexOptions, Metric, Point, PointBatch

ANN, BOB = Principal("ann"), Principal("bob")
DOCS = ByName("docs")


@dataclass(frozen=True)
class Opened:
    points: PointService
    engine: LocalEngine
    collection: Collection

    async def upsert(self, *ids: str) -> None:
        await self.points.upsert(ANN, DOCS, new(*ids))

    async def ids(self) -> list[str]:
        return sorted(point.id for point in (await self.points.page(ANN, DOCS, limit=1000)).points)


def new(*ids: str) -> NewPoints:
    vectors = np.ones((len(ids), 2), dtype=np.float32)
    payloads = [b'{"row":%d}' % row for row in range(len(ids))]
    return NewPoints(list(ids), vectors, payloads, list(ids))


def vector(*numbers: float) -> FloatVector:
    return np.array(numbers, dtype=np.float32)


@pytest.fixture(params=[1, 3], ids=["one shard", "three shards"])
async def docs(request: pytest.FixtureRequest, tmp_path: Path, database_url: str) -> AsyncIterator[Opened]:
    """Ann's collection of dimension 2."""
    engine = LocalEngine(tmp_path / "data")
    catalog = await Catalog.open(database_url)
    now = datetime.now(UTC)
    collection = Collection(
        id=str(uuid4()),
        name="docs",
        owner="ann",
        dimension=2,
        metric=Metric.COSINE,
        index=IndexOptions(),
        hosts=(0,) * request.param,
        created_at=now,
        updated_at=now,
    )
    await catalog.begin_create(collection)
    await engine.create(collection)
    await catalog.finish_create(collection.id)
    yield Opened(PointService(catalog, engine, Limits(max_batch_points=20)), engine, collection)
    await engine.close()
    await catalog.dispose()


@pytest.mark.parametrize("ids", [["e", "a", "f", "g", "h"], ["e", "f", "g", "f"]])
async def test_an_insert_of_an_id_that_is_taken_writes_nothing(docs: Opened, ids: list[str]) -> None:
    assert await docs.points.insert(ANN, DOCS, new("a", "b", "c")) == 3
    with pytest.raises(PointExists) as caught:
        await docs.points.insert(ANN, DOCS, new(*ids))
    assert caught.value.details["vector_id"] in ("a", "f")
    assert await docs.ids() == ["a", "b", "c"]


async def test_of_two_inserts_of_one_id_at_a_time_one_wins(docs: Opened) -> None:
    answers = await asyncio.gather(
        *(docs.points.insert(ANN, DOCS, new("a")) for _ in range(10)), return_exceptions=True
    )
    assert answers.count(1) == 1
    assert sum(isinstance(answer, PointExists) for answer in answers) == 9


async def test_an_update_changes_what_it_names_and_nothing_else(docs: Opened) -> None:
    await docs.upsert("a")
    changed = await docs.points.update(ANN, DOCS, "a", PointChange(vector=vector(3, 4)))
    assert changed.vector.tolist() == [3, 4]
    assert (changed.payload, changed.text) == (b'{"row":0}', "a")
    changed = await docs.points.update(ANN, DOCS, "a", PointChange(payload=b'{"n":1}', text=None))
    assert changed.vector.tolist() == [3, 4]
    assert (changed.payload, changed.text) == (b'{"n":1}', None)
    same = await docs.points.get(ANN, DOCS, "a")
    assert (same.seq, same.payload) == (changed.seq, b'{"n":1}')


async def test_an_update_keeps_where_a_point_came_from_and_when_it_was_made(docs: Opened) -> None:
    batch = PointBatch(["a"], vector(1, 2)[None], [b"{}"], [None], sources=["a.pdf"], chunk_indexes=[7])
    await docs.engine.write(docs.collection, batch)
    before = await docs.points.get(ANN, DOCS, "a")
    after = await docs.points.update(ANN, DOCS, "a", PointChange(text="new"))
    assert (after.source, after.chunk_index, after.created_ms) == ("a.pdf", 7, before.created_ms)
    assert after.seq > before.seq
    assert (await docs.points.page(ANN, DOCS, limit=1)).points[0].source == "a.pdf"
    exported = (await docs.points.export(ANN, DOCS)).batches
    assert [point.chunk_index async for part in exported for point in part] == [7]


async def test_updates_of_a_point_at_a_time_lose_nothing(docs: Opened) -> None:
    await docs.upsert("a")
    changes = [PointChange(vector=vector(5, 6)), PointChange(payload=b'{"n":2}'), PointChange(text="new")]
    await asyncio.gather(*(docs.points.update(ANN, DOCS, "a", change) for change in changes))
    point = await docs.points.get(ANN, DOCS, "a")
    assert (point.vector.tolist(), point.payload, point.text) == ([5, 6], b'{"n":2}', "new")


async def test_an_update_that_others_always_overtake_gives_up(
    docs: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    await docs.upsert("a")
    get = docs.engine.get
    overtaken = 0

    async def get_and_overtake(collection: Collection, ids: list[str]) -> list[Point | None]:
        nonlocal overtaken
        found = await get(collection, ids)
        overtaken += 1
        await docs.engine.write(collection, PointBatch(ids, np.ones((1, 2), np.float32), [b"{}"], [None]))
        return found

    monkeypatch.setattr(docs.engine, "get", get_and_overtake)
    with pytest.raises(Conflict, match="try again"):
        await docs.points.update(ANN, DOCS, "a", PointChange(text="mine"))
    assert 1 < overtaken < 10
    monkeypatch.undo()
    assert (await docs.points.get(ANN, DOCS, "a")).text is None


async def test_what_is_not_there_cannot_be_updated(docs: Opened) -> None:
    with pytest.raises(PointNotFound):
        await docs.points.update(ANN, DOCS, "a", PointChange(text="new"))
    assert await docs.ids() == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (PointChange(vector=vector(1, 2, 3)), DimensionMismatch),
        (PointChange(vector=vector(0, 0)), InvalidRequest),
    ],
)
async def test_a_vector_that_cannot_be_is_refused(
    docs: Opened, change: PointChange, error: type[Exception]
) -> None:
    await docs.upsert("a")
    with pytest.raises(error):
        await docs.points.update(ANN, DOCS, "a", change)
    assert (await docs.points.get(ANN, DOCS, "a")).vector.tolist() == [1, 1]


async def test_many_are_deleted_at_once_by_id_or_by_what_they_say(docs: Opened) -> None:
    await docs.upsert("a", "b", "c", "d", "e")
    assert await docs.points.delete_many(ANN, DOCS, ["d", "x", "a"]) == ["d", "a"]
    assert await docs.points.delete_matching(ANN, DOCS, Range(("row",), gte=4)) == ["e"]
    assert await docs.ids() == ["b", "c"]
    with pytest.raises(InvalidRequest, match="'ids' is empty"):
        await docs.points.delete_many(ANN, DOCS, [])
    with pytest.raises(InvalidRequest, match=r"ids\[1\]"):
        await docs.points.delete_many(ANN, DOCS, ["b", ""])
    with pytest.raises(LimitExceeded, match="'ids' has 21 items"):
        await docs.points.delete_many(ANN, DOCS, ["b"] * 21)
    assert await docs.ids() == ["b", "c"]


async def test_pages_and_exports_show_what_is_there(docs: Opened) -> None:
    await docs.upsert("a", "b", "c")
    page = await docs.points.page(ANN, DOCS, skip=1, limit=1, condition=Range(("row",), lt=2))
    assert (len(page.points), page.total, page.collection.id) == (1, 2, docs.collection.id)
    export = await docs.points.export(ANN, DOCS)
    assert export.view.collection.id == docs.collection.id
    assert sorted([point.id async for batch in export.batches for point in batch]) == ["a", "b", "c"]


async def test_someone_elses_collection_is_not_there(docs: Opened) -> None:
    for call in (
        docs.points.insert(BOB, DOCS, new("a")),
        docs.points.update(BOB, DOCS, "a", PointChange(text="new")),
        docs.points.delete_many(BOB, DOCS, ["a"]),
        docs.points.delete_matching(BOB, DOCS, Range(("row",), gte=0)),
        docs.points.page(BOB, DOCS, limit=1),
        docs.points.export(BOB, DOCS),
    ):
        with pytest.raises(CollectionNotFound):
            await call
