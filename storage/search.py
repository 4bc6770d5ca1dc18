"""Answers searches over one point of a shard's history: by vector, and by vector and text together."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from storage import scoring
from storage.bm25 import text_scores
from storage.graph import Found, GraphQuery, contenders
from storage.head import Head, LiveSegment, segment_mask, tail_mask
from storage.match_cache import key_of
from storage.scoring import Candidates, Scored
from storage.segment import Wanted
from vectoray.core.filters import Filter
from vectoray.core.fusion import candidates_of
from vectoray.core.hybrid import Candidate, HybridQuery
from vectoray.core.model import FloatMatrix, FloatVector, Hit, Metric, SearchQuery, SearchResult

Rows = npt.NDArray[np.int64]
_NO_ROWS: Rows = np.empty(0, dtype=np.int64)

# Numbers of vectors compared one by one: a few milliseconds' worth, at about one a nanosecond.
_QUICK_NUMBERS = 4_000_000
# A row costs as much as so many numbers, besides its own.
_ROW_NUMBERS = 64
# Payloads that a filter has not been tried on yet, at some microseconds each.
_QUICK_PAYLOADS = 256


class _Part(NamedTuple):
    """One segment of a head, or its tail where there is none."""

    head: Head
    live: LiveSegment | None

    @property
    def vectors(self) -> FloatMatrix:
        return self.head.vectors if self.live is None else self.live.segment.vectors

    def id(self, row: int) -> str:
        return self.head.tail.ids[row] if self.live is None else self.live.segment.id(row)

    def payload(self, row: int) -> bytes:
        return self.head.tail.payloads[row] if self.live is None else self.live.segment.payloads[row]

    def text(self, row: int) -> str | None:
        return self.head.tail.texts[row] if self.live is None else self.live.segment.text(row)

    def hit(self, row: int, point_id: str, score: float, *, with_vector: bool) -> Hit:
        # Positional, and not by the methods above: every search makes ten of these.
        vector = self.vectors[row].copy() if with_vector else None
        if self.live is None:
            tail = self.head.tail
            return Hit(point_id, score, tail.payloads[row], tail.texts[row], vector)
        segment = self.live.segment
        return Hit(point_id, score, segment.payloads[row], segment.text(row), vector)


def search(heads: Sequence[Head], metric: Metric, query: SearchQuery, *, shards: int = 1) -> SearchResult:
    """The best live points of one or several shards, by exact score, best first, ties broken by id.

    Args:
        heads: Where to look: shards of one collection.
        metric: The collection's metric.
        query: What to look for.
        shards: How many shards the collection has, here and elsewhere.
    """
    least = -np.inf if query.score_threshold is None else query.score_threshold
    parts = _parts(heads)
    nearest = _nearest(heads, metric, query.vector, query.top_k, query.filter, shards=shards)
    # Tuples that sort as the hits do: this runs for every search.
    found = [
        (-score, parts[at].id(row), at, row)
        for at, (rows, scores) in enumerate(nearest)
        for row, score in zip(rows.tolist(), scores.tolist(), strict=True)
        if score >= least
    ]
    found.sort()
    return SearchResult(
        tuple(
            parts[at].hit(row, point_id, -negated, with_vector=query.include_vectors)
            for negated, point_id, at, row in found[: query.top_k]
        )
    )


def is_quick(heads: Sequence[Head], condition: Filter | None) -> bool:
    """Whether `search` takes about as long as a walk through the graphs, and so may be called anywhere.

    Of rows that meet a condition a graph may find too few, however often it is asked: all may be compared.
    """
    key = None if condition is None else key_of(condition)
    rows = 0
    for head in heads:
        if key is not None and head.tail_rows - head.tail.known_matches(key) > _QUICK_PAYLOADS:
            return False
        rows += head.tail_rows
        for live in head.segments:
            compared = live.segment.rows_compared(key)
            if compared is None:
                return False
            rows += compared
    return not heads or rows * (heads[0].vectors.shape[1] + _ROW_NUMBERS) <= _QUICK_NUMBERS


def hybrid_candidates(head: Head, metric: Metric, query: HybridQuery) -> list[Candidate]:
    """The rows that `vectoray.core.fusion.fuse` needs of this shard.

    They are its best by vector and its best by text, all that tie with the last of them included.
    """
    count = candidates_of(query)
    parts = _parts((head,))
    chosen: list[Rows] = [np.empty(0, dtype=np.int64) for _ in parts]
    if query.by_vector and query.vector is not None:
        nearest = _nearest((head,), metric, query.vector, count, query.filter)
        chosen = [scored.rows for scored in nearest]
    by_text = None if query.text is None else _text_scores(head, query.text)
    if query.by_text and by_text is not None:
        best = _best_by_text(head, by_text, count, query.filter)
        chosen = [np.union1d(rows, others) for rows, others in zip(chosen, best, strict=True)]
    candidates = []
    for at, (part, rows) in enumerate(zip(parts, chosen, strict=True)):
        near = (
            [None] * len(rows)
            if query.vector is None
            else scoring.exact_scores(metric, query.vector, part.vectors[rows]).tolist()
        )
        words = [None] * len(rows) if by_text is None else by_text[at][rows].tolist()
        candidates += [
            Candidate(
                id=part.id(row),
                vector_score=vector_score,
                text_score=text_score,
                payload=part.payload(row),
                text=part.text(row),
                vector=part.vectors[row].copy() if query.include_vectors else None,
            )
            for row, vector_score, text_score in zip(rows.tolist(), near, words, strict=True)
        ]
    return candidates


def _parts(heads: Sequence[Head]) -> list[_Part]:
    """Of each head its segments, then its tail."""
    return [_Part(head, live) for head in heads for live in (*head.segments, None)]


def _nearest(
    heads: Sequence[Head],
    metric: Metric,
    vector: FloatVector,
    k: int,
    condition: Filter | None,
    *,
    shards: int = 1,
) -> list[Scored]:
    """Of each part, the rows that are among the best ``k`` of all by vector, with all that tie."""
    # One more than there are would be asked of the graphs in vain.
    k = min(k, sum(head.points for head in heads) + 1)
    asked = GraphQuery(metric, vector)
    key = "" if condition is None else key_of(condition)
    columns, found = [], []
    for head in heads:
        wanted = Wanted(asked, k, head.seq, shards)
        for live in head.segments:
            segment = live.segment
            matches = None if condition is None else segment.matching(condition, key)
            columns.append((segment.vectors, segment.lengths))
            found.append(segment.candidates(wanted, live.killed_at, matches))
        columns.append((head.vectors[: head.tail_rows], head.lengths[: head.tail_rows]))
        found.append(Found(np.flatnonzero(tail_mask(head, condition, key)) if head.tail_rows else _NO_ROWS))
    rows = contenders(metric, found, k)
    return scoring.best(
        metric, vector, [Candidates(*of, some) for of, some in zip(columns, rows, strict=True)], k
    )


def _text_scores(head: Head, text: str) -> list[npt.NDArray[np.float64]]:
    """The BM25 score of every row of each part, dead or alive."""
    tail_index = head.tail.text_index
    tail_index.catch_up(head.tail_rows)
    indexes = [(live.segment.text_index, len(live.segment)) for live in head.segments]
    return text_scores([*indexes, (tail_index, head.tail_rows)], text)


def _best_by_text(
    head: Head, scores: Sequence[npt.NDArray[np.float64]], count: int, condition: Filter | None
) -> list[Rows]:
    """Of each part, the rows with a word of the query that are among the best of all, with all that tie."""
    key = "" if condition is None else key_of(condition)
    rows = []
    for part, of_part in zip(_parts((head,)), scores, strict=True):
        found = np.flatnonzero(of_part)
        allowed = (
            tail_mask(head, condition, key)
            if part.live is None
            else segment_mask(head, part.live, condition, key)
        )
        rows.append(found[allowed[found]])
    everything = np.concatenate([of_part[part] for of_part, part in zip(scores, rows, strict=True)])
    if len(everything) <= count:
        return rows
    last = np.partition(everything, len(everything) - count)[len(everything) - count]
    return [part[of_part[part] >= last] for of_part, part in zip(scores, rows, strict=True)]
