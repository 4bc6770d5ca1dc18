"""Answers are exact where the number types of the graph and of the scan are not."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from storage import scoring
from storage.scoring import exact_scores, norms, scan
from tests.unit.storage.conftest import OpenShard, batch_of
from vectoray.core.model import Metric, SearchQuery


def test_the_closest_of_neighbours_that_the_graph_cannot_tell_apart_is_found(
    open_shard: OpenShard, tmp_path: Path
) -> None:
    writer = open_shard(metric=Metric.COSINE)
    random = np.random.default_rng(5)
    vectors = random.standard_normal((1500, 16)).astype(np.float32)
    # Their directions differ by less than bf16 holds; few, or the graph would be refused.
    close = 25
    vectors[:close] = (vectors[0] + 1e-3 * random.standard_normal((close, 16))).astype(np.float32)
    writer.upsert(batch_of([str(row) for row in range(1500)], vectors)).result()
    writer.optimize()
    assert list((tmp_path / "shard" / "segments").rglob("graph.usearch"))
    queries = (vectors[0] + 0.5 * random.standard_normal((20, 16))).astype(np.float32)
    best = [str(exact_scores(Metric.COSINE, query, vectors).argmax()) for query in queries]
    assert [writer.search(SearchQuery(query, top_k=1)).hits[0].id for query in queries] == best


TINY = float(np.finfo(np.float32).smallest_subnormal)


@pytest.mark.parametrize(
    "vectors",
    [
        [[TINY, TINY] + [0.0] * 14, [1.0, 0.1] + [0.0] * 14],
        [[3e38] * 16, [1.0, 1.7] + [0.0] * 14],
    ],
    ids=["too-short-for-float32", "too-long-for-float32"],
)
def test_a_cosine_scan_keeps_the_best_beside_lengths_that_float32_does_not_hold(
    vectors: list[list[float]],
) -> None:
    stored = np.array(vectors, dtype=np.float32)
    query = np.eye(16, dtype=np.float32)[0]
    best = int(exact_scores(Metric.COSINE, query, stored).argmax())
    assert best == 1
    assert best in scan(Metric.COSINE, query, stored, norms(stored), rows=np.arange(2), k=1)


@pytest.mark.parametrize("metric", list(Metric))
def test_a_score_does_not_depend_on_how_many_are_computed_together(
    metric: Metric, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((11, 7)).astype(np.float32)
    query = random.standard_normal(7).astype(np.float32)
    together = exact_scores(metric, query, vectors)
    monkeypatch.setattr(scoring, "_BLOCK_ROWS", 4)
    assert np.array_equal(exact_scores(metric, query, vectors), together)
    assert np.array_equal(
        np.concatenate([exact_scores(metric, query, row[None]) for row in vectors]), together
    )


def test_scoring_many_rows_takes_less_memory_than_the_rows() -> None:
    vectors = np.ones((50_000, 32), dtype=np.float32)
    tracemalloc.start()
    try:
        exact_scores(Metric.DOT, vectors[0], vectors)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < vectors.nbytes
