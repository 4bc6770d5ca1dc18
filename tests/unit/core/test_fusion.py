"""Fusion of vector and text scores: order, scores, ties, and how little it depends on who found what."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectoray.core.fusion import candidates_of, fuse, shortlist
from vectoray.core.hybrid import Candidate, Fusion, HybridQuery, ReciprocalRank, Weighted
from vectoray.core.model import Hit, Ranking, SearchResult

VECTOR = np.ones(2, dtype=np.float32)
BOTH = HybridQuery(vector=VECTOR, text="fox")
FUSIONS: list[Fusion] = [Weighted(), Weighted(0.25, 4.0), ReciprocalRank(), ReciprocalRank(1)]


def candidate(point_id: str, vector_score: float | None, text_score: float | None) -> Candidate:
    return Candidate(point_id, vector_score, text_score, payload=b"{}", text=None)


def fused(query: HybridQuery, *candidates: tuple[str, float | None, float | None]) -> list[tuple[str, float]]:
    """Ids and scores, rounded, of fusing candidates given as (id, vector score, text score)."""
    hits = fuse(query, [[candidate(*one) for one in candidates]])
    return [(hit.id, round(hit.score, 9)) for hit in hits]


def ids(result: SearchResult) -> list[str]:
    return [hit.id for hit in result]


# Weighted.


def test_weighted_fusion_brings_both_scores_to_one_range_and_weighs_them() -> None:
    assert fused(BOTH, ("a", 0.9, 0.0), ("b", 0.7, 8.0), ("c", 0.5, 2.0)) == [
        ("a", 0.7),  # 0.7 * 1 + 0.3 * 0
        ("b", 0.65),  # 0.7 * 0.5 + 0.3 * 1
        ("c", 0.075),  # 0.7 * 0 + 0.3 * 0.25
    ]


def test_only_the_proportion_of_the_weights_counts() -> None:
    rows = [("a", 0.9, 0.0), ("b", 0.7, 8.0), ("c", 0.5, 2.0)]
    assert fused(replace(BOTH, fusion=Weighted(7000, 3000)), *rows) == fused(BOTH, *rows)


@pytest.mark.parametrize(("vector_score", "text_score"), [(0.4, 3.0), (-0.4, 3.0), (0.0, 1e-9)])
def test_a_single_candidate_found_by_both_scores_one(vector_score: float, text_score: float) -> None:
    assert fused(BOTH, ("a", vector_score, text_score)) == [("a", 1.0)]


def test_equal_scores_all_count_as_the_best_and_ids_decide() -> None:
    assert fused(BOTH, ("b", 0.5, 2.0), ("a", 0.5, 2.0)) == [("a", 1.0), ("b", 1.0)]
    assert fused(BOTH, ("b", 0.5, 0.0), ("a", 0.5, 0.0)) == [("a", 0.7), ("b", 0.7)]


def test_negative_vector_scores_are_normalised_like_any_other() -> None:
    assert fused(replace(BOTH, text=None), ("a", -0.1, None), ("b", -0.9, None), ("c", -0.3, None)) == [
        ("a", 1.0),
        ("c", 0.75),
        ("b", 0.0),
    ]


def test_a_row_with_a_word_is_worth_more_than_one_without_however_few_have_any() -> None:
    assert fused(BOTH, ("a", 0.5, 0.0), ("b", 0.5, 6.0), ("c", 0.5, 3.0)) == [
        ("b", 1.0),
        ("c", 0.85),
        ("a", 0.7),
    ]


def test_words_that_no_row_has_take_nothing_from_the_order_and_give_nothing_to_the_score() -> None:
    assert fused(BOTH, ("a", 0.2, 0.0), ("b", 0.6, 0.0)) == [("b", 0.7), ("a", 0.0)]


def test_a_full_text_list_ends_at_its_last_row_and_what_is_below_counts_nothing() -> None:
    depth = candidates_of(BOTH)
    rows = [(f"p{row:03}", 0.5, 100.0 + depth - row) for row in range(depth)]
    assert fused(replace(BOTH, top_k=3), *rows, ("x", 0.9, 50.0)) == [
        ("x", 0.7),
        ("p000", 0.3),
        ("p001", round(0.3 * (depth - 2) / (depth - 1), 9)),
    ]


def test_a_full_list_of_equal_scores_counts_for_all_that_tie_with_it_and_for_no_other() -> None:
    tied = [(f"p{row:03}", 0.5, 3.0) for row in range(candidates_of(BOTH))]
    assert fused(replace(BOTH, top_k=3), *tied, ("x", 0.9, 3.0), ("y", 0.8, 2.0)) == [
        ("x", 1.0),
        ("y", 0.525),
        ("p000", 0.3),
    ]


# Reciprocal rank.


def test_reciprocal_ranks_are_summed_over_the_lists_a_row_is_in() -> None:
    query = replace(BOTH, fusion=ReciprocalRank())
    assert fused(query, ("a", 0.9, 0.0), ("b", 0.8, 2.0), ("c", 0.1, 5.0)) == [
        ("c", round(1 / 63 + 1 / 61, 9)),
        ("b", round(1 / 62 + 1 / 62, 9)),
        ("a", round(1 / 61, 9)),
    ]


def test_rows_that_tie_share_a_rank_so_that_the_other_retriever_decides() -> None:
    query = replace(BOTH, fusion=ReciprocalRank())
    # Were the tied texts ranked 1 and 2 by id, "a" would win against the better vector.
    assert fused(query, ("x", 0.9, 0.0), ("a", 0.7, 2.0), ("b", 0.8, 2.0), ("c", 0.1, 1.0)) == [
        ("b", round(1 / 62 + 1 / 61, 9)),
        ("a", round(1 / 63 + 1 / 61, 9)),
        ("c", round(1 / 64 + 1 / 63, 9)),
        ("x", round(1 / 61, 9)),
    ]


def test_the_last_of_a_full_list_is_in_it_and_the_next_is_not() -> None:
    query = replace(BOTH, fusion=ReciprocalRank(), top_k=1000)
    depth = candidates_of(query)
    rows = [candidate(f"p{row:04}", 1.0, float(2 * depth - row)) for row in range(depth + 1)]
    rows += [candidate(f"v{row:04}", 2.0, 0.0) for row in range(depth)]
    listed = {row.id for row in shortlist(query, [rows])}
    assert len(listed) == 2 * depth
    assert f"p{depth - 1:04}" in listed
    assert f"p{depth:04}" not in listed


# One retriever.


@pytest.mark.parametrize("fusion", FUSIONS)
def test_with_a_vector_alone_the_order_is_that_of_the_vector_scores(fusion: Fusion) -> None:
    query = HybridQuery(vector=VECTOR, fusion=fusion)
    found = fuse(query, [[candidate("a", -0.5, None), candidate("b", 0.5, None), candidate("c", 0.2, None)]])
    assert ids(found) == ["b", "c", "a"]
    assert found.hits[0].ranking == Ranking(rank=1, vector_score=0.5, text_score=None)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_with_a_text_alone_the_order_is_that_of_the_text_scores_and_only_rows_with_a_word_are_hits(
    fusion: Fusion,
) -> None:
    query = HybridQuery(text="fox", fusion=fusion)
    found = fuse(query, [[candidate("a", None, 1.5), candidate("b", None, 0.0), candidate("c", None, 2.0)]])
    assert ids(found) == ["c", "a"]
    assert found.hits[0].ranking == Ranking(rank=1, vector_score=None, text_score=2.0)


def test_one_retriever_of_a_weighted_query_is_normalised_to_the_whole_range() -> None:
    assert fused(HybridQuery(text="fox"), ("a", None, 4.0), ("b", None, 1.0)) == [("a", 1.0), ("b", 0.25)]
    assert fused(HybridQuery(vector=VECTOR), ("a", 4.0, None), ("b", 1.0, None)) == [("a", 1.0), ("b", 0.0)]


def test_a_retriever_of_weight_zero_finds_nothing_but_its_scores_are_told() -> None:
    rows = [("a", 0.9, 0.0), ("b", 0.1, 2.0), ("c", 0.2, 1.0)]
    by_text = replace(BOTH, fusion=Weighted(0.0, 1.0))
    assert fused(by_text, *rows) == fused(replace(by_text, vector=None), *rows) == [("b", 1.0), ("c", 0.5)]
    found = fuse(by_text, [[candidate(*row) for row in rows]])
    assert found.hits[0].ranking == Ranking(rank=1, vector_score=0.1, text_score=2.0)
    by_vector = replace(BOTH, fusion=Weighted(1.0, 0.0))
    assert fused(by_vector, *rows) == fused(replace(by_vector, text=None), *rows)
    assert [point_id for point_id, _ in fused(by_vector, *rows)] == ["a", "c", "b"]


def test_a_retriever_of_weight_zero_brings_no_row_into_the_shortlist() -> None:
    by_vector = [candidate(f"p{row:03}", 0.5, 0.0) for row in range(candidates_of(BOTH))]
    by_text = [candidate("x", 0.1, 9.0)]
    assert shortlist(BOTH, [by_vector, by_text]) == by_vector + by_text
    assert shortlist(replace(BOTH, fusion=Weighted(1.0, 0.0)), [by_vector, by_text]) == by_vector


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_row_without_a_score_is_not_found_by_that_retriever(fusion: Fusion) -> None:
    query = replace(BOTH, fusion=fusion)
    rows = [("a", -0.5, 1.0), ("b", -0.9, 3.0)]
    by_vector, by_text = replace(query, text=None), replace(query, vector=None)
    assert fused(by_vector, *rows, ("c", None, 2.0)) == fused(by_vector, *rows)
    assert fused(by_text, *rows, ("c", 0.9, None)) == fused(by_text, *rows)


# What hits carry.


def test_a_hit_carries_its_candidate_its_place_and_the_scores_it_comes_from() -> None:
    vector = np.array([1, 2], dtype=np.float32)
    rows = [
        Candidate("a", 0.25, 3.0, payload=b'{"n":1}', text="a fox", vector=vector),
        Candidate("b", 0.75, 0.0, payload=b'{"n":2}', text=None, vector=vector),
    ]
    found = fuse(replace(BOTH, fusion=Weighted(0.75, 0.25), include_vectors=True), [rows])
    assert found.hits == (
        Hit("b", 0.75, b'{"n":2}', None, vector, Ranking(1, 0.75, 0.0)),
        Hit("a", 0.25, b'{"n":1}', "a fox", vector, Ranking(2, 0.25, 3.0)),
    )
    assert [type(hit.score) for hit in found] == [float, float]


@pytest.mark.parametrize("fusion", FUSIONS)
def test_nothing_fused_is_nothing(fusion: Fusion) -> None:
    query = replace(BOTH, fusion=fusion)
    assert fuse(query, []) == fuse(query, [[], []]) == SearchResult()
    assert fuse(replace(query, top_k=0), [[candidate("a", 1.0, 1.0)]]) == SearchResult()
    assert shortlist(query, []) == []


# How many candidates.


def test_more_candidates_are_asked_for_than_reciprocal_ranks_could_need() -> None:
    for top_k in range(1, 1001):
        depth = candidates_of(replace(BOTH, top_k=top_k))
        best_of_rows_cut_off = Fraction(2, 60 + depth + 1)
        worst_of_one_list = Fraction(1, 60 + top_k)
        assert best_of_rows_cut_off < worst_of_one_list


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_longer_answer_begins_with_the_shorter_one(fusion: Fusion) -> None:
    drawn = np.random.default_rng(5).random((300, 2)).tolist()
    rows = [candidate(f"p{row:03}", by_vector, by_text) for row, (by_vector, by_text) in enumerate(drawn)]
    longest = ids(fuse(replace(BOTH, fusion=fusion, top_k=20), [rows]))
    for top_k in range(1, 20):
        assert ids(fuse(replace(BOTH, fusion=fusion, top_k=top_k), [rows])) == longest[:top_k]


# Properties. Few distinct scores make many ties; more rows than a list holds make lists end.

fusions = st.sampled_from([*FUSIONS, Weighted(1.0, 0.0), Weighted(0.0, 1.0)])
scores = st.integers(-8, 24).map(lambda eighths: eighths / 8)


@st.composite
def candidate_lists(draw: st.DrawFn) -> list[Candidate]:
    vector_scores = draw(st.lists(scores, min_size=1, max_size=150))
    random = np.random.default_rng(draw(st.integers(0, 1_000_000)))
    # Hypothesis prefers short lists; these are to be longer than a retriever's.
    vector_scores += (random.integers(-1000, 1000, draw(st.sampled_from([0, 0, 150]))) / 1024).tolist()
    n = len(vector_scores)
    most = draw(st.sampled_from([1, 5, 1000]))
    has_word = random.random(n) < draw(st.sampled_from([0.0, 0.1, 0.9, 1.0]))
    text_scores = np.where(has_word, random.integers(1, most + 1, n) / 8, 0.0).tolist()
    return [candidate(f"p{row:03}", vector_scores[row], text_scores[row]) for row in random.permutation(n)]


def best_of_shard(query: HybridQuery, rows: Sequence[Candidate]) -> list[Candidate]:
    """What one shard answers: its best by each retriever."""
    depth = candidates_of(query)
    by_vector = sorted(rows, key=lambda row: (-(row.vector_score or 0.0), row.id))[:depth]
    with_words = [row for row in rows if row.text_score]
    by_text = sorted(with_words, key=lambda row: (-(row.text_score or 0.0), row.id))[:depth]
    return list({row.id: row for row in by_text + by_vector}.values())


@given(rows=candidate_lists(), fusion=fusions, top_k=st.integers(1, 40), shards=st.integers(1, 6))
def test_how_rows_are_spread_over_shards_and_hosts_never_changes_the_answer(
    rows: list[Candidate], fusion: Fusion, top_k: int, shards: int
) -> None:
    query = replace(BOTH, fusion=fusion, top_k=top_k)
    whole = fuse(query, [rows])
    parts = [best_of_shard(query, rows[shard::shards]) for shard in range(shards)]
    assert fuse(query, parts) == whole
    assert fuse(query, [shortlist(query, parts[:2]), shortlist(query, parts[2:])]) == whole


@given(rows=candidate_lists(), fusion=fusions, top_k=st.integers(1, 40))
def test_hits_are_ranked_from_one_by_score_then_id_each_id_once(
    rows: list[Candidate], fusion: Fusion, top_k: int
) -> None:
    query = replace(BOTH, fusion=fusion, top_k=top_k)
    hits = fuse(query, [rows]).hits
    assert [hit.ranking.rank for hit in hits if hit.ranking] == list(range(1, len(hits) + 1))
    assert [(-hit.score, hit.id) for hit in hits] == sorted({(-hit.score, hit.id) for hit in hits})
    assert len(hits) == len({hit.id for hit in hits}) <= top_k
    if query.by_vector:
        assert len(hits) == min(top_k, len(rows))
    if isinstance(fusion, Weighted):
        assert all(0.0 <= hit.score <= 1.0 for hit in hits)


def rank_of(query: HybridQuery, rows: list[Candidate], point_id: str) -> int:
    """The row's place; beyond all hits if it is not among them."""
    found = ids(fuse(query, [rows]))
    return found.index(point_id) if point_id in found else len(rows)


