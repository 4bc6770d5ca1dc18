"""What a graph chooses: the rows that may be among the best, whatever its own numbers round to."""

import numpy as np
import pytest

from storage import scoring
from storage.graph import Found, Graph, GraphQuery, contenders, rounding_error
from vectoray.core.model import GraphType, IndexOptions, Metric

DIMENSION = 32


def graph_of(vectors: np.ndarray, metric: Metric, numbers: GraphType) -> Graph:
    graph = Graph.empty(vectors.shape[1], metric, IndexOptions(graph_type=numbers))
    graph.add(np.arange(len(vectors)), lambda rows: vectors[rows], seed=1, should_stop=lambda: False)
    return graph


@pytest.mark.parametrize("numbers", [GraphType.I8, GraphType.BF16, GraphType.F16, GraphType.F32])
def test_under_cosine_rows_that_the_rounding_may_have_misplaced_are_kept_and_few_others(
    numbers: GraphType,
) -> None:
    rng = np.random.default_rng(3)
    # One large component makes the steps of int8 as coarse as they get.
    query = scoring.unit(rng.normal(size=DIMENSION).astype(np.float32) + 12 * np.eye(DIMENSION)[0])
    near = scoring.unit(query + rng.normal(size=(30, DIMENSION)).astype(np.float32) * 0.004)
    far = scoring.unit(query + rng.normal(size=(300, DIMENSION)).astype(np.float32) * 0.2)
    vectors = np.concatenate([near, far]).astype(np.float32)
    graph = graph_of(vectors, Metric.COSINE, numbers)
    found, distances = graph.candidates(GraphQuery(Metric.COSINE, query), 200)
    error = rounding_error(scoring.largest_component(vectors), float(np.abs(query).max()))
    [kept] = contenders(Metric.COSINE, [Found(found, distances, error)], 10)
    best = np.argsort(-scoring.exact_scores(Metric.COSINE, query, vectors), kind="stable")[:10]
    assert set(best.tolist()) <= set(kept.tolist())
    assert len(kept) < 60


@pytest.mark.parametrize("numbers", [GraphType.I8, GraphType.BF16, GraphType.F16])
@pytest.mark.parametrize("spike", [0.0, 2.0, 30.0])
def test_a_graph_s_distances_are_as_near_to_the_exact_ones_as_it_is_said(
    numbers: GraphType, spike: float
) -> None:
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(500, DIMENSION)).astype(np.float32)
    vectors[:, 0] += spike
    query = scoring.unit(rng.normal(size=DIMENSION).astype(np.float32))
    found, distances = graph_of(vectors, Metric.COSINE, numbers).candidates(
        GraphQuery(Metric.COSINE, query), 500
    )
    exact = 1 - scoring.exact_scores(Metric.COSINE, query, vectors)[found]
    error = rounding_error(scoring.largest_component(vectors), float(np.abs(query).max()))
    assert np.abs(distances - exact).max() <= error
    # Not so wide that it says nothing.
    assert numbers is not GraphType.I8 or np.abs(distances - exact).max() >= 0.1 * error


@pytest.mark.parametrize("metric", [Metric.DOT, Metric.EUCLIDEAN])
def test_where_distances_have_no_scale_every_candidate_is_kept(metric: Metric) -> None:
    vectors = np.random.default_rng(4).normal(size=(200, DIMENSION)).astype(np.float32)
    graph = graph_of(vectors, metric, GraphType.BF16)
    found, distances = graph.candidates(GraphQuery(metric, vectors[0]), 50)
    assert np.array_equal(contenders(metric, [Found(found, distances)], 10)[0], found)


def test_never_fewer_than_asked_for_are_kept() -> None:
    vectors = np.random.default_rng(5).normal(size=(100, DIMENSION)).astype(np.float32)
    graph = graph_of(vectors, Metric.COSINE, GraphType.AUTO)
    found, distances = graph.candidates(GraphQuery(Metric.COSINE, vectors[3]), 20)
    assert len(contenders(Metric.COSINE, [Found(found, distances)], 20)[0]) == 20


def test_the_best_of_several_graphs_are_kept_wherever_they_are() -> None:
    rng = np.random.default_rng(6)
    vectors = rng.normal(size=(900, DIMENSION)).astype(np.float32)
    # The second graph holds what is near; a scan found some rows as well, which stay.
    vectors[300:600] += 3 * vectors[0]
    parts = np.split(vectors, 3)
    query = scoring.unit(vectors[0])
    graphs = [graph_of(part, Metric.COSINE, GraphType.AUTO) for part in parts]
    error = rounding_error(scoring.largest_component(vectors), float(np.abs(query).max()))
    found = [Found(*graph.candidates(GraphQuery(Metric.COSINE, query), 40), error) for graph in graphs]
    kept = contenders(Metric.COSINE, [*found, Found(np.arange(7))], 10)
    scores = [scoring.exact_scores(Metric.COSINE, query, part) for part in parts]
    best = np.sort(np.concatenate(scores))[-10:]
    got = np.concatenate([of_part[rows] for of_part, rows in zip(scores, kept[:3], strict=True)])
    assert set(best.tolist()) <= set(got.tolist())
    assert len(got) < 60
    assert len(kept[3]) == 7
