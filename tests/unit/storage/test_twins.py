"""Copies of one vector: a graph links one of them, and a search finds all."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from storage import scoring
from storage.twins import Twins, first_alike
from storage.writer import ShardWriter
from tests.unit.storage.conftest import DIMENSION, OpenShard, batch_of, clustered
from vectoray.core.filters import Eq
from vectoray.core.model import FloatMatrix, GraphType, IndexOptions, Metric, PointBatch, SearchQuery

_COPIES, _OTHERS = 3000, 2000


def many_copies(seed: int = 0) -> FloatMatrix:
    """Float32 vectors of which most are the same, in no order."""
    vectors = np.concatenate(
        [np.repeat(clustered(1, seed=99), _COPIES, axis=0), clustered(_OTHERS, seed=seed)]
    )
    return np.random.default_rng(seed).permutation(vectors)


def write(writer: ShardWriter, vectors: FloatMatrix, prefix: str = "") -> None:
    ids = [f"{prefix}{row:05d}" for row in range(len(vectors))]
    payloads = [b'{"even":%s}' % (b"true" if row % 2 == 0 else b"false") for row in range(len(vectors))]
    writer.upsert(PointBatch(ids, vectors, payloads, [None] * len(ids))).result()


def in_one_graph(writer: ShardWriter) -> None:
    writer.optimize()
    graphs = [live.segment.graph for live in writer._view.head.segments]
    assert len(graphs) == 1
    assert graphs[0] is not None


def best(
    vectors: FloatMatrix, query: np.ndarray, k: int, metric: Metric, rows: Sequence[int]
) -> list[tuple[str, float]]:
    scores = scoring.exact_scores(metric, query, vectors[list(rows)]).tolist()
    ranked = sorted(zip(rows, scores, strict=True), key=lambda one: (-one[1], one[0]))
    return [(f"{row:05d}", score) for row, score in ranked[:k]]


def found(writer: ShardWriter, query: np.ndarray, k: int, **options: object) -> list[tuple[str, float]]:
    return [(hit.id, hit.score) for hit in writer.search(SearchQuery(query, k, **options))]  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("numbers", [GraphType.AUTO, GraphType.F32])
def test_a_graph_of_mostly_copies_is_kept_and_finds_copies_and_others(
    open_shard: OpenShard, metric: Metric, numbers: GraphType
) -> None:
    vectors = many_copies()
    writer = open_shard(metric=metric, index=IndexOptions(graph_type=numbers))
    write(writer, vectors)
    in_one_graph(writer)
    everything = range(len(vectors))
    copy = clustered(1, seed=99)[0]
    assert found(writer, copy, 20) == best(vectors, copy, 20, metric, everything)
    hits = total = 0
    for query in clustered(30, seed=7):
        expected = best(vectors, query, 10, metric, everything)
        hits += sum(score >= expected[-1][1] for _, score in found(writer, query, 10))
        total += len(expected)
    assert hits >= 0.99 * total


def test_copies_are_found_whichever_of_them_are_deleted_or_match(open_shard: OpenShard) -> None:
    vectors = many_copies()
    copy = clustered(1, seed=99)[0]
    writer = open_shard()
    write(writer, vectors)
    in_one_graph(writer)
    copies = np.flatnonzero((vectors == copy).all(axis=1)).tolist()
    assert len(copies) == _COPIES
    # Among them the one that the graph links.
    writer.delete([f"{row:05d}" for row in copies[:100]]).result()
    left = [row for row in range(len(vectors)) if row not in set(copies[:100])]
    assert found(writer, copy, 20) == best(vectors, copy, 20, Metric.COSINE, left)
    even = [row for row in left if row % 2 == 0]
    assert found(writer, copy, 20, filter=Eq(("even",), value=True)) == best(
        vectors, copy, 20, Metric.COSINE, even
    )


def test_copies_that_come_later_are_twins_of_those_that_were_there(open_shard: OpenShard) -> None:
    writer = open_shard()
    write(writer, many_copies(seed=1))
    in_one_graph(writer)
    before = len(writer._view.head.segments[0].segment.graph or ())
    write(writer, np.repeat(clustered(1, seed=99), 700, axis=0), "later-")
    in_one_graph(writer)
    assert len(writer._view.head.segments[0].segment.graph or ()) == before
    copy = clustered(1, seed=99)[0]
    assert len(found(writer, copy, _COPIES + 700)) == _COPIES + 700
    assert {score for _, score in found(writer, copy, _COPIES + 700)} == {1.0}


def test_vectors_that_round_to_the_same_bytes_keep_their_own_scores(open_shard: OpenShard) -> None:
    base = np.repeat(clustered(1, seed=99), 2000, axis=0)
    noise = np.random.default_rng(5).normal(size=base.shape) * 1e-5
    vectors = np.concatenate([(base + noise).astype(np.float32), clustered(500)])
    writer = open_shard()
    write(writer, vectors)
    in_one_graph(writer)
    assert len(writer._view.head.segments[0].segment.graph or ()) < 2000
    query = vectors[17]
    assert found(writer, query, 10) == best(vectors, query, 10, Metric.COSINE, range(len(vectors)))


def test_zeros_are_copies_too(open_shard: OpenShard) -> None:
    vectors = np.concatenate([np.zeros((1500, DIMENSION), dtype=np.float32), clustered(500)])
    writer = open_shard()
    write(writer, vectors)
    in_one_graph(writer)
    assert len(found(writer, vectors[0], 2000)) == 2000


def test_the_first_of_each_group_stands_for_it() -> None:
    hashes = np.array([7, 9, 7, 2, 9, 7], dtype=np.uint64)
    assert first_alike(hashes).tolist() == [0, 1, 0, 3, 1, 0]
    assert first_alike(hashes[:0]).tolist() == []


def test_twins_come_beside_their_candidates(open_shard: OpenShard, tmp_path: Path) -> None:
    writer = open_shard()
    vectors = clustered(1100)
    vectors[[5, 900, 1000]] = vectors[3]
    vectors[[8]] = vectors[2]
    writer.upsert(batch_of([f"{row:04d}" for row in range(1100)], vectors)).result()
    in_one_graph(writer)
    twins = Twins(next((tmp_path / "shard" / "segments").rglob("twins.arrow")))
    assert len(twins) == 4
    rows, distances = twins.joined(np.array([7, 3, 2]), np.array([0.1, 0.2, 0.3], dtype=np.float32))
    assert rows.tolist() == [7, 3, 5, 900, 1000, 2, 8]
    assert distances.tolist() == np.array([0.1, 0.2, 0.2, 0.2, 0.2, 0.3, 0.3], dtype=np.float32).tolist()
    alone = twins.joined(np.array([7, 5]), np.array([0.1, 0.2], dtype=np.float32))
    assert alone[0].tolist() == [7, 5]
