"""Answers searches over one point of a shard's history: by vector, and by vector and text together."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from storage import scoring
from storage.bm25 import text_scores
from storage.head import Head, LiveSegment, segment_mask, tail_mask
from storage.match_cache import key_of
from storage.scoring import Candidates, Scored
from storage.segment import Wanted
from vectoray.core.filters import Filter
from vectoray.core.fusion import candidates_of
from vectoray.core.hybrid import Candidate, HybridQuery
from vectoray.core.model import FloatVector, Hit, Metric, SearchQuery, SearchResult

Rows = npt.NDArray[np.int64]


def search(head: Head, metric: Metric, query: SearchQuery) -> SearchResult:
    """The best live points, by exact score, best first, ties broken by id."""
    least = -np.inf if query.score_threshold is None else query.score_threshold
    parts = _parts(head)
    # Tuples that sort as the hits do: this runs for every search.
    found = [
        (-score, _id(head, parts[part], row), part, row)
        for part, (rows, scores) in enumerate(
            _nearest(head, metric, query.vector, query.top_k, query.filter),
        )
        for row, score in zip(rows.tolist(), scores.tolist(), strict=True)
        if score >= least
    ]
    found.sort()
    return SearchResult(
        tuple(
            _hit(head, parts[part], row, point_id, -negated, with_vector=query.include_vectors)
            for negated, point_id, part, row in found[: query.top_k]
        )
    )


def hybrid_candidates(head: Head, metric: Metric, query: HybridQuery) -> list[Candidate]:
    """The rows that `vectoray.core.fusion.fuse` needs of this shard.

    They are its best by vector and its best by text, all that tie with the last of them included.
    """
    count = candidates_of(query)
    chosen: list[Rows] = [np.empty(0, dtype=np.int64) for _ in _parts(head)]
    if query.by_vector and query.vector is not None:
        nearest = _nearest(head, metric, query.vector, count, query.filter)
        chosen = [scored.rows for scored in nearest]
    by_text = None if query.text is None else _text_scores(head, query.text)
    if query.by_text and by_text is not None:
        best = _best_by_text(head, by_text, count, query.filter)
        chosen = [np.union1d(rows, others) for rows, others in zip(chosen, best, strict=True)]
    candidates = []
    for at, (live, rows) in enumerate(zip(_parts(head), chosen, strict=True)):
        vectors = head.vectors if live is None else live.segment.vectors
        near = (
            [None] * len(rows)
            if query.vector is None
            else scoring.exact_scores(metric, query.vector, vectors[rows]).tolist()
        )
        words = [None] * len(rows) if by_text is None else by_text[at][rows].tolist()
        candidates += [
            Candidate(
                id=_id(head, live, row),
                vector_score=vector_score,
                text_score=text_score,
                payload=_payload(head, live, row),
                text=_text(head, live, row),
                vector=vectors[row].copy() if query.include_vectors else None,
            )
            for row, vector_score, text_score in zip(rows.tolist(), near, words, strict=True)
        ]
    return candidates


def _parts(head: Head) -> tuple[LiveSegment | None, ...]:
    """The segments, and None for the tail."""
    return (*head.segments, None)


def _nearest(
    head: Head, metric: Metric, vector: FloatVector, k: int, condition: Filter | None
) -> list[Scored]:
    """Of each part, the rows that are among the best ``k`` of all by vector, with all that tie."""
    # One more than there are would be asked of the graphs in vain.
    k = min(k, head.points + 1)
    direction = scoring.direction(vector) if metric is Metric.COSINE else vector
    wanted = Wanted(vector, direction, k, head.seq)
    key = "" if condition is None else key_of(condition)
    parts = []
    for live in head.segments:
        segment = live.segment
        matches = None if condition is None else segment.matching(condition, key)
        rows = segment.candidates(wanted, live.killed_at, matches)
        parts.append(Candidates(segment.vectors, segment.lengths, rows))
    rows = np.flatnonzero(tail_mask(head, condition, key))
    parts.append(Candidates(head.vectors[: head.tail_rows], head.lengths[: head.tail_rows], rows))
    return scoring.best(metric, vector, parts, k)


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
    for live, of_part in zip(_parts(head), scores, strict=True):
        found = np.flatnonzero(of_part)
        allowed = (
            tail_mask(head, condition, key) if live is None else segment_mask(head, live, condition, key)
        )
        rows.append(found[allowed[found]])
    everything = np.concatenate([of_part[part] for of_part, part in zip(scores, rows, strict=True)])
    if len(everything) <= count:
        return rows
    last = np.partition(everything, len(everything) - count)[len(everything) - count]
    return [part[of_part[part] >= last] for of_part, part in zip(scores, rows, strict=True)]


def _id(head: Head, live: LiveSegment | None, row: int) -> str:
    return head.tail.ids[row] if live is None else live.segment.id(row)


def _payload(head: Head, live: LiveSegment | None, row: int) -> bytes:
    return head.tail.payloads[row] if live is None else live.segment.payloads[row]


def _text(head: Head, live: LiveSegment | None, row: int) -> str | None:
    return head.tail.texts[row] if live is None else live.segment.text(row)


def _hit(
    head: Head, live: LiveSegment | None, row: int, point_id: str, score: float, *, with_vector: bool
) -> Hit:
    vectors = head.vectors if live is None else live.segment.vectors
    return Hit(
        id=point_id,
        score=score,
        payload=_payload(head, live, row),
        text=_text(head, live, row),
        vector=vectors[row].copy() if with_vector else None,
    )
