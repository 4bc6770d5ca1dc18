"""Shards of one collection, searched together: as one shard that has all of their points."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storage.head import Head
from storage.records import hash_id
from storage.scoring import exact_scores
from storage.search import _ROW_NUMBERS, is_quick, search
from storage.settings import StorageSettings
from storage.shard import ShardSpec, create_shard
from storage.writer import ShardWriter
from tests.unit.storage.conftest import DIMENSION, clustered
from vectoray.core.filters import Eq
from vectoray.core.model import IndexOptions, Metric, PointBatch, SearchQuery

SHARDS = 4
ROWS = 6000
QUIET = StorageSettings(seal_rows=1_000_000, flush_rows=1_000_000, flush_interval_s=86_400)
EVEN = Eq(("even",), value=True)
NEITHER = Eq(("even",), value="neither")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ShardWriter]]:
    """Each with a graph, and with a tail of its latest points."""
    vectors = clustered(ROWS)
    writers = []
    for shard in range(SHARDS):
        directory: Path = tmp_path_factory.mktemp(f"shard-{shard}") / "shard"
        create_shard(directory, ShardSpec(DIMENSION, Metric.COSINE, IndexOptions()))
        writer = ShardWriter(directory, QUIET)
        writers.append(writer)
        rows = [row for row in range(ROWS) if hash_id(f"{row:05d}") % SHARDS == shard]
        for part in (rows[:-100], rows[-100:]):
            writer.upsert(
                PointBatch(
                    [f"{row:05d}" for row in part],
                    vectors[part],
                    [b'{"even":%s}' % (b"false" if row % 2 else b"true") for row in part],
                    [None] * len(part),
                )
            ).result()
            if part[0] == rows[0]:
                writer.optimize()
        assert [live.segment.graph is not None for live in writer.head.segments] == [True]
    yield writers
    for writer in writers:
        writer.close(flush=False)


def heads(shards: list[ShardWriter]) -> list[Head]:
    return [writer.head for writer in shards]


@pytest.mark.parametrize("condition", [None, EVEN])
@pytest.mark.parametrize("k", [1, 10, 300])
def test_the_best_of_all_shards_are_found(shards: list[ShardWriter], k: int, condition: Eq | None) -> None:
    vectors = clustered(ROWS)
    allowed = np.arange(ROWS) if condition is None else np.arange(0, ROWS, 2)
    found = expected = 0
    for query in clustered(30, seed=7):
        hits = search(
            heads(shards), Metric.COSINE, SearchQuery(query, top_k=k, filter=condition), shards=SHARDS
        ).hits
        assert len(hits) == k
        assert [(-hit.score, hit.id) for hit in hits] == sorted((-hit.score, hit.id) for hit in hits)
        scores = exact_scores(Metric.COSINE, query, vectors)
        for hit in hits:
            assert hit.score == scores[int(hit.id)]
        best = allowed[np.argsort(-scores[allowed], kind="stable")[:k]]
        found += len({int(hit.id) for hit in hits} & set(best.tolist()))
        expected += k
    assert found >= 0.99 * expected


def test_however_many_are_asked_for_all_are_found_that_there_are(shards: list[ShardWriter]) -> None:
    query = SearchQuery(clustered(1, seed=9)[0], top_k=2 * ROWS)
    assert len(search(heads(shards), Metric.COSINE, query, shards=SHARDS).hits) == ROWS


def test_a_search_is_quick_unless_it_compares_with_many_rows_or_tries_a_new_filter(
    shards: list[ShardWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    never_asked = Eq(("even",), value="never")
    assert is_quick(heads(shards), None)
    assert not is_quick(heads(shards), never_asked)
    query = SearchQuery(clustered(1)[0], filter=never_asked)
    assert len(search(heads(shards), Metric.COSINE, query, shards=SHARDS).hits) == 0
    assert is_quick(heads(shards), never_asked)
    monkeypatch.setattr("storage.search._QUICK_NUMBERS", 100 * (DIMENSION + _ROW_NUMBERS))
    assert is_quick(heads(shards)[:1], None)
    assert not is_quick(heads(shards), None)


def test_a_search_is_not_quick_if_a_graph_may_miss_many_rows_that_match(
    shards: list[ShardWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    for condition in (EVEN, NEITHER):
        search(heads(shards), Metric.COSINE, SearchQuery(clustered(1)[0], filter=condition), shards=SHARDS)
        assert is_quick(heads(shards), condition)
    monkeypatch.setattr("storage.search._QUICK_NUMBERS", 1000 * (DIMENSION + _ROW_NUMBERS))
    assert is_quick(heads(shards), NEITHER)
    assert not is_quick(heads(shards), EVEN)


@pytest.mark.parametrize(("dimension", "rows"), [(1, 100_000), (4, 100_000), (768, 10_000)])
def test_a_search_of_many_rows_is_not_quick_however_short_they_are(
    shards: list[ShardWriter], dimension: int, rows: int
) -> None:
    [head] = heads(shards)[:1]
    vectors = np.empty((1, dimension), dtype=np.float32)
    assert is_quick([replace(head, segments=(), vectors=vectors, tail_rows=rows // 100)], None)
    assert not is_quick([replace(head, segments=(), vectors=vectors, tail_rows=rows)], None)
