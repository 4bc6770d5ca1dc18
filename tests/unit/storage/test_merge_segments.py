"""A merged segment is the one that its rows would make anew, and its graph may grow instead."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pytest

from storage.bm25 import text_scores
from storage.filters import row_test
from storage.graph import Graph, GraphQuery, graph_type
from storage.match_cache import key_of
from storage.records import hash_ids
from storage.rows import SegmentRows
from storage.scoring import exact_scores
from storage.segment import Segment, Wanted
from storage.segment_files import Rows, merge_segments, write_segment
from storage.shard import ShardSpec
from storage.tail import ALIVE
from tests.unit.storage.conftest import DIMENSION, clustered
from vectoray.core.errors import InvalidRequest
from vectoray.core.filters import (
    And,
    Contains,
    Eq,
    Exists,
    Filter,
    In,
    Not,
    Or,
    Prefix,
    Range,
    SourceIs,
    TimeRange,
)
from vectoray.core.model import FloatMatrix, GraphType, IndexOptions, Metric

WORDS = ["ray", "vector", "Vectors", "café", "search", "searching", "the", "日本語", "graph's"]


def made(count: int, seed: int) -> SegmentRows:
    """Points of every kind of payload and text that a filter or a query may tell apart."""
    random = np.random.default_rng(seed)
    payloads: list[dict[str, Any]] = [
        {
            "n": [row % 7, float(row % 7), row % 7 == 1, None, str(row % 7)][row % 5],
            "deep": {"x": row / 8 - 20},
            "tags": [["a", "b"], [], [1, None], "a"][row % 4],
            "at": ["2026-01-02", "2026-01-02T03:04:05Z", "never"][row % 3],
            "name": WORDS[row % len(WORDS)] * (40 if row % 50 == 0 else 1),
            **({"rare": row} if row % 11 == 0 else {}),
        }
        for row in random.integers(0, 1000, count).tolist()
    ]
    texts = [
        None if row % 10 == 0 else " ".join(random.choice(WORDS, row % 6).tolist())
        for row in random.integers(0, 100, count).tolist()
    ]
    return SegmentRows(
        ids=[f"{seed}-{row}-é" for row in range(count)],
        seqs=np.arange(seed * 10_000, seed * 10_000 + count, dtype=np.uint64),
        updated_ms=np.arange(count, dtype=np.int64) * seed - 5,
        vectors=clustered(count, seed=seed),
        payloads=[orjson.dumps(payload) for payload in payloads],
        texts=texts,
        sources=[None if row % 7 == 0 else f"doc {row // 20} of é" for row in range(count)],
        chunk_indexes=np.arange(count, dtype=np.int32) % 20 - 1,
        created_ms=np.arange(count, dtype=np.int64) + seed,
    )


def plain(vectors: FloatMatrix, seed: int) -> SegmentRows:
    """Points of which only the vectors matter."""
    count = len(vectors)
    return SegmentRows(
        ids=[f"{seed}-{row}" for row in range(count)],
        seqs=np.arange(seed * 10_000, seed * 10_000 + count, dtype=np.uint64),
        updated_ms=np.zeros(count, dtype=np.int64),
        vectors=vectors,
        payloads=[b"{}"] * count,
        texts=[None] * count,
        sources=[None] * count,
        chunk_indexes=np.full(count, -1, dtype=np.int32),
        created_ms=np.zeros(count, dtype=np.int64),
    )


def written(
    directory: Path,
    rows: SegmentRows,
    *,
    with_graph: bool,
    metric: Metric = Metric.COSINE,
    options: IndexOptions | None = None,
) -> Segment:
    options = options or IndexOptions()
    write_segment(directory, rows, metric=metric, options=options, with_graph=with_graph)
    return Segment(directory, metric, options, verify=True)


def merged(
    directory: Path,
    parts: Sequence[tuple[Segment, Rows]],
    *,
    metric: Metric = Metric.COSINE,
    options: IndexOptions | None = None,
) -> Segment:
    options = options or IndexOptions()
    merge_segments(directory, parts, metric=metric, options=options)
    return Segment(directory, metric, options, verify=True)


def everything(segment: Segment) -> Rows:
    return np.arange(len(segment), dtype=np.int64)


def some(segment: Segment, seed: int = 0) -> Rows:
    """About two thirds of the rows."""
    return np.flatnonzero(np.random.default_rng(seed).random(len(segment)) < 0.66)


def alive(segment: Segment) -> npt.NDArray[np.uint64]:
    return np.full(len(segment), ALIVE, dtype=np.uint64)


def taken(parts: Sequence[tuple[Segment, Rows]]) -> SegmentRows:
    """The same rows, read field by field."""
    return SegmentRows(
        ids=[part.id(row) for part, rows in parts for row in rows.tolist()],
        seqs=np.array([part.seqs[row] for part, rows in parts for row in rows.tolist()], dtype=np.uint64),
        updated_ms=np.array([part.updated_ms[row] for part, rows in parts for row in rows.tolist()]),
        vectors=np.concatenate([part.vectors[rows] for part, rows in parts]),
        payloads=[part.payloads[row] for part, rows in parts for row in rows.tolist()],
        texts=[part.text(row) for part, rows in parts for row in rows.tolist()],
        sources=[part.source(row) for part, rows in parts for row in rows.tolist()],
        chunk_indexes=np.array(
            [part.chunk_indexes[row] for part, rows in parts for row in rows.tolist()], dtype=np.int32
        ),
        created_ms=np.array([part.created_ms[row] for part, rows in parts for row in rows.tolist()]),
    )


MORNING = datetime(2026, 1, 2, 3, tzinfo=UTC)
CONDITIONS: list[Filter] = [
    Eq(("n",), 1),
    Eq(("n",), True),
    Eq(("n",), "1"),
    Eq(("n",), None),
    Eq(("name",), WORDS[0] * 40),
    In(("n",), (2, "3", None)),
    Range(("deep", "x"), gt=-10.5, lte=30),
    Range(("name",), gte="g", lt="vector"),
    TimeRange(("at",), gte=MORNING),
    TimeRange(("at",), lt=MORNING),
    Exists(("rare",)),
    Exists(("deep", "y")),
    Prefix(("name",), "vec"),
    Contains(("tags",), "a"),
    Contains(("tags",), None),
    Not(Exists(("rare",))),
    SourceIs("doc 2 of é"),
    SourceIs("doc 200 of é"),
    And((SourceIs("doc 1 of é"), Contains(("tags",), "a"))),
    And((Exists(("rare",)), Or((Eq(("n",), 0), Range(("deep", "x"), lt=0))))),
    And(()),
    Or(()),
]
QUERIES = ["ray", "vector search", "the", "日本語", "CAFE", "searching ray ray", "absent"]


def assert_same(found: Segment, expected: Segment) -> None:
    """Whatever can be asked of two segments, apart from their graphs."""
    assert len(found) == len(expected)
    for column in ("vectors", "lengths", "seqs", "updated_ms", "created_ms", "chunk_indexes"):
        assert getattr(found, column).dtype == getattr(expected, column).dtype
        assert np.array_equal(getattr(found, column), getattr(expected, column)), column
    count = len(expected)
    for field in ("id", "text", "source"):
        assert [getattr(found, field)(row) for row in range(count)] == [
            getattr(expected, field)(row) for row in range(count)
        ]
    assert list(found.payloads) == list(expected.payloads)
    assert np.array_equal(found.hashes_by_row(), expected.hashes_by_row())
    ids = [expected.id(row) for row in range(count)]
    places = [sorted(segment.find(ids, hash_ids(ids), alive(segment), 0)) for segment in (found, expected)]
    assert places[0] == places[1]
    for condition in CONDITIONS:
        matches = found.matching(condition, key_of(condition)).mask
        test = row_test(condition)
        truth = [test(expected.payloads[row], expected.source(row)) for row in range(count)]
        assert matches.tolist() == truth, condition
    for name in ("lengths", "starts", "rows", "frequencies"):
        assert np.array_equal(getattr(found.text_index, name), getattr(expected.text_index, name)), name
    for query in QUERIES:
        scores = [text_scores([(one.text_index, count)], query)[0] for one in (found, expected)]
        assert scores[0].tolist() == scores[1].tolist()


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Segment]:
    """One with a graph, and two without; no merge changes what it merges."""
    folder = tmp_path_factory.mktemp("parts")
    return [
        written(folder / "0", made(1200, 1), with_graph=True),
        written(folder / "1", made(300, 2), with_graph=False),
        written(folder / "2", made(7, 3), with_graph=False),
    ]


@pytest.mark.parametrize(
    "choice",
    [
        {0: everything, 1: some, 2: everything},
        {0: some, 1: some},
        {1: some, 2: everything, 0: some},
        {2: everything, 1: everything},
        {0: everything},
        {0: some},
        {2: some},
        {1: everything, 2: lambda _: np.empty(0, dtype=np.int64)},
    ],
    ids=["grows", "anew", "anew-last", "small", "alone", "rewritten", "tiny", "nothing-of-one"],
)
def test_a_merged_segment_is_the_one_that_its_rows_make_anew(
    tmp_path: Path, parts: list[Segment], choice: dict[int, Any]
) -> None:
    chosen = [(parts[at], rows_of(parts[at])) for at, rows_of in choice.items()]
    found = merged(tmp_path / "merged", chosen)
    expected = written(tmp_path / "anew", taken(chosen), with_graph=True)
    assert_same(found, expected)
    assert (found.graph is None, found.indexed) == (expected.graph is None, expected.indexed)


def test_a_merged_segment_can_be_merged_again_and_again(tmp_path: Path, parts: list[Segment]) -> None:
    rows = [(part, everything(part)) for part in parts]
    once = merged(tmp_path / "once", rows[:2])
    chosen = [(once, everything(once)), rows[2]]
    twice = merged(tmp_path / "twice", chosen)
    assert_same(twice, written(tmp_path / "anew", taken(rows), with_graph=True))
    last = merged(tmp_path / "last", [(twice, some(twice))])
    assert_same(last, written(tmp_path / "rest", taken([(twice, some(twice))]), with_graph=True))


class Added:
    """The rows that enter a graph."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: list[int] = []
        add = Graph.add

        def noting(graph: Graph, rows: Rows, *rest: Any, **options: Any) -> None:
            self.rows += rows.tolist()
            add(graph, rows, *rest, **options)

        monkeypatch.setattr(Graph, "add", noting)


