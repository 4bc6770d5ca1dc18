"""Answers do not depend on where points lie: in the tail, in one segment or several, with graphs or not."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest

from storage.match_cache import MatchCache, key_of
from storage.scoring import exact_scores
from storage.writer import ShardWriter
from tests.unit.storage.conftest import DIMENSION, OpenShard, batch_of, clustered
from tests.unit.storage.hybrid_oracle import Live, assert_hybrid_as_brute_force
from vectoray.core.filters import And, Eq, Filter, In, Not, Range
from vectoray.core.hybrid import Fusion, HybridQuery, ReciprocalRank, Weighted
from vectoray.core.model import FloatMatrix, Hit, IndexKind, IndexOptions, Metric, PointBatch, SearchQuery

FLAT = IndexOptions(IndexKind.FLAT)


def in_tail(writer: ShardWriter) -> None:
    """Leave what was written where it is."""


def in_several_segments(writer: ShardWriter) -> None:
    writer.seal()


def merged_in_the_end(writer: ShardWriter) -> None:
    if writer.stats().points >= 3 * PART:
        writer.optimize()


def merged_but_for_the_last(writer: ShardWriter) -> None:
    if writer.stats().points == 2 * PART:
        writer.optimize()
    elif writer.stats().points == 3 * PART:
        writer.seal()


PLACES = [in_tail, in_several_segments, merged_in_the_end, merged_but_for_the_last]
PART = 900
COUNT = 4 * PART


def vectors_and_ranks(seed: int = 0) -> tuple[FloatMatrix, np.ndarray, np.ndarray]:
    """Vectors, each one's rank along an axis, and a rank that has nothing to do with it."""
    vectors = clustered(COUNT, seed=seed)
    along = np.argsort(np.argsort(vectors[:, 0]))
    return vectors, along, np.random.default_rng(seed + 1).permutation(COUNT)


def filled(open_shard: OpenShard, place: Callable[[ShardWriter], None], metric: Metric) -> ShardWriter:
    vectors, along, any_rank = vectors_and_ranks()
    payloads = [orjson.dumps({"along": int(a), "any": int(b)}) for a, b in zip(along, any_rank, strict=True)]
    ids = [f"{row:05d}" for row in range(COUNT)]
    writer = open_shard(metric=metric)
    for start in range(0, COUNT, PART):
        part = slice(start, start + PART)
        writer.upsert(PointBatch(ids[part], vectors[part], payloads[part], [None] * PART)).result()
        place(writer)
    # A tenth is deleted, and a tenth written once more.
    writer.delete(ids[::10]).result()
    again = slice(5, COUNT, 10)
    count = len(ids[again])
    writer.upsert(PointBatch(ids[again], vectors[again], payloads[again], [None] * count)).result()
    return writer


@pytest.mark.slow
@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("place", PLACES)
def test_a_filtered_search_finds_as_many_as_there_are_and_the_best(
    open_shard: OpenShard, place: Callable[[ShardWriter], None], metric: Metric
) -> None:
    vectors, along, any_rank = vectors_and_ranks()
    writer = filled(open_shard, place, metric)
    has_graph = any(live.segment.graph is not None for live in writer._view.head.segments)
    live = np.arange(COUNT) % 10 != 0
    random = np.random.default_rng(3)
    recalls: list[bool] = []
    for selected in (1, 4, 36, 360, 1080, 1800, 3200, COUNT):
        for name, ranks in (("along", along), ("any", any_rank)):
            rows = np.flatnonzero(live & (ranks < selected))
            condition = Range((name,), lt=selected)
            # Among those that match, anywhere, and as far from them as can be.
            for row in (int(rows[0]) if len(rows) else 0, int(random.integers(COUNT)), int(along.argmax())):
                query = (vectors[row] + 0.2 * random.standard_normal(DIMENSION)).astype(np.float32)
                hits = writer.search(SearchQuery(query, 10, condition)).hits
                assert len(hits) == min(10, len(rows))
                assert {int(hit.id) for hit in hits} <= set(rows.tolist())
                scores = exact_scores(metric, query, vectors[rows])
                best = np.sort(scores)[::-1][:10]
                found = np.array([hit.score for hit in hits], dtype=np.float32)
                if has_graph:
                    recalls += (found >= best[-1]).tolist() if len(rows) else []
                else:
                    assert np.array_equal(found, best)
    assert not has_graph or np.mean(recalls) >= 0.99


