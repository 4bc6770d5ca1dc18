"""Fuses what vectors and words found into one ranked answer, by weighted scores or by reciprocal ranks.

Every shard answers a hybrid query with its best `candidates_of` rows by vector and its best by text, each row
with both scores. All are fused once, together. A **retriever's list** is its best `candidates_of` rows of the
whole collection, which are surely among them; ties at its end are cut by id. The text retriever lists only
rows with a word of the query. A row in neither list is no hit. So an answer does not depend on how rows are
spread over shards, save that each shard counts for itself how rare a word is.

**Weighted** is what Weaviate calls relative score fusion and Elasticsearch a linear retriever with min-max
normalisation: a retriever's best score becomes 1, the last of its list 0, and the fused score is the weighted
mean, within 0 to 1. In particular:

- One candidate, or all scores equal: 1, as nothing is better.
- Negative scores, of cosine or dot, need no care: only distances between scores count.
- A text list that is not full has all rows with any word of the query. Every other row scores 0 by text, so 0
  is what becomes 0: the last row with a word is still worth more than one without.
- A row that only the other retriever lists counts 0, or 1 if it ties with a list whose scores are all equal.

**Reciprocal rank** is Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and
individual Rank Learning Methods" (2009): ``1 / (k + rank)``, summed over the lists a row is in. Rows that tie
share the best of their ranks; otherwise their ids would outweigh what the other retriever says about them.

With one retriever the order is its own, and scores are made the same way. Ties are broken by id throughout. A
row whose score by one retriever rises, all else being equal, never falls in rank.
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vectoray.core.hybrid import Candidate, HybridQuery, ReciprocalRank
from vectoray.core.model import Hit, Ranking, SearchResult

_LEAST_CANDIDATES = 100


def candidates_of(query: HybridQuery) -> int:
    """How many rows each retriever has to find in each shard, if there are so many.

    With ``k`` = 60 no row that both lists cut off could have been a hit by reciprocal rank: it would score at
    most ``2 / (60 + candidates + 1)``, while ``top_k`` rows of one list alone have ``1 / (60 + top_k)`` or
    more. (Rows that tie with the last of a list aside.)

    Up to ``top_k`` 20 the lists are equally long, so that a longer answer begins with the shorter one.
    """
    return max(2 * query.top_k + 60, _LEAST_CANDIDATES)


def shortlist(query: HybridQuery, candidates: Iterable[Sequence[Candidate]]) -> list[Candidate]:
    """The candidates of some shards that could be hits, whatever the other shards have; sorted by id.

    For a host of several shards, which need not send more than one shard would.
    """
    everyone = _sorted_by_id(candidates)
    return [everyone[row] for row in _listed_rows(_lists(query, everyone)).tolist()]


def fuse(query: HybridQuery, candidates: Iterable[Sequence[Candidate]]) -> SearchResult:
    """The best ``query.top_k`` of all shards' candidates: highest fused score first, ties broken by id.

    Args:
        query: What was asked.
        candidates: Of each shard, its best `candidates_of` by each retriever, in any order. An id is in one
            shard, once.

    Returns:
        Hits with fused scores, and with a `vectoray.core.model.Ranking` that has the scores they come from.
    """
    everyone = _sorted_by_id(candidates)
    lists = _lists(query, everyone)
    rows = _listed_rows(lists)
    scores = _fused_scores(query, lists, len(everyone))[rows]
    best = np.argsort(-scores, kind="stable")[: query.top_k]
    found = zip(rows[best].tolist(), scores[best].tolist(), strict=True)
    return SearchResult(
        tuple(_hit(everyone[row], score, rank) for rank, (row, score) in enumerate(found, start=1))
    )


class _RankedList(NamedTuple):
    """A retriever's list, never empty, among candidates that are sorted by id.

    Attributes:
        share: What its values are multiplied by in the fused score.
        scores: Of every candidate: float64, shape (candidates,).
        rows: The candidates in the list, best first, ties by id: int64.
        zero: The score that weighted fusion makes 0.
    """

    share: float
    scores: npt.NDArray[np.float64]
    rows: npt.NDArray[np.int64]
    zero: float

    @property
    def best(self) -> float:
        return float(self.scores[self.rows[0]])

    @property
    def last(self) -> float:
        return float(self.scores[self.rows[-1]])

    def normalised(self) -> npt.NDArray[np.float64]:
        """Every candidate's score between 0 and 1: float64, shape (candidates,)."""
        if self.best == self.zero:
            return (self.scores >= self.best).astype(np.float64)
        return np.clip((self.scores - self.zero) / (self.best - self.zero), 0.0, 1.0)

    def reciprocal_ranks(self, k: int) -> npt.NDArray[np.float64]:
        """Every candidate's ``1 / (k + rank)``, 0 below the end of the list: float64, shape (candidates,)."""
        ranks = 1 + np.searchsorted(-self.scores[self.rows], -self.scores, side="left")
        return np.where(self.scores >= self.last, 1.0 / (k + ranks), 0.0)


