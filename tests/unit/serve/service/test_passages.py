"""A point with its neighbours: which they are, and in which order."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from cluster.local_engine import LocalEngine
from serve.auth import Principal
from serve.service.limits import Limits
from serve.service.ownership import ByName
from serve.service.passages import PassageService, source_of
from serve.service.points import NewPoints, PointService
from storage.catalog import Catalog
from tests.unit.storage.catalog.test_catalog import collection
from vectoray.core.errors import PointNotFound

ANN = Principal("ann")
DOCS = ByName("docs")


@pytest.fixture
async def passages(database_url: str, tmp_path: Path) -> AsyncIterator[PassageService]:
    """Of a collection with chunks 0 to 5 of two sources, and two points that say less."""
    catalog, engine = await Catalog.open(database_url), LocalEngine(tmp_path)
    made = replace(collection(owner="ann"), hosts=(0, 0))
    await catalog.begin_create(made)
    await engine.create(made)
    await catalog.finish_create(made.id)
    points = PointService(catalog, engine, Limits())
    payloads: dict[str, Any] = {
        f"{source}{index}": {"source": source, "chunk_index": index} for source in "xy" for index in range(6)
    }
    payloads |= {"no-index": {"source": "x"}, "no-source": {"chunk_index": 2}, "true": {"source": "x"}}
    payloads["true"]["chunk_index"] = True
    vectors = np.ones((len(payloads), made.dimension), dtype=np.float32)
    written = [orjson.dumps(payload) for payload in payloads.values()]
    await points.upsert(ANN, DOCS, NewPoints(list(payloads), vectors, written, [None] * len(payloads)))
    yield PassageService(points)
    await engine.close()
    await catalog.dispose()


async def read(passages: PassageService, point_id: str, around: int) -> tuple[list[str], list[str]]:
    passage = await passages.read(ANN, DOCS, point_id, around=around)
    assert passage.point.id == point_id
    return [point.id for point in passage.before], [point.id for point in passage.after]


@pytest.mark.parametrize(
    ("point_id", "around", "before", "after"),
    [
        ("x3", 1, ["x2"], ["x4"]),
        ("y3", 2, ["y1", "y2"], ["y4", "y5"]),
        ("x0", 2, [], ["x1", "x2"]),
        ("x5", 5, ["x0", "x1", "x2", "x3", "x4"], []),
        ("x3", 0, [], []),
        ("no-index", 2, [], []),
        ("no-source", 2, [], []),
        ("true", 2, [], []),
    ],
)
async def test_neighbours_are_of_the_same_source_in_its_order(
    passages: PassageService, point_id: str, around: int, before: list[str], after: list[str]
) -> None:
    assert await read(passages, point_id, around) == (before, after)


async def test_a_point_that_is_not_there_has_no_neighbours(passages: PassageService) -> None:
    with pytest.raises(PointNotFound):
        await read(passages, "x9", 1)


def test_a_source_is_a_string() -> None:
    assert source_of({"source": "a.md"}) == "a.md"
    assert source_of({"source": ["a.md"]}) is None
    assert source_of({}) is None
