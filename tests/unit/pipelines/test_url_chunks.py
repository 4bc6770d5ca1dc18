"""The chunks of a URL in its project's collection: replaced as a whole, and again after a crash."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch
from uuid import UUID, uuid4

import numpy as np
import pytest

from cluster.engine import Engine
from cluster.local_engine import LocalEngine
from pipelines import url_chunks
from pipelines.url_chunks import NewChunks, chunk_id, read_chunks, replace_chunks, url_of
from tests.unit.storage.catalog.test_catalog import collection
from vectoray.core.errors import DimensionMismatch, InvalidRequest, LimitExceeded, Unavailable
from vectoray.core.model import Collection, Metric, SearchQuery

URL, OTHER = str(uuid4()), str(uuid4())


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    opened = LocalEngine(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def pages(engine: Engine) -> Collection:
    made = replace(collection(), metric=Metric.COSINE, hosts=(0, 0))
    await engine.create(made)
    return made


def chunks(*contents: str) -> NewChunks:
    return NewChunks(
        contents, np.array([[len(text), 1, 0] for text in contents], dtype=np.float32).reshape(-1, 3)
    )


async def contents(engine: Engine, pages: Collection, url_id: str = URL) -> list[str | None]:
    return [point.text for point in await read_chunks(engine, pages, url_id)]


async def test_chunks_are_read_in_their_order_with_all_that_is_known_of_them(
    engine: Engine, pages: Collection
) -> None:
    texts = [f"piece {number}" for number in range(12)]
    await replace_chunks(engine, pages, URL, chunks(*texts))
    await replace_chunks(engine, pages, OTHER, chunks("another"))
    found = await read_chunks(engine, pages, URL)
    assert [(point.text, point.source, point.chunk_index) for point in found] == [
        (text, URL, at) for at, text in enumerate(texts)
    ]
    assert all(str(UUID(point.id)) == point.id for point in found)
    hits = await engine.search(pages, SearchQuery(vector=np.ones(3, dtype=np.float32), top_k=20))
    assert sorted(url_of(hit) for hit in hits) == sorted([OTHER, *[URL] * 12])


@pytest.mark.parametrize("new", [(), ("x",), ("x", "y", "z"), tuple("abcdefgh")])
async def test_new_chunks_take_the_place_of_all_old_ones(
    engine: Engine, pages: Collection, new: Sequence[str]
) -> None:
    await replace_chunks(engine, pages, OTHER, chunks("another"))
    for _ in range(2):
        await replace_chunks(engine, pages, URL, chunks("old a", "old b", "old c"))
        await replace_chunks(engine, pages, URL, chunks(*new))
        assert await contents(engine, pages) == list(new)
        assert await contents(engine, pages, OTHER) == ["another"]


async def test_cut_short_it_is_done_again(engine: Engine, pages: Collection) -> None:
    await replace_chunks(engine, pages, URL, chunks("old a", "old b", "old c"))
    with (
        patch.object(engine, "delete", side_effect=Unavailable("A host is gone.")),
        pytest.raises(Unavailable),
    ):
        await replace_chunks(engine, pages, URL, chunks("new"))
    assert await contents(engine, pages) == ["new", "old b", "old c"]
    await replace_chunks(engine, pages, URL, chunks("new"))
    assert await contents(engine, pages) == ["new"]


async def test_what_cannot_be_kept_changes_nothing(
    engine: Engine, pages: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await replace_chunks(engine, pages, URL, chunks("old"))
    monkeypatch.setattr(url_chunks, "MOST_CHUNKS", 2)
    zero = NewChunks(["x"], np.zeros((1, 3), dtype=np.float32))
    wide = NewChunks(["x"], np.ones((1, 4), dtype=np.float32))
    for bad, error in (
        (zero, InvalidRequest),
        (wide, DimensionMismatch),
        (chunks("a", "b", "c"), LimitExceeded),
    ):
        with pytest.raises(error):
            await replace_chunks(engine, pages, URL, bad)
    assert await contents(engine, pages) == ["old"]


def test_a_place_in_a_url_has_one_id_for_ever() -> None:
    assert chunk_id("5f5f5f5f-0000-4000-8000-000000000000", 3) == "04952da8-caf2-52e0-b71e-bc7014f5ec4b"
    assert len({chunk_id(url, at) for url in (URL, OTHER) for at in range(100)}) == 200