@given(
    rows=candidate_lists(),
    fusion=fusions,
    top_k=st.sampled_from([1, 20, 40, 300]),
    which=st.integers(0, 1000),
    rise=st.integers(1, 2000).map(lambda eighths: eighths / 8),
    by_text=st.booleans(),
)
def test_a_row_whose_score_rises_never_falls_in_rank(
    rows: list[Candidate], fusion: Fusion, top_k: int, which: int, rise: float, *, by_text: bool
) -> None:
    query = replace(BOTH, fusion=fusion, top_k=top_k)
    at = which % len(rows)
    old = rows[at]
    new = (
        replace(old, text_score=(old.text_score or 0.0) + rise)
        if by_text
        else replace(old, vector_score=(old.vector_score or 0.0) + rise)
    )
    better = [*rows[:at], new, *rows[at + 1 :]]
    assert rank_of(query, better, old.id) <= rank_of(query, rows, old.id)


def exact_parts(query: HybridQuery, rows: list[Candidate], *, by_text: bool) -> dict[str, Fraction]:
    """What the rows that count for a retriever get from it, in exact arithmetic."""
    values = {row.id: Fraction((row.text_score if by_text else row.vector_score) or 0.0) for row in rows}
    if by_text:
        values = {point_id: score for point_id, score in values.items() if score > 0}
    depth = candidates_of(query)
    descending = sorted(values.values(), reverse=True)[:depth]
    if not descending:
        return {}
    top, bottom = descending[0], descending[-1]
    values = {point_id: score for point_id, score in values.items() if score >= bottom}
    if isinstance(query.fusion, ReciprocalRank):
        k = query.fusion.k
        return {point_id: Fraction(1, k + descending.index(score) + 1) for point_id, score in values.items()}
    if by_text and len(descending) < depth:
        bottom = Fraction(0)
    if top == bottom:
        return dict.fromkeys(values, Fraction(1))
    return {point_id: (score - bottom) / (top - bottom) for point_id, score in values.items()}


