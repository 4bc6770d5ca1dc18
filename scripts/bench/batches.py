"""Row: batches of 500 points, durable and searchable at once, until all are in segments."""

import resource
import shutil
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from scripts.bench.context import Context
from scripts.bench.fsyncs import count_fsyncs
from scripts.bench.measurement import Figure, Latencies, Measurement
from scripts.bench.shards import BATCH_ROWS, anatomy, open_shard, seal_all, settle, wait_for_graphs
from scripts.bench.table import number
from storage import shard
from storage.writer import ShardWriter
from vectoray.core.errors import Overloaded
from vectoray.core.model import PointBatch, SearchQuery

ROWS = 200_000
_WRITERS = 3
# One point of every eighth batch is looked up, and searched by its own vector, as soon as it is acknowledged.
_CHECK_EVERY = 8
_REQUIRED = 5000.0


@dataclass(slots=True)
class _Load:
    """What several writers saw."""

    ended_s: list[float] = field(default_factory=list)
    batch_s: list[float] = field(default_factory=list)
    search_s: list[float] = field(default_factory=list)
    checked: int = 0
    lost: int = 0
    overloaded: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def measure_batches(context: Context) -> Measurement:
    """Three writers with a batch each in flight; the time ends when all are in graphs and in the table."""
    rows = context.scaled(ROWS)
    corpus = context.corpus(ROWS)
    batches = [corpus.batch(at, min(at + BATCH_ROWS, rows)) for at in range(0, rows, BATCH_ROWS)]
    directory = context.work / "loading"
    seen = _Load()
    with count_fsyncs(directory / shard.LOG) as count:
        with open_shard(directory, corpus.vectors.shape[1]) as writer:
            began_s = time.perf_counter()
            _write(writer, batches, seen)
            acknowledged_s = time.perf_counter()
            seal_all(writer, directory)
            sealed_s = time.perf_counter()
            sealed = anatomy(directory)
            wait_for_graphs(directory)
            writer.flush()
            indexed_s = time.perf_counter()
            indexed = anatomy(directory)
            settle(writer)
            settled_s = time.perf_counter()
        closed_s = time.perf_counter()
    quarters = _rates(began_s, sorted(seen.ended_s))
    notes = (
        (
            f"{number(rows / (acknowledged_s - began_s))} /s until acknowledged, sealed "
            f"{sealed_s - acknowledged_s:.1f} s later ({sealed}), in graphs and flushed after another "
            f"{indexed_s - sealed_s:.1f} s ({indexed}), merged as at rest in {settled_s - indexed_s:.1f} s "
            f"({anatomy(directory)})"
        ),
        f"acknowledged by quarters: {', '.join(map(number, quarters))} /s; batches {Latencies(seen.batch_s)}",
        (
            f"searches during the load: {Latencies(seen.search_s)} ({len(seen.search_s)} of them); "
            f"{seen.overloaded} batches were refused as overload and sent again"
        ),
        (
            f"{count.finished} fsynced files of {rows / max(1, count.finished):.0f} rows; "
            f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB at most"
        ),
    )
    details = {
        "rows": rows,
        "acknowledged_s": acknowledged_s - began_s,
        "sealed_s": sealed_s - began_s,
        "indexed_s": indexed_s - began_s,
        "settled_s": settled_s - began_s,
        "close_s": closed_s - settled_s,
        "rate_by_quarter_per_s": quarters,
        "batch": Latencies(seen.batch_s).to_json(),
        "search_during_load": Latencies(seen.search_s).to_json(),
        "overloaded": seen.overloaded,
        "sealed": sealed.to_json(),
        "settled": anatomy(directory).to_json(),
    }
    _leave(directory, context)
    return Measurement(
        "batches",
        (
            Figure(
                f"batches of 500, durable, to {rows:,} and sealed",
                _REQUIRED,
                rows / (sealed_s - began_s),
                "/s",
            ),
            Figure("... and all in graphs and in the table", _REQUIRED, rows / (indexed_s - began_s), "/s"),
            Figure(
                f"... of {seen.checked} acknowledged points, not found at once",
                0,
                seen.lost,
                "",
                at_most=True,
            ),
        ),
        notes,
        details,
    )


def _write(writer: ShardWriter, batches: Sequence[PointBatch], seen: _Load) -> None:
    def write(number_of_batch: int) -> None:
        batch = batches[number_of_batch]
        began_s = time.perf_counter()
        while True:
            try:
                writer.upsert(batch).result()
                break
            except Overloaded:
                with seen.lock:
                    seen.overloaded += 1
        ended_s = time.perf_counter()
        with seen.lock:
            seen.batch_s.append(ended_s - began_s)
            seen.ended_s.append(ended_s)
        if number_of_batch % _CHECK_EVERY == 0:
            _check(writer, batch, number_of_batch % len(batch), seen)

    with ThreadPoolExecutor(_WRITERS) as pool:
        for _ in pool.map(write, range(len(batches))):
            pass


def _check(writer: ShardWriter, batch: PointBatch, row: int, seen: _Load) -> None:
    found = writer.get(batch.ids[row])
    began_s = time.perf_counter()
    hits = writer.search(SearchQuery(batch.vectors[row], top_k=10))
    took_s = time.perf_counter() - began_s
    with seen.lock:
        seen.search_s.append(took_s)
        seen.checked += 1
        seen.lost += found is None or batch.ids[row] not in [hit.id for hit in hits]


def _rates(began_s: float, ended_s: Sequence[float]) -> list[float]:
    """Points per second over each quarter of the batches."""
    marks = [len(ended_s) * quarter // 4 for quarter in range(5)]
    times = [began_s, *(ended_s[mark - 1] for mark in marks[1:])]
    pairs = zip(pairwise(marks), pairwise(times), strict=True)
    return [BATCH_ROWS * (to - start) / (end_s - start_s) for (start, to), (start_s, end_s) in pairs]


def _leave(directory: Path, context: Context) -> None:
    """Leave the shard to the rows that need one of this size."""
    target = context.shard(ROWS)
    if target.exists():
        shutil.rmtree(directory)
    else:
        directory.rename(target)