def test_the_merged_shards_of_these_tests_have_graphs(open_shard: OpenShard) -> None:
    writer = filled(open_shard, merged_but_for_the_last, Metric.COSINE)
    graphs = [live.segment.graph is not None for live in writer._view.head.segments]
    assert any(graphs)
    assert not all(graphs)
    assert writer._view.head.tail_rows


def test_a_flat_collection_answers_as_one_with_graphs(open_shard: OpenShard) -> None:
    writer = open_shard(index=FLAT)
    vectors = clustered(1500)
    writer.upsert(batch_of([f"{row:05d}" for row in range(1500)], vectors)).result()
    writer.optimize()
    assert [live.segment.graph for live in writer._view.head.segments] == [None]
    for query in clustered(20, seed=4):
        best = np.argsort(-exact_scores(Metric.COSINE, query, vectors), kind="stable")[:10]
        assert [int(hit.id) for hit in writer.search(SearchQuery(query, 10))] == best.tolist()


def ids_of(hits: object) -> list[str]:
    assert isinstance(hits, tuple)
    found: list[Hit] = list(hits)
    return [hit.id for hit in found]


@pytest.mark.parametrize("place", ["tail", "segment"])
def test_conditions_that_python_takes_for_equal_have_their_own_answers(
    open_shard: OpenShard, place: str
) -> None:
    writer = open_shard()
    documents = {"int": b'{"v":1}', "float": b'{"v":1.0}', "true": b'{"v":true}', "text": b'{"v":"1"}'}
    for point_id, payload in documents.items():
        writer.upsert(batch_of([point_id], clustered(1), payload)).result()
    if place == "segment":
        writer.seal()
    numbers = ["float", "int"]
    expected: list[tuple[Filter, list[str]]] = [
        (Eq(("v",), 1), numbers),
        (Eq(("v",), True), ["true"]),
        (Eq(("v",), 1.0), numbers),
        (Eq(("v",), "1"), ["text"]),
        (In(("v",), (1,)), numbers),
        (In(("v",), (True,)), ["true"]),
        (In(("v",), (True, 1)), [*numbers, "true"]),
        (Not(Eq(("v",), True)), [*numbers, "text"]),
        (Not(Eq(("v",), 1)), ["text", "true"]),
        (And((Eq(("v",), True),)), ["true"]),
        (And((Eq(("v",), 1),)), numbers),
    ]
    for _ in range(2):
        for condition, ids in expected:
            hits = writer.search(SearchQuery(clustered(1)[0], 10, condition)).hits
            assert sorted(ids_of(hits)) == ids, condition
    keys = [key_of(condition) for condition, _ in expected]
    assert len(set(keys)) == len(keys)


def test_the_cache_of_matches_forgets_what_was_not_asked_for_longest() -> None:
    cache = MatchCache()
    computed: list[str] = []

    def ask(key: str) -> None:
        def compute() -> np.ndarray:
            computed.append(key)
            return np.array([True, False, True])

        found = cache.get(key, compute)
        assert (found.count, found.rows.tolist()) == (2, [0, 2])

    for number in range(16):
        ask(str(number))
    ask("0")
    ask("16")
    assert computed == [str(number) for number in range(17)]
    ask("0")
    ask("1")
    assert computed[17:] == ["1"]


