"""Exact comparison against a float64 reference: the scan may return more than the best, never less."""

import math
import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.scoring import Candidates, best, exact_scores, norms, scan
from vectoray.core.model import FloatMatrix, FloatVector, Metric

LARGEST = float(np.finfo(np.float32).max)
# Within these powers of ten no product and no square of two values leaves float32.
MODERATE = {
    Metric.COSINE: [1e-12, 1e-6, 1.0, 1e6, 1e12],
    Metric.DOT: [1e-12, 1e-6, 1.0, 1e6, 1e12],
    Metric.EUCLIDEAN: [0.01, 1.0, 1e6, 1e12],
}


def reference(metric: Metric, query: FloatVector, vector: FloatVector) -> float:
    """The score by its definition in `Metric`, summed without rounding errors."""
    a, b = [float(value) for value in query], [float(value) for value in vector]
    if metric is Metric.EUCLIDEAN:
        return 1.0 / (1.0 + math.dist(a, b))
    product = math.fsum(x * y for x, y in zip(a, b, strict=True))
    if metric is Metric.DOT:
        return max(-LARGEST, min(LARGEST, product))
    lengths = math.hypot(*a) * math.hypot(*b)
    return max(-1.0, min(1.0, product / lengths)) if lengths else 0.0


@st.composite
def searches(draw: st.DrawFn) -> tuple[Metric, FloatVector, FloatMatrix, npt.NDArray[np.int64], int]:
    """A metric, a query, vectors of which many tie or nearly tie, the rows to look at, and k."""
    metric = draw(st.sampled_from(Metric))
    dimension = draw(st.integers(1, 9))
    rows = draw(st.integers(1, 60))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    scales = np.array(MODERATE[metric])
    # Few different values make ties; the magnitudes of the rows differ by up to 24 powers of ten.
    vectors = random.integers(-3, 4, (rows, dimension)) * random.choice(scales, (rows, 1))
    vectors[~vectors.any(axis=1), 0] = 1.0
    query = random.integers(-3, 4, dimension) * random.choice(scales)
    query[0] = query[0] or 1.0
    if draw(st.booleans()):
        vectors = vectors * (1 + 1e-6 * random.standard_normal(vectors.shape))
    looked_at = np.flatnonzero(random.random(rows) < draw(st.sampled_from([0.3, 1.0])))
    k = draw(st.integers(1, 12))
    return metric, query.astype(np.float32), vectors.astype(np.float32), looked_at, k


@given(search=searches())
def test_a_scan_holds_the_exact_best_and_every_tie_with_the_last_of_them(
    search: tuple[Metric, FloatVector, FloatMatrix, npt.NDArray[np.int64], int],
) -> None:
    metric, query, vectors, rows, k = search

    found = scan(metric, query, vectors, norms(vectors), rows=rows, k=k)

    assert len(set(found.tolist())) == len(found) >= min(k, len(rows))
    assert set(found.tolist()) <= set(rows.tolist())
    scores = {row: np.float32(reference(metric, query, vectors[row])) for row in rows.tolist()}
    if len(rows) > k:
        last = sorted(scores.values(), reverse=True)[k - 1]
        best = {row for row, score in scores.items() if score >= last}
        assert best <= set(found.tolist())


@pytest.mark.parametrize("metric", list(Metric))
def test_a_scan_over_several_blocks_finds_what_lies_in_each(metric: Metric) -> None:
    random = np.random.default_rng(3)
    vectors = random.standard_normal((9001, 4)).astype(np.float32)
    query = vectors[8191] * np.float32(2)
    for rows in (np.arange(9001), np.arange(1, 9001, 2), np.array([0, 4096, 9000])):
        scores = exact_scores(metric, query, vectors[rows])
        for k in (1, 10, 100):
            found = scan(metric, query, vectors, norms(vectors), rows=rows, k=k)
            best = rows[np.argsort(-scores, kind="stable")[:k]]
            assert set(best.tolist()) <= set(found.tolist())
            assert len(found) <= k + 5


def test_a_scan_of_fewer_rows_than_asked_for_gives_them_all() -> None:
    vectors = np.eye(3, dtype=np.float32)
    for rows in ([], [1], [0, 2]):
        chosen = np.array(rows, dtype=np.int64)
        found = scan(Metric.DOT, vectors[0], vectors, norms(vectors), rows=chosen, k=2)
        assert found.tolist() == rows