def test_only_the_rows_of_the_others_enter_a_graph_that_grows(
    tmp_path: Path, parts: list[Segment], monkeypatch: pytest.MonkeyPatch
) -> None:
    added = Added(monkeypatch)
    found = merged(tmp_path / "merged", [(part, everything(part)) for part in parts])
    assert sorted(added.rows) == list(range(1200, 1507))
    assert found.graph is not None
    assert len(found.graph) == 1507


def test_all_rows_enter_a_new_graph_when_some_of_the_first_segment_are_left_out(
    tmp_path: Path, parts: list[Segment], monkeypatch: pytest.MonkeyPatch
) -> None:
    added = Added(monkeypatch)
    found = merged(tmp_path / "merged", [(parts[0], everything(parts[0])[1:]), (parts[1], some(parts[1]))])
    assert sorted(added.rows) == list(range(len(found)))


def test_the_graph_that_grew_stays_as_it_was_where_it_came_from(tmp_path: Path, parts: list[Segment]) -> None:
    before = {path.name: path.read_bytes() for path in parts[0].files}
    merged(tmp_path / "merged", [(part, everything(part)) for part in parts])
    assert {path.name: path.read_bytes() for path in parts[0].files} == before
    assert parts[0].graph is not None
    assert len(parts[0].graph) == 1200