def _sorted_by_id(candidates: Iterable[Sequence[Candidate]]) -> list[Candidate]:
    return sorted((candidate for part in candidates for candidate in part), key=attrgetter("id"))


def _lists(query: HybridQuery, everyone: Sequence[Candidate]) -> list[_RankedList]:
    """The list of each retriever that was asked and found something; ``everyone`` is sorted by id."""
    depth = candidates_of(query)
    vector_share, text_share = _shares(query)
    lists = []
    if query.by_vector:
        scores = np.array([_or_nothing(one.vector_score, -np.inf) for one in everyone], dtype=np.float64)
        rows = _best_rows(scores, depth, above=-np.inf)
        if len(rows):
            lists.append(_RankedList(vector_share, scores, rows, zero=float(scores[rows[-1]])))
    if query.by_text:
        scores = np.array([_or_nothing(one.text_score, 0.0) for one in everyone], dtype=np.float64)
        rows = _best_rows(scores, depth, above=0.0)
        if len(rows):
            zero = float(scores[rows[-1]]) if len(rows) == depth else 0.0
            lists.append(_RankedList(text_share, scores, rows, zero))
    return lists


def _shares(query: HybridQuery) -> tuple[float, float]:
    """What the values by vector and by text are multiplied by."""
    if isinstance(query.fusion, ReciprocalRank):
        return 1.0, 1.0
    # Of what was asked, not of what found something: words that no row has must not raise the other's share.
    vector_weight = query.fusion.vector_weight if query.by_vector else 0.0
    text_weight = query.fusion.text_weight if query.by_text else 0.0
    total = vector_weight + text_weight
    return vector_weight / total, text_weight / total


def _or_nothing(score: float | None, nothing: float) -> float:
    return nothing if score is None else score


def _best_rows(scores: npt.NDArray[np.float64], k: int, *, above: float) -> npt.NDArray[np.int64]:
    """The ``k`` rows with the highest scores above a bound, best first, of equal ones the first."""
    rows = np.flatnonzero(scores > above)
    return rows[np.argsort(-scores[rows], kind="stable")[:k]]


def _listed_rows(lists: Sequence[_RankedList]) -> npt.NDArray[np.int64]:
    """The candidates in at least one list, by id."""
    if not lists:
        return np.empty(0, dtype=np.int64)
    return np.unique(np.concatenate([one.rows for one in lists]))


def _fused_scores(query: HybridQuery, lists: Sequence[_RankedList], count: int) -> npt.NDArray[np.float64]:
    """The fused score of every candidate: float64, shape (count,)."""
    scores = np.zeros(count)
    for one in lists:
        if isinstance(query.fusion, ReciprocalRank):
            scores += one.share * one.reciprocal_ranks(query.fusion.k)
        else:
            scores += one.share * one.normalised()
    return scores


def _hit(candidate: Candidate, score: float, rank: int) -> Hit:
    return Hit(
        id=candidate.id,
        score=score,
        payload=candidate.payload,
        text=candidate.text,
        vector=candidate.vector,
        ranking=Ranking(rank, candidate.vector_score, candidate.text_score),
    )