def exact_scores(query: HybridQuery, rows: list[Candidate]) -> dict[str, Fraction]:
    """The oracle: fused scores of all rows, by the definition, row by row."""
    weights = {True: Fraction(1), False: Fraction(1)}
    if isinstance(query.fusion, Weighted):
        total = Fraction(query.fusion.text_weight) + Fraction(query.fusion.vector_weight)
        weights = {
            True: Fraction(query.fusion.text_weight) / total,
            False: Fraction(query.fusion.vector_weight) / total,
        }
    sums: dict[str, Fraction] = {row.id: Fraction(0) for row in rows}
    for by_text, weight in weights.items():
        for point_id, part in exact_parts(query, rows, by_text=by_text).items():
            sums[point_id] += weight * part
    return sums


@given(rows=candidate_lists(), fusion=st.sampled_from(FUSIONS), top_k=st.integers(1, 40))
def test_scores_and_order_are_those_of_the_definition_in_exact_arithmetic(
    rows: list[Candidate], fusion: Fusion, top_k: int
) -> None:
    query = replace(BOTH, fusion=fusion, top_k=top_k)
    exact = exact_scores(query, rows)
    hits = fuse(query, [rows]).hits
    for hit in hits:
        assert hit.score == pytest.approx(float(exact[hit.id]), abs=1e-12)
    expected = sorted(exact.values(), reverse=True)[:top_k]
    assert [float(exact[hit.id]) for hit in hits] == pytest.approx(
        [float(one) for one in expected], abs=1e-12
    )
