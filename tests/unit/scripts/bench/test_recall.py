"""Exact answers and recall, against sorting all scores."""

import numpy as np
import pytest

from scripts.bench.recall import cosines, kth_scores, recall
from scripts.bench.text_like import unit
from vectoray.core.model import FloatMatrix

K = 10


def vectors_of(rows: int, *, seed: int = 0) -> FloatMatrix:
    return unit(np.random.default_rng(seed).standard_normal((rows, 24), dtype=np.float32))


def test_kth_scores_are_those_of_a_full_sort_over_many_blocks() -> None:
    vectors, queries = vectors_of(20_000), vectors_of(5, seed=1)
    expected = [np.sort(cosines(query, vectors))[-K] for query in queries]
    assert kth_scores(vectors, queries, K) == pytest.approx(expected, abs=1e-12)


def test_kth_scores_of_some_rows_look_at_no_other() -> None:
    vectors, queries = vectors_of(3000), vectors_of(5, seed=1)
    rows = np.arange(7, 3000, 11)
    expected = [np.sort(cosines(query, vectors[rows]))[-K] for query in queries]
    assert kth_scores(vectors, queries, K, rows=rows) == pytest.approx(expected, abs=1e-12)


def test_the_exact_answer_has_recall_one_and_each_miss_costs_a_tenth() -> None:
    vectors, queries = vectors_of(500), vectors_of(1, seed=1)
    order = np.argsort(-cosines(queries[0], vectors)).tolist()
    kth = kth_scores(vectors, queries, K)
    assert recall([order[:K]], vectors, queries, kth, k=K) == 1.0
    assert recall([[*order[: K - 1], order[400]]], vectors, queries, kth, k=K) == 0.9
    assert recall([order[: K - 2]], vectors, queries, kth, k=K) == 0.8


def test_any_of_the_vectors_that_tie_for_the_last_place_counts() -> None:
    vectors, queries = vectors_of(500), vectors_of(1, seed=1)
    order = np.argsort(-cosines(queries[0], vectors)).tolist()
    vectors[order[50]] = vectors[order[K - 1]]
    kth = kth_scores(vectors, queries, K)
    assert recall([[*order[: K - 1], order[50]]], vectors, queries, kth, k=K) == 1.0


def test_a_hit_given_twice_counts_once() -> None:
    vectors, queries = vectors_of(500), vectors_of(1, seed=1)
    order = np.argsort(-cosines(queries[0], vectors)).tolist()
    kth = kth_scores(vectors, queries, K)
    assert recall([[order[0]] * K], vectors, queries, kth, k=K) == 0.1


def test_where_a_filter_leaves_fewer_than_k_all_of_them_are_recall_one() -> None:
    vectors, queries = vectors_of(500), vectors_of(2, seed=1)
    rows = np.array([3, 30, 300])
    kth = kth_scores(vectors, queries, K, rows=rows)
    answers = [rows.tolist(), rows[:2].tolist()]
    found = recall(answers, vectors, queries, kth, k=K, matching=rows)
    assert found == pytest.approx((1 + 2 / 3) / 2)


def test_a_hit_that_the_filter_excludes_does_not_count() -> None:
    vectors, queries = vectors_of(500), vectors_of(1, seed=1)
    order = np.argsort(-cosines(queries[0], vectors))
    rows = np.sort(order[1::2])
    kth = kth_scores(vectors, queries, K, rows=rows)
    answer = [int(order[0]), *order[1::2][: K - 1].tolist()]
    assert recall([answer], vectors, queries, kth, k=K, matching=rows) == 0.9