ALLOWED = [
    (metric, number)
    for metric in Metric
    for number in GraphType
    if number is not GraphType.I8 or metric is Metric.COSINE
]


@pytest.mark.slow
@pytest.mark.parametrize(("metric", "number"), ALLOWED)
def test_a_graph_of_any_type_grows_and_finds_rows_old_and_new(
    tmp_path: Path, metric: Metric, number: GraphType
) -> None:
    options = IndexOptions(graph_type=number)
    old = written(
        tmp_path / "old", plain(clustered(1100, seed=1), 1), with_graph=True, metric=metric, options=options
    )
    new = written(
        tmp_path / "new", plain(clustered(400, seed=2), 2), with_graph=False, metric=metric, options=options
    )
    chosen = [(old, everything(old)), (new, everything(new))]
    found = merged(tmp_path / "merged", chosen, metric=metric, options=options)
    assert found.graph is not None
    assert len(found.graph) == 1500
    assert recall(found, metric) >= 0.98


def test_graphs_of_i8_are_for_cosine_only() -> None:
    for metric in (Metric.DOT, Metric.EUCLIDEAN):
        with pytest.raises(InvalidRequest):
            ShardSpec(DIMENSION, metric, IndexOptions(graph_type=GraphType.I8))
        assert graph_type(metric, IndexOptions()) is not GraphType.I8