def test_more_conditions_than_are_remembered_asked_at_once_get_their_own_answers(
    open_shard: OpenShard,
) -> None:
    writer = open_shard()
    count = 1200
    payloads = [b'{"n":%d}' % (row % 40) for row in range(count)]
    for start in (0, 600):
        part = slice(start, start + 600)
        ids = [str(row) for row in range(start, start + 600)]
        writer.upsert(PointBatch(ids, clustered(count)[part], payloads[part], ids)).result()
        if not start:
            writer.seal()
    wrong: list[object] = []

    def ask(seed: int) -> None:
        random = np.random.default_rng(seed)
        for number in random.integers(0, 40, 60).tolist():
            query = SearchQuery(clustered(1)[0], 100, Eq(("n",), number))
            hits = writer.search(query).hits
            if len(hits) != 30 or {int(hit.id) % 40 for hit in hits} != {number}:
                wrong.append((number, len(hits)))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_searches_of_one_graph_at_once_do_not_disturb_one_another(open_shard: OpenShard) -> None:
    writer = open_shard()
    vectors = clustered(3000)
    writer.upsert(batch_of([f"{row:05d}" for row in range(3000)], vectors)).result()
    writer.optimize()
    queries = [SearchQuery(query, 40) for query in clustered(30, seed=8)]
    alone = [ids_of(writer.search(query).hits) for query in queries]
    wrong: list[int] = []

    def ask(seed: int) -> None:
        asked = np.random.default_rng(seed).integers(0, 30, 80).tolist()
        wrong.extend(at for at in asked if ids_of(writer.search(queries[at]).hits) != alone[at])

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def spread(open_shard: OpenShard, metric: Metric = Metric.COSINE) -> ShardWriter:
    """Twelve points in two segments and the tail, alternately: the ids are in order, the parts are not."""
    writer = open_shard(metric=metric)
    for part in range(3):
        rows = range(part, 12, 3)
        writer.upsert(batch_of([f"{row:02d}" for row in rows], np.ones((4, DIMENSION), np.float32))).result()
        if part < 2:
            writer.seal()
    return writer


@pytest.mark.parametrize("metric", list(Metric))
def test_ties_in_several_parts_are_cut_by_id(open_shard: OpenShard, metric: Metric) -> None:
    writer = spread(open_shard, metric)
    query = np.arange(1, DIMENSION + 1, dtype=np.float32)
    for top_k in (1, 2, 5, 11, 12, 13, 10_000):
        hits = writer.search(SearchQuery(query, top_k)).hits
        assert ids_of(hits) == [f"{row:02d}" for row in range(min(top_k, 12))]
        assert len({hit.score for hit in hits}) == 1


def test_a_threshold_keeps_what_scores_just_that(open_shard: OpenShard) -> None:
    writer = open_shard(metric=Metric.DOT)
    vectors = np.zeros((6, DIMENSION), dtype=np.float32)
    vectors[:, 0] = range(6)
    for row in range(6):
        writer.upsert(batch_of([str(row)], vectors[row : row + 1])).result()
        if row % 2:
            writer.seal()
    query = np.eye(DIMENSION, dtype=np.float32)[0]
    for least, expected in ((3.0, "543"), (3.0000001, "54"), (-1.0, "543210"), (0.0, "543210"), (9.0, "")):
        assert ids_of(writer.search(SearchQuery(query, 10, score_threshold=least)).hits) == list(expected)
    assert ids_of(writer.search(SearchQuery(query, 2, score_threshold=3.0)).hits) == ["5", "4"]


def test_vectors_of_hits_are_copies(open_shard: OpenShard) -> None:
    writer = spread(open_shard)
    query = SearchQuery(np.ones(DIMENSION, dtype=np.float32), 12, include_vectors=True)
    for hit in writer.search(query):
        assert hit.vector is not None
        hit.vector[:] = -1
    hybrid = HybridQuery(vector=query.vector, text="03", include_vectors=True)
    for candidate in writer.search_hybrid(hybrid):
        assert candidate.vector is not None
        candidate.vector[:] = -1
    for hit in writer.search(query):
        assert hit.vector is not None
        assert hit.vector.tolist() == [1] * DIMENSION


