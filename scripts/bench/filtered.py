"""Row: the ten nearest of those that a filter leaves, compared with searches without one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scripts.bench.context import Context
from scripts.bench.corpus import Corpus, of_folder, of_share
from scripts.bench.measurement import Figure, Measurement
from scripts.bench.recall import kth_scores, recall
from scripts.bench.search import ROWS
from scripts.bench.searching import TOP_K, Searches, recall_of, search_all
from scripts.bench.shards import open_shard
from scripts.bench.table import number
from storage.writer import ShardWriter
from vectoray.core.filters import Filter

_QUERIES = 1000
_SELECTIVITIES = (0.01, 0.1, 0.5)
_FOLDER = "library"
_WARM_UP = 20
_DISTINCT = 200
_REQUIRED_SHARE, _REQUIRED_RECALL = 0.6, 0.99


@dataclass(frozen=True, slots=True)
class _Filtered:
    """Searches with a filter that leaves a share of the points, and their recall.

    Attributes:
        repeated: With the same filter each time.
        distinct: With a filter each of its own, never asked before.
    """

    name: str
    repeated: Searches
    repeated_recall: float
    distinct: Searches
    distinct_recall: float

    def __str__(self) -> str:
        return (
            f"{self.name}: repeated filter {self.repeated}; filters never asked before {self.distinct}, "
            f"recall@10 {self.distinct_recall:.4f} ({len(self.distinct.answers)} of them)"
        )

    def figures(self, unfiltered: float) -> tuple[Figure, ...]:
        share = self.repeated.rate / unfiltered
        return (
            Figure(f"filtered search, {self.name}, to unfiltered", _REQUIRED_SHARE, share, "x"),
            Figure("... recall@10", _REQUIRED_RECALL, self.repeated_recall, ""),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "repeated": {**self.repeated.to_json(), "recall": self.repeated_recall},
            "distinct": {**self.distinct.to_json(), "recall": self.distinct_recall},
        }


def measure_filtered(context: Context) -> Measurement:
    """The same filter again and again is judged; one that was never asked before is shown besides."""
    rows = context.scaled(ROWS)
    corpus = context.corpus(ROWS)
    queries = corpus.queries[:_QUERIES]
    with open_shard(context.shard(ROWS), corpus.vectors.shape[1]) as writer:
        before = search_all(writer, queries, warm_up=500, for_s=2.0)
        found = [_filtered(writer, corpus, rows, share) for share in _SELECTIVITIES]
        keyword = search_all(
            writer, queries, warm_up=_WARM_UP, for_s=2.0, filter_of=_always(of_folder(_FOLDER))
        )
        after = search_all(writer, queries, warm_up=0, for_s=2.0)
    matching = _in_folder(corpus, rows)
    keyword_recall = recall_of(keyword, corpus, rows, matching=matching)
    # The quicker of the two: a machine that was busy once must not make the filters look good.
    unfiltered = max(before.rate, after.rate)
    return Measurement(
        "filtered",
        tuple(figure for one in found for figure in one.figures(unfiltered)),
        (
            *map(str, found),
            (
                f"keyword, {len(matching) / rows:.0%} selective, matches near each other: {keyword}, "
                f"recall@10 {keyword_recall:.4f}"
            ),
            (
                f"without a filter: {number(before.rate)} /s before, {number(after.rate)} /s after; the "
                f"repeated filter is judged, after {_WARM_UP} searches of warm-up"
            ),
        ),
        {
            **{one.name: one.to_json() for one in found},
            "keyword": {**keyword.to_json(), "recall": keyword_recall},
            "unfiltered": [before.to_json(), after.to_json()],
        },
    )


def _filtered(writer: ShardWriter, corpus: Corpus, rows: int, share: float) -> _Filtered:
    queries = corpus.queries[:_QUERIES]
    condition = of_share(0.0, share)
    repeated = search_all(writer, queries, warm_up=_WARM_UP, for_s=2.0, filter_of=_always(condition))
    matching = np.flatnonzero(corpus.shares[:rows] < share)
    repeated_recall = recall_of(repeated, corpus, rows, matching=matching)
    distinct, distinct_recall = _distinct(writer, corpus, rows, share)
    return _Filtered(f"{share:.0%} selective", repeated, repeated_recall, distinct, distinct_recall)


def _always(condition: Filter) -> Callable[[int], Filter]:
    return lambda _: condition


def _distinct(writer: ShardWriter, corpus: Corpus, rows: int, share: float) -> tuple[Searches, float]:
    """Searches with a filter each of its own, and their recall."""
    lows = np.linspace(0, 1 - share, _DISTINCT + 2)[1:-1].tolist()
    queries = corpus.queries[:_DISTINCT]
    found = search_all(
        writer, queries, warm_up=0, for_s=0.0, filter_of=lambda turn: of_share(lows[turn], lows[turn] + share)
    )
    shares, vectors = corpus.shares[:rows], corpus.vectors[:rows]
    recalls = []
    for answer, query, low in zip(found.answers, queries, lows, strict=False):
        matching = np.flatnonzero((shares >= low) & (shares < low + share))
        kth = kth_scores(vectors, query[np.newaxis], TOP_K, rows=matching)
        recalls.append(recall([answer], vectors, query[np.newaxis], kth, k=TOP_K, matching=matching))
    return found, float(np.mean(recalls))


def _in_folder(corpus: Corpus, rows: int) -> npt.NDArray[np.int64]:
    return np.array([row for row in range(rows) if corpus.folder(row) == _FOLDER], dtype=np.int64)