def recall(segment: Segment, metric: Metric, queries: int = 60) -> float:
    """Of the exact best ten, the share among the graph's best 64."""
    assert segment.graph is not None
    random = np.random.default_rng(5)
    rows = random.integers(0, len(segment), queries)
    found = 0
    for row in rows.tolist():
        noise = 0.3 * random.standard_normal(segment.vectors.shape[1])
        query = (segment.vectors[row] + noise).astype(np.float32)
        best = np.argsort(-exact_scores(metric, query, segment.vectors), kind="stable")[:10]
        found += len(np.intersect1d(segment.graph.candidates(GraphQuery(metric, query), 64)[0], best))
    return found / (10 * queries)


@pytest.mark.slow
@pytest.mark.parametrize("metric", list(Metric))
def test_a_graph_that_grew_five_times_finds_what_one_built_anew_finds(tmp_path: Path, metric: Metric) -> None:
    vectors = clustered(5000, 32)
    # Topics come one after the other, as documents do.
    vectors = vectors[np.argsort(vectors[:, 0])]
    grown = written(tmp_path / "0", plain(vectors[:1100], 1), with_graph=True, metric=metric)
    ends = [1100, 1500, 2000, 2600, 3600, 5000]
    for at, (start, end) in enumerate(pairwise(ends), start=1):
        more = written(
            tmp_path / f"more-{at}",
            plain(vectors[start:end], at + 1),
            with_graph=False,
            metric=metric,
        )
        grown = merged(
            tmp_path / str(at), [(grown, everything(grown)), (more, everything(more))], metric=metric
        )
    anew = written(tmp_path / "anew", taken([(grown, everything(grown))]), with_graph=True, metric=metric)
    assert recall(grown, metric) >= 0.98
    assert abs(recall(grown, metric) - recall(anew, metric)) <= 0.02


def one_hot(rows: int) -> FloatMatrix:
    return np.eye(DIMENSION, dtype=np.float32)[np.arange(rows) % DIMENSION]


def many_duplicates(rows: int) -> FloatMatrix:
    """Every vector some three hundred times."""
    return clustered(rows // 300 + 1)[np.arange(rows) % (rows // 300 + 1)]


def with_zeros(rows: int) -> FloatMatrix:
    vectors = clustered(rows)
    vectors[::9] = 0
    return vectors


def of_all_lengths(rows: int) -> FloatMatrix:
    lengths = 10.0 ** np.random.default_rng(0).uniform(-30, 30, (rows, 1))
    return (clustered(rows) * lengths).astype(np.float32)


EXTREMES: dict[str, Callable[[int], FloatMatrix]] = {
    "one-hot": one_hot,
    "duplicates": many_duplicates,
    "zeros": with_zeros,
    "all-lengths": of_all_lengths,
    "tiny": lambda rows: clustered(rows) * np.float32(1e-30),
    "huge": lambda rows: clustered(rows) * np.float32(1e30),
    "all-equal": lambda rows: np.ones((rows, DIMENSION), dtype=np.float32),
    "all-zero": lambda rows: np.zeros((rows, DIMENSION), dtype=np.float32),
}
# No graph finds its way among these: float32 does not hold the distances or products of the long ones, and
# more equal vectors than the graph looks at lead nowhere else. Then every row is compared.
REFUSED = {
    ("all-lengths", Metric.DOT),
    ("all-lengths", Metric.EUCLIDEAN),
    ("huge", Metric.EUCLIDEAN),
}


@pytest.mark.slow
@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("kind", EXTREMES)
def test_the_best_are_found_among_the_strangest_vectors(tmp_path: Path, kind: str, metric: Metric) -> None:
    vectors = EXTREMES[kind](1500)
    old = written(tmp_path / "old", plain(vectors[:1100], 1), with_graph=True, metric=metric)
    new = written(tmp_path / "new", plain(vectors[1100:], 2), with_graph=False, metric=metric)
    found = merged(tmp_path / "merged", [(old, everything(old)), (new, everything(new))], metric=metric)
    assert (found.graph is None) == ((kind, metric) in REFUSED)
    assert found.indexed
    for row in range(0, 1500, 90):
        query = np.array(vectors[row])
        rows = found.candidates(Wanted(GraphQuery(metric, query), 10, 0), alive(found), None).rows
        best = np.sort(exact_scores(metric, query, vectors))[-10:]
        assert np.array_equal(np.sort(exact_scores(metric, query, vectors[rows]))[-10:], best)