def test_an_empty_shard_and_one_whose_points_all_died_find_nothing(open_shard: OpenShard) -> None:
    writer = open_shard()
    query = SearchQuery(clustered(1)[0], 10)
    assert writer.search(query).hits == ()
    writer.upsert(batch_of(["a", "b"], clustered(2))).result()
    writer.seal()
    writer.delete(["a", "b"]).result()
    for step in (in_tail, ShardWriter.seal, ShardWriter.optimize):
        step(writer)
        assert writer.search(query).hits == ()
        assert writer.search_hybrid(HybridQuery(vector=query.vector, text="a")) == []


# Hybrid.

WORDS = ["ray", "rays", "vector", "café", "database", "日本語", "the", "of", "zebra"]
FUSIONS: list[Fusion] = [
    Weighted(),
    Weighted(0.0, 1.0),
    Weighted(3.0, 1.0),
    Weighted(1.0, 0.0),
    ReciprocalRank(),
    ReciprocalRank(k=1),
]


class HybridShard:
    """A shard, and what should be in it."""

    def __init__(self, writer: ShardWriter, metric: Metric) -> None:
        self.writer, self.metric = writer, metric
        self.points: dict[str, Live] = {}
        self.random = np.random.default_rng(11)

    def upsert(self, count: int) -> None:
        rows = self.random.integers(0, 400, count)
        # Few different values, so that many points tie.
        vectors = self.random.integers(-1, 2, (count, DIMENSION)).astype(np.float32)
        vectors[:, 0] = 1
        ids = [f"{row:03d}" for row in rows.tolist()]
        texts = [
            None if row % 9 == 0 else " ".join(self.random.choice(WORDS, int(self.random.integers(0, 8))))
            for row in rows.tolist()
        ]
        payloads = [b'{"n":%d}' % (row % 5) for row in rows.tolist()]
        self.writer.upsert(PointBatch(ids, vectors, payloads, texts)).result()
        for at, point_id in enumerate(ids):
            self.points[point_id] = Live(vectors[at], texts[at], payloads[at])

    def delete(self, count: int) -> None:
        gone = self.random.choice(sorted(self.points), count, replace=False).tolist()
        assert self.writer.delete(gone).result() == gone
        for point_id in gone:
            del self.points[point_id]

    def check(self) -> None:
        vector = self.random.integers(-1, 2, DIMENSION).astype(np.float32)
        vector[1] = 2
        for at, fusion in enumerate(FUSIONS):
            for text in ("ray", "café zebra ray", "the", "absent", None):
                for asked in (vector, None):
                    self._check(fusion, text, asked, top_k=(1, 10, 60)[at % 3])

    def _check(self, fusion: Fusion, text: str | None, vector: np.ndarray | None, *, top_k: int) -> None:
        weights = (fusion.vector_weight, fusion.text_weight) if isinstance(fusion, Weighted) else (1, 1)
        if not (vector is not None and weights[0]) and not (text is not None and weights[1]):
            return
        for condition, number in ((None, None), (Eq(("n",), 3), 3)):
            query = HybridQuery(vector, text, top_k, condition, include_vectors=top_k == 1, fusion=fusion)
            assert_hybrid_as_brute_force(
                self.writer,
                self.points,
                query,
                self.metric,
                lambda point, number=number: number is None or point.payload == b'{"n":%d}' % number,  # type: ignore[misc]
            )


@pytest.mark.slow
@pytest.mark.parametrize("metric", list(Metric))
def test_hybrid_search_answers_as_brute_force_does_wherever_the_points_lie(
    open_shard: OpenShard, tmp_path: Path, metric: Metric
) -> None:
    shard = HybridShard(open_shard(metric=metric), metric)
    shard.upsert(150)
    shard.check()
    shard.delete(20)
    shard.writer.seal()
    shard.check()
    shard.upsert(200)
    shard.delete(20)
    shard.check()
    shard.writer.seal()
    shard.upsert(60)
    shard.delete(10)
    shard.check()
    shard.writer.optimize()
    shard.check()
    shard.upsert(30)
    shard.check()
