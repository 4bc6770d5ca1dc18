"""Searches one after the other from one thread, timed each, with what they found."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scripts.bench.corpus import Corpus, row_of
from scripts.bench.measurement import Latencies
from scripts.bench.recall import kth_scores, recall
from scripts.bench.table import number
from storage.writer import ShardWriter
from vectoray.core.filters import Filter
from vectoray.core.model import FloatMatrix, SearchQuery

TOP_K = 10
# A shard so slow that one pass over the queries would take longer is asked fewer of them.
_MAX_PASS_S = 20.0


@dataclass(frozen=True, slots=True)
class Searches:
    """Timed searches.

    Attributes:
        latencies: Of every search.
        answers: Rows of the corpus that each query found, in the first pass.
    """

    latencies: Latencies
    answers: Sequence[Sequence[int]]

    @property
    def rate(self) -> float:
        """Searches per second."""
        return len(self.latencies.seconds) / sum(self.latencies.seconds)

    def __str__(self) -> str:
        return f"{number(self.rate)} /s, {self.latencies}"

    def to_json(self) -> dict[str, Any]:
        """For the details of a measurement."""
        return {"rate_per_s": self.rate, "queries": len(self.answers), "latency": self.latencies.to_json()}


def search_all(
    writer: ShardWriter,
    queries: FloatMatrix,
    *,
    warm_up: int,
    for_s: float,
    filter_of: Callable[[int], Filter | None] = lambda _: None,
) -> Searches:
    """Ask every query once, and again until the time is over.

    Args:
        writer: The shard.
        queries: float32, shape (q, dimension).
        warm_up: How many searches go before, untimed.
        for_s: How long at least.
        filter_of: The filter of the n-th search, warm-up not counted; of the warm-up, those of the last ones.
    """
    for turn in range(-warm_up, 0):
        writer.search(SearchQuery(queries[turn % len(queries)], TOP_K, filter_of(turn)))
    seconds: list[float] = []
    answers: list[list[int]] = []
    began_s = time.perf_counter()
    turn = 0
    while True:
        passed_s = time.perf_counter() - began_s
        first_pass = turn < len(queries) and (passed_s < _MAX_PASS_S or not turn)
        if not first_pass and passed_s >= for_s:
            return Searches(Latencies(seconds), answers)
        query = SearchQuery(queries[turn % len(queries)], TOP_K, filter_of(turn))
        start_s = time.perf_counter()
        found = writer.search(query)
        seconds.append(time.perf_counter() - start_s)
        if turn < len(queries):
            answers.append([row_of(hit.id) for hit in found])
        turn += 1


def recall_of(
    searches: Searches,
    corpus: Corpus,
    rows: int,
    *,
    queries: FloatMatrix | None = None,
    matching: npt.NDArray[np.int64] | None = None,
) -> float:
    """The recall of searches over the first ``rows`` points, against comparing with all of them.

    Args:
        searches: What was found.
        corpus: The points.
        rows: How many of them the shard holds.
        queries: What was asked; None for the corpus' own queries, from the first.
        matching: int64, the rows that the filter leaves.
    """
    asked = (corpus.queries if queries is None else queries)[: len(searches.answers)]
    vectors = corpus.vectors[:rows]
    kth = kth_scores(vectors, asked, TOP_K, rows=matching)
    return recall(searches.answers, vectors, asked, kth, k=TOP_K, matching=matching)
