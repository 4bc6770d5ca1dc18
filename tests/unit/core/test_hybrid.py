"""Hybrid queries: which are refused, and which retrievers they ask."""

import math
import pickle

import numpy as np
import pytest

from vectoray.core.errors import InvalidRequest
from vectoray.core.hybrid import Fusion, HybridQuery, ReciprocalRank, Weighted

VECTOR = np.ones(2, dtype=np.float32)


@pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["vector_weight", "text_weight"])
def test_a_weight_that_is_negative_or_not_finite_is_refused_by_name(name: str, weight: float) -> None:
    with pytest.raises(InvalidRequest, match=f"^'{name}' must be"):
        Weighted(**{name: weight})


@pytest.mark.parametrize("weights", [(0.0, 0.0), (1.7e308, 1.7e308)])
def test_weights_without_a_usable_sum_are_refused(weights: tuple[float, float]) -> None:
    with pytest.raises(InvalidRequest, match="sum"):
        Weighted(*weights)


def test_one_weight_may_be_zero_and_either_may_be_above_one() -> None:
    assert Weighted(0.0, 5.0).text_weight == 5.0
    assert Weighted(2.0, 0.0).vector_weight == 2.0


@pytest.mark.parametrize("k", [0, -1, 1_000_001])
def test_a_rank_constant_out_of_range_is_refused(k: int) -> None:
    with pytest.raises(InvalidRequest, match="'k'"):
        ReciprocalRank(k)


def test_a_query_needs_a_vector_or_a_text() -> None:
    with pytest.raises(InvalidRequest, match="'vector', 'text' or both"):
        HybridQuery()


def test_a_query_whose_only_part_has_no_weight_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="only 'text', and its weight is 0"):
        HybridQuery(text="fox", fusion=Weighted(1.0, 0.0))
    with pytest.raises(InvalidRequest, match="only 'vector', and its weight is 0"):
        HybridQuery(vector=VECTOR, fusion=Weighted(0.0, 1.0))


@pytest.mark.parametrize(
    ("query", "by_vector", "by_text"),
    [
        (HybridQuery(vector=VECTOR, text="fox"), True, True),
        (HybridQuery(vector=VECTOR), True, False),
        (HybridQuery(text="fox"), False, True),
        (HybridQuery(vector=VECTOR, text="fox", fusion=Weighted(1.0, 0.0)), True, False),
        (HybridQuery(vector=VECTOR, text="fox", fusion=Weighted(0.0, 1.0)), False, True),
        (HybridQuery(vector=VECTOR, text="fox", fusion=ReciprocalRank()), True, True),
        (HybridQuery(text="fox", fusion=ReciprocalRank()), False, True),
    ],
)
def test_a_retriever_is_asked_if_its_part_is_given_and_has_weight(
    query: HybridQuery, *, by_vector: bool, by_text: bool
) -> None:
    assert (query.by_vector, query.by_text) == (by_vector, by_text)


def test_without_a_choice_vectors_weigh_seven_tenths_and_words_three() -> None:
    assert HybridQuery(text="fox").fusion == Weighted(vector_weight=0.7, text_weight=0.3)
    assert ReciprocalRank().k == 60


@pytest.mark.parametrize("fusion", [Weighted(0.2, 0.8), ReciprocalRank(7)])
def test_a_query_crosses_processes_as_it_is(fusion: Fusion) -> None:
    query = HybridQuery(text="fox", top_k=3, fusion=fusion)
    assert pickle.loads(pickle.dumps(query)) == query  # noqa: S301
