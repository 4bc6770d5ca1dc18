"""Row: what a search costs as the shard grows tenfold, and tenfold again."""

from itertools import pairwise
from math import log
from typing import Any

from scripts.bench.context import Context
from scripts.bench.measurement import Figure, Measurement
from scripts.bench.searching import recall_of, search_all
from scripts.bench.shards import anatomy, open_shard

SIZES = (10_000, 100_000)
FULL_SIZES = (1_000_000,)
_QUERIES = 500
_WARM_UP = 500


def measure_growth(context: Context) -> Measurement:
    """The median search at each size; a step up may cost at most the ratio of the logarithms."""
    costs: dict[int, float] = {}
    notes: list[str] = []
    details: dict[str, Any] = {}
    for size in SIZES + (FULL_SIZES if context.full else ()):
        rows = context.scaled(size)
        corpus = context.corpus(size)
        directory = context.shard(size)
        with open_shard(directory, corpus.vectors.shape[1]) as writer:
            found = search_all(writer, corpus.queries[:_QUERIES], warm_up=_WARM_UP, for_s=3.0)
        found_recall = recall_of(found, corpus, rows)
        costs[size] = found.latencies.p50_ms
        notes.append(f"{rows:,}: {found.latencies}, recall@10 {found_recall:.4f}; {anatomy(directory)}")
        details[str(rows)] = {**found.to_json(), "recall": found_recall, **anatomy(directory).to_json()}
    steps = [f"{costs[more] - costs[fewer]:+.3f} ms" for fewer, more in pairwise(costs)]
    notes.append(f"added by each tenfold growth: {', '.join(steps)} (growing like log n: the same each time)")
    if not context.full:
        notes.append("a million points: with --full")
    return Measurement("growth", _figures(context, costs), tuple(notes), details)


def _figures(context: Context, costs: dict[int, float]) -> tuple[Figure, ...]:
    return tuple(
        Figure(
            f"cost of a search, {context.scaled(fewer):,} to {context.scaled(more):,}",
            log_ratio(context.scaled(fewer), context.scaled(more)),
            costs[more] / costs[fewer] if more in costs else None,
            "x",
            at_most=True,
        )
        for fewer, more in pairwise(SIZES + FULL_SIZES)
    )


def log_ratio(fewer: int, more: int) -> float:
    """By how much the logarithm of the number of points grows, whatever its base."""
    return log(more) / log(fewer)
