"""What a hybrid search must answer, by brute force over the live points and by the definitions alone."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest

from storage.reader import ShardReader
from storage.scoring import exact_scores
from storage.text_index import tokens
from storage.writer import ShardWriter
from vectoray.core.fusion import candidates_of, fuse
from vectoray.core.hybrid import HybridQuery, ReciprocalRank
from vectoray.core.model import FloatVector, Metric

K1, B = 1.2, 0.75


@dataclass(frozen=True)
class Live:
    """A live point, as the test that wrote it knows it."""

    vector: FloatVector
    text: str | None
    payload: bytes
    source: str | None = None


def counted_texts(shard: ShardWriter | ShardReader) -> list[str | None]:
    """The texts that count for how rare a word is: those of dead rows too, until a merge leaves them out."""
    head = shard._view.head
    texts = [live.segment.text(row) for live in head.segments for row in range(len(live.segment))]
    return texts + list(head.tail.texts[: head.tail_rows])


def assert_hybrid_as_brute_force(
    shard: ShardWriter | ShardReader,
    points: Mapping[str, Live],
    query: HybridQuery,
    metric: Metric,
    matches: Callable[[Live], bool] = lambda _: True,
) -> None:
    """Compare a shard's answer, fused, with the brute force one. Without graphs, both are exact."""
    allowed = {point_id: point for point_id, point in points.items() if matches(point)}
    by_vector = None if query.vector is None else vector_scores(metric, query.vector, allowed)
    by_text = None if query.text is None else bm25(query.text, allowed, counted_texts(shard))
    expected = fused(query, by_vector, by_text)
    result = fuse(query, [shard.search_hybrid(query)])
    # Sums in another order differ in the last digits: ids of such scores may change places.
    best = sorted(expected.values(), reverse=True)[: query.top_k]
    assert [hit.score for hit in result] == pytest.approx(best, abs=1e-9)
    assert [(-hit.score, hit.id) for hit in result] == sorted((-hit.score, hit.id) for hit in result)
    for rank, hit in enumerate(result, start=1):
        assert hit.score == pytest.approx(expected.pop(hit.id), abs=1e-9)
        assert hit.ranking is not None
        assert hit.ranking.rank == rank
        assert hit.ranking.vector_score == (None if by_vector is None else by_vector[hit.id])
        assert hit.ranking.text_score == (None if by_text is None else pytest.approx(by_text[hit.id]))
        point = points[hit.id]
        assert (hit.payload, hit.text) == (point.payload, point.text)
        assert (hit.vector is not None) == query.include_vectors
        assert hit.vector is None or np.array_equal(hit.vector, point.vector)


def vector_scores(metric: Metric, query: FloatVector, points: Mapping[str, Live]) -> dict[str, float]:
    return {
        point_id: float(exact_scores(metric, query, point.vector[np.newaxis])[0])
        for point_id, point in points.items()
    }


def bm25(query: str, points: Mapping[str, Live], counted: Sequence[str | None]) -> dict[str, float]:
    """BM25 as `storage.bm25` states it, over texts in any order."""
    documents = [found for text in counted if (found := terms(text))]
    scores = dict.fromkeys(points, 0.0)
    if not documents:
        return scores
    average = sum(document.total() for document in documents) / len(documents)
    for term in tokens(query):
        df = sum(term in document for document in documents)
        weight = math.log(1 + (len(documents) - df + 0.5) / (df + 0.5))
        for point_id, point in points.items():
            words = terms(point.text)
            tf = words[term]
            scores[point_id] += weight * tf / (tf + K1 * (1 - B + B * words.total() / average))
    return scores


@lru_cache(maxsize=10_000)
def terms(text: str | None) -> Counter[str]:
    """How often each term is in a text. Nobody changes it."""
    return Counter(tokens(text or ""))


def fused(
    query: HybridQuery, by_vector: dict[str, float] | None, by_text: dict[str, float] | None
) -> dict[str, float]:
    """The fused score of every row in a retriever's list, as `vectoray.core.fusion` states it."""
    depth = candidates_of(query)
    lists: list[tuple[float, dict[str, float], list[str], float]] = []
    shares = (1.0, 1.0)
    if not isinstance(query.fusion, ReciprocalRank):
        weights = (
            query.fusion.vector_weight if query.by_vector else 0.0,
            query.fusion.text_weight if query.by_text else 0.0,
        )
        shares = (weights[0] / sum(weights), weights[1] / sum(weights))
    if query.by_vector and by_vector:
        listed = sorted(by_vector, key=lambda one: (-by_vector[one], one))[:depth]
        lists.append((shares[0], by_vector, listed, by_vector[listed[-1]]))
    if query.by_text and by_text:
        with_word = [one for one in by_text if by_text[one] > 0]
        listed = sorted(with_word, key=lambda one: (-by_text[one], one))[:depth]
        if listed:
            lists.append((shares[1], by_text, listed, by_text[listed[-1]] if len(listed) == depth else 0.0))
    scores = {one: 0.0 for _, _, listed, _ in lists for one in listed}
    for share, of_all, listed, zero in lists:
        best, last = of_all[listed[0]], of_all[listed[-1]]
        for one in scores:
            score = of_all[one]
            if isinstance(query.fusion, ReciprocalRank):
                better = sum(of_all[other] > score for other in listed)
                scores[one] += share / (query.fusion.k + 1 + better) if score >= last else 0.0
            elif best == zero:
                scores[one] += share * (score >= best)
            else:
                scores[one] += share * min(1.0, max(0.0, (score - zero) / (best - zero)))
    return scores
