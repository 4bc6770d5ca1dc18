"""Changes of all points of a document, while others write the same points."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import orjson
import pytest

from cluster.local_engine import LocalEngine
from serve.auth import Principal
from serve.service.ownership import ByName
from serve.service.sources import SourceService
from storage.catalog import Catalog
from tests.unit.storage.catalog.test_catalog import collection, made
from vectoray.core.errors import Conflict
from vectoray.core.model import Collection, PointBatch, WriteResult

ANN = Principal("ann")
DOCS = ByName("docs")


class Opened:
    """Ann's collection of two shards, with a hook before each write."""

    def __init__(self, engine: LocalEngine, catalog: Catalog, docs: Collection) -> None:
        self.engine = engine
        self.collection = docs
        self.sources = SourceService(catalog, engine)

    async def write(self, *ids: str, source: str | None = "a.pdf", payload: bytes = b'{"old":1}') -> None:
        await self.engine.write(self.collection, points(ids, source, payload))

    async def payloads(self) -> dict[str, Any]:
        found, _ = await self.engine.page(self.collection, skip=0, limit=1000)
        return {point.id: orjson.loads(point.payload) for point in found}

    def before_each_write(self, meanwhile: Callable[[], Any]) -> Any:
        write = self.engine.write

        async def write_later(*arguments: Any, **options: Any) -> WriteResult:
            with patch.object(self.engine, "write", write):
                await meanwhile()
                return await write(*arguments, **options)

        return patch.object(self.engine, "write", write_later)


def points(ids: Sequence[str], source: str | None, payload: bytes) -> PointBatch:
    vectors = np.ones((len(ids), 3), dtype=np.float32)
    return PointBatch(list(ids), vectors, [payload] * len(ids), [None] * len(ids), [source] * len(ids))


@pytest.fixture
async def docs(tmp_path: Path, database_url: str) -> AsyncIterator[Opened]:
    engine = LocalEngine(tmp_path / "data")
    catalog = await Catalog.open(database_url)
    wanted = await made(catalog, replace(collection(owner="ann"), hosts=(0, 0)))
    await engine.create(wanted)
    yield Opened(engine, catalog, wanted)
    await engine.close()
    await catalog.dispose()


async def test_many_points_are_changed_in_small_batches(docs: Opened) -> None:
    ids = [f"p{number}" for number in range(20)]
    await docs.write(*ids)
    await docs.write("other", source="b.pdf")
    await docs.write("none", source=None)
    sizes = []
    write = docs.engine.write

    async def measured(wanted: Collection, batch: PointBatch, *arguments: Any, **options: Any) -> WriteResult:
        sizes.append(len(batch))
        return await write(wanted, batch, *arguments, **options)

    with patch.object(docs.engine, "write", measured), patch("serve.service.sources._BATCH_ROWS", 3):
        assert await docs.sources.merge(ANN, DOCS, "a.pdf", {"new": 2}) == 20
    assert max(sizes) == 3
    changed = await docs.payloads()
    assert [changed[point_id] for point_id in ids] == [{"old": 1, "new": 2}] * 20
    assert changed["other"] == changed["none"] == {"old": 1}


async def test_what_others_write_meanwhile_stays(docs: Opened) -> None:
    await docs.write("a", "b")
    once = iter([True])

    async def meanwhile() -> None:
        if next(once, False):
            await docs.write("a", payload=b'{"theirs":1}')

    with docs.before_each_write(meanwhile):
        assert await docs.sources.merge(ANN, DOCS, "a.pdf", {"new": 2}) == 2
    assert await docs.payloads() == {"a": {"theirs": 1, "new": 2}, "b": {"old": 1, "new": 2}}


async def test_what_others_delete_or_move_to_another_document_is_left_alone(docs: Opened) -> None:
    await docs.write("a", "b", "c")
    once = iter([True])

    async def meanwhile() -> None:
        if next(once, False):
            await docs.engine.delete(docs.collection, ["a"])
            await docs.write("b", source="b.pdf")

    with docs.before_each_write(meanwhile):
        assert await docs.sources.merge(ANN, DOCS, "a.pdf", {"new": 2}) == 1
    assert await docs.payloads() == {"b": {"old": 1}, "c": {"old": 1, "new": 2}}


async def test_who_never_gets_a_turn_is_told(docs: Opened) -> None:
    await docs.write("a")

    async def meanwhile() -> None:
        await docs.write("a")

    with docs.before_each_write(meanwhile), pytest.raises(Conflict, match="try again"):
        await docs.sources.merge(ANN, DOCS, "a.pdf", {"new": 2})
    assert await docs.payloads() == {"a": {"old": 1}}


async def test_a_documents_points_are_deleted(docs: Opened) -> None:
    await docs.write("a", "b")
    await docs.write("other", source="b.pdf")
    assert await docs.sources.delete(ANN, DOCS, "a.pdf") == 2
    assert (await docs.payloads()).keys() == {"other"}
