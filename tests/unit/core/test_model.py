"""Batches of points and merged results: the columns that every package passes on."""

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectoray.core.errors import InvalidRequest
from vectoray.core.model import Hit, PointBatch, SearchResult, merge_hits


def batch(rows: int) -> PointBatch:
    return PointBatch(
        ids=[f"p{row}" for row in range(rows)],
        vectors=np.arange(2 * rows, dtype=np.float32).reshape(rows, 2),
        payloads=[b'{"row":%d}' % row for row in range(rows)],
        texts=[f"text {row}" if row % 2 else None for row in range(rows)],
    )


def hit(point_id: str, score: float) -> Hit:
    return Hit(point_id, score, b"{}", None)


@pytest.mark.parametrize("column", ["ids", "vectors", "payloads", "texts"])
def test_a_batch_with_a_column_of_another_length_is_refused(column: str) -> None:
    whole = batch(3)
    columns = {name: getattr(whole, name) for name in ("ids", "vectors", "payloads", "texts")}
    columns[column] = columns[column][:2]
    with pytest.raises(InvalidRequest, match="all must be equal"):
        PointBatch(**columns)


@pytest.mark.parametrize("column", ["sources", "chunk_indexes"])
def test_a_batch_with_too_few_sources_or_chunk_indexes_is_refused(column: str) -> None:
    columns: dict[str, Any] = {column: [None, None]}
    with pytest.raises(InvalidRequest, match="A batch of 3 ids has 2"):
        replace(batch(3), **columns)


def test_a_batch_may_be_empty() -> None:
    assert len(batch(0)) == 0
    assert len(batch(2).take([])) == 0
    assert batch(2).take([]).vectors.shape == (0, 2)


def test_take_gives_the_rows_asked_for_in_that_order_and_repeats_them() -> None:
    taken = batch(4).take([3, 0, 3])
    assert taken.ids == ["p3", "p0", "p3"]
    assert taken.vectors.tolist() == [[6, 7], [0, 1], [6, 7]]
    assert taken.vectors.flags.c_contiguous
    assert taken.payloads == [b'{"row":3}', b'{"row":0}', b'{"row":3}']
    assert taken.texts == ["text 3", None, "text 3"]
    assert (taken.sources, taken.chunk_indexes) == (None, None)
    whole = replace(batch(4), sources=["w", "x", None, "z"], chunk_indexes=[0, None, 2, 3])
    assert whole.take([2, 3]).sources == [None, "z"]
    assert whole.take([1, 0]).chunk_indexes == [None, 0]


def test_take_copies_the_vectors() -> None:
    whole = batch(2)
    whole.take([0]).vectors[0, 0] = 99
    assert whole.vectors[0, 0] == 0


def test_merged_hits_are_best_first_and_ties_are_ordered_and_cut_by_id() -> None:
    merged = merge_hits(
        [[hit("d", 2.0), hit("b", 1.0)], [], [hit("c", 1.0), hit("e", -1.0)], [hit("a", 1.0)]], 4
    )
    assert [(found.id, found.score) for found in merged] == [("d", 2.0), ("a", 1.0), ("b", 1.0), ("c", 1.0)]


def test_merging_nothing_gives_nothing() -> None:
    assert merge_hits([], 5) == SearchResult()
    assert list(merge_hits([[], []], 5)) == []
    assert len(merge_hits([[hit("a", 1.0)]], 0)) == 0


@given(
    scores=st.lists(st.sampled_from([-1.0, 0.0, 0.5, 0.5000001, 1.0]), max_size=30),
    parts=st.integers(1, 5),
    top_k=st.integers(0, 35),
    random=st.randoms(use_true_random=False),
)
def test_how_hits_were_split_never_changes_the_merged_result(
    scores: list[float], parts: int, top_k: int, random: Random
) -> None:
    hits = [hit(f"p{number:02d}", score) for number, score in enumerate(scores)]
    random.shuffle(hits)
    split = [merge_hits([hits[part::parts]], top_k).hits for part in range(parts)]
    assert merge_hits(split, top_k) == merge_hits([hits], top_k)
    assert [found.id for found in merge_hits(split, top_k)] == [
        f"p{number:02d}"
        for _, number in sorted((-score, number) for number, score in enumerate(scores))[:top_k]
    ]
