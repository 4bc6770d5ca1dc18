"""Row: segments built by worker processes, made visible by the shard's owner in one commit."""

import time
from itertools import pairwise
from pathlib import Path

from scripts.bench.context import Context
from scripts.bench.corpus import load_corpus, point_id
from scripts.bench.measurement import Figure, Measurement
from scripts.bench.processes import workers
from scripts.bench.shards import anatomy, open_shard, settle
from storage.bulk import write_fragment
from vectoray.core.model import SearchQuery

_ROWS = 100_000
_FRAGMENTS = 4
_WORKERS = 2
_CHECKS = 200
_REQUIRED = 6000.0
_JOB, _PART = "bench", "all"


def measure_bulk(context: Context) -> Measurement:
    """Two workers build four segments; the time ends when the points can be searched."""
    rows = context.scaled(_ROWS)
    corpus = context.corpus(_ROWS)
    directory = context.work / "bulk"
    starts = [rows * part // _FRAGMENTS for part in range(_FRAGMENTS + 1)]
    with open_shard(directory, corpus.vectors.shape[1]) as writer, workers(_WORKERS) as pool:
        # Starting Python and opening the corpus is no part of the load.
        list(pool.map(_prepare, [rows] * _WORKERS))
        began_s = time.perf_counter()
        parts = [pool.submit(_build, directory, start, stop) for start, stop in pairwise(starts)]
        fragments = [part.result() for part in parts]
        built_s = time.perf_counter()
        fresh = writer.commit_fragments(_JOB, _PART, fragments)
        committed_s = time.perf_counter()
        again = writer.commit_fragments(_JOB, _PART, fragments)
        lost = 0 if fresh and not again else _CHECKS
        for row in range(0, rows, max(1, rows // _CHECKS)):
            hits = writer.search(SearchQuery(corpus.vectors[row], top_k=10))
            lost += writer.get(point_id(row)) is None or point_id(row) not in [hit.id for hit in hits]
        committed = anatomy(directory)
        settle_s = time.perf_counter()
        settle(writer)
        settled_s = time.perf_counter()
    return _result(
        rows,
        rows / (committed_s - began_s),
        lost,
        notes=(
            (
                f"built in {built_s - began_s:.1f} s by {_WORKERS} workers, committed in "
                f"{1000 * (committed_s - built_s):.0f} ms ({committed})"
            ),
            f"merged and flushed in another {settled_s - settle_s:.1f} s ({anatomy(directory)})",
        ),
    )


def _result(rows: int, rate: float, lost: int, *, notes: tuple[str, ...]) -> Measurement:
    return Measurement(
        "bulk",
        (
            Figure(f"bulk fragments to searchable, {rows:,}", _REQUIRED, rate, "/s"),
            Figure("... points not found after the commit", 0, lost, "", at_most=True),
        ),
        notes,
    )


def _prepare(rows: int) -> None:
    load_corpus(rows)


def _build(directory: Path, start: int, stop: int) -> Path:
    return write_fragment(directory, _JOB, _PART, load_corpus(stop).batch(start, stop))