def test_all_equal_vectors_tie_and_all_come_back() -> None:
    vectors = np.tile(np.array([[0.1, 0.7, -0.3]], dtype=np.float32), (50, 1))
    for metric in Metric:
        found = scan(metric, vectors[0], vectors, norms(vectors), rows=np.arange(50), k=3)
        assert len(found) == 50


finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def matrices(draw: st.DrawFn) -> tuple[FloatVector, FloatMatrix]:
    """A query and some vectors, with any finite values of float32."""
    dimension, rows = draw(st.integers(1, 20)), draw(st.integers(1, 8))
    values = draw(st.lists(finite, min_size=dimension * (rows + 1), max_size=dimension * (rows + 1)))
    matrix = np.array(values, dtype=np.float32).reshape(rows + 1, dimension)
    return matrix[0], matrix[1:]


@given(metric=st.sampled_from(Metric), given_vectors=matrices())
def test_exact_scores_follow_the_definition_for_any_finite_values(
    metric: Metric, given_vectors: tuple[FloatVector, FloatMatrix]
) -> None:
    query, vectors = given_vectors
    scores = exact_scores(metric, query, vectors)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    for score, vector in zip(scores.tolist(), vectors, strict=True):
        # Products may cancel: what remains is exact to the rounding of the largest of them.
        largest = float(np.max(np.abs(query.astype(np.float64) * vector.astype(np.float64))))
        rounding = largest * 1e-14 if metric is Metric.DOT else 1e-13
        expected = reference(metric, query, vector)
        assert score == pytest.approx(expected, rel=1.2e-7, abs=max(rounding, 1.5e-45))


@given(metric=st.sampled_from(Metric), given_vectors=matrices(), seed=st.integers(0, 2**32))
def test_exact_scores_are_the_same_bits_in_any_company(
    metric: Metric, given_vectors: tuple[FloatVector, FloatMatrix], seed: int
) -> None:
    query, vectors = given_vectors
    together = exact_scores(metric, query, vectors)
    order = np.random.default_rng(seed).permutation(len(vectors))
    assert exact_scores(metric, query, vectors[order]).tobytes() == together[order].tobytes()
    alone = [exact_scores(metric, query, vectors[row : row + 1]) for row in range(len(vectors))]
    assert np.concatenate(alone).tobytes() == together.tobytes()
    in_a_crowd = np.concatenate([vectors, np.ones((500, len(query)), dtype=np.float32)])
    assert exact_scores(metric, query, in_a_crowd)[: len(vectors)].tobytes() == together.tobytes()


@given(given_vectors=matrices())
def test_lengths_are_right_where_squares_leave_float32(
    given_vectors: tuple[FloatVector, FloatMatrix],
) -> None:
    _, vectors = given_vectors
    for length, vector in zip(norms(vectors).tolist(), vectors.tolist(), strict=True):
        assert length == pytest.approx(min(math.hypot(*vector), LARGEST), rel=1e-6, abs=1.5e-45)


def test_no_score_is_given_for_an_empty_matrix() -> None:
    for metric in Metric:
        none = np.empty((0, 3), dtype=np.float32)
        assert exact_scores(metric, np.ones(3, dtype=np.float32), none).shape == (0,)


@pytest.mark.parametrize("magnitude", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("metric", list(Metric))
def test_vectors_that_differ_only_in_the_order_of_their_values_tie(metric: Metric, magnitude: float) -> None:
    random = np.random.default_rng(1)
    values = magnitude * random.random(40)
    # Float32 sums differ with the order of additions; the scores a client sees do not.
    vectors = np.stack([random.permutation(values) for _ in range(200)]).astype(np.float32)
    found = scan(metric, np.ones(40, dtype=np.float32), vectors, norms(vectors), rows=np.arange(200), k=1)
    assert len(found) == 200


def test_where_all_rows_of_several_parts_tie_they_are_not_copied_together() -> None:
    parts = [np.ones((rows, 128), dtype=np.float32) for rows in (30_000, 30_000, 500)]
    candidates = [Candidates(part, norms(part), np.arange(len(part))) for part in parts]
    tracemalloc.start()
    try:
        found = best(Metric.DOT, np.zeros(128, dtype=np.float32), candidates, 10)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [len(rows) for rows, _ in found] == [30_000, 30_000, 500]
    assert peak < 1.5 * max(part.nbytes for part in parts)
