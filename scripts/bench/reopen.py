"""Row: how soon a shard answers again, after a clean stop and after its owner was killed."""

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from scripts.bench.batches import ROWS
from scripts.bench.context import Context
from scripts.bench.corpus import load_corpus
from scripts.bench.measurement import Figure, Measurement
from scripts.bench.processes import in_new_process, killed_after
from scripts.bench.shards import BATCH_ROWS, copy_shard, unsealed_rows
from storage.settings import StorageSettings
from storage.writer import ShardWriter
from vectoray.core.model import SearchQuery

_ATTEMPTS = 3
_KILL_AFTER_BATCHES = 30
_REQUIRED_CLEAN_S, _REQUIRED_KILLED_S = 0.5, 3.0


@dataclass(frozen=True, slots=True)
class Reopened:
    """One opening in a new process.

    Attributes:
        opened_s: Until the shard was open.
        answered_s: Until its first search was answered, from the same beginning.
        log_rows: Writes that were in no segment and came from the log.
        lost: Acknowledged points that were not there.
    """

    opened_s: float
    answered_s: float
    log_rows: int
    lost: int


def measure_reopen(context: Context) -> Measurement:
    """Three openings each; the slowest counts. The files are in the page cache, but for one opening."""
    rows = context.scaled(ROWS)
    context.corpus(ROWS)
    stopped = context.shard(ROWS)
    clean = [in_new_process(reopen, stopped, ()) for _ in range(_ATTEMPTS)]
    drop_from_page_cache(stopped)
    cold = in_new_process(reopen, stopped, ())
    killed = []
    for attempt in range(_ATTEMPTS):
        directory = copy_shard(stopped, context.work / f"killed-{attempt}")
        written = killed_after(_KILL_AFTER_BATCHES + 7 * attempt, keep_writing, directory, rows)
        killed.append(in_new_process(reopen, directory, written))
    return Measurement(
        "reopen",
        (
            _slowest(f"reopen {rows:,} after a clean stop", _REQUIRED_CLEAN_S, clean),
            _slowest(f"reopen {rows:,} after kill -9", _REQUIRED_KILLED_S, killed),
            Figure(
                "... acknowledged points lost",
                0,
                sum(one.lost for one in (*clean, cold, *killed)),
                "",
                at_most=True,
            ),
        ),
        (
            f"clean: {_listed(clean)}; with nothing in the page cache {_listed([cold])}",
            (
                f"killed while it wrote batches: {_listed(killed)}, with "
                f"{', '.join(f'{one.log_rows:,}' for one in killed)} rows to read from the log"
            ),
            "until the first search was answered, the files in the page cache; the slowest of three counts",
        ),
        {
            "clean": [asdict(one) for one in clean],
            "cold": asdict(cold),
            "killed": [asdict(one) for one in killed],
        },
    )


def reopen(directory: Path, written: Sequence[str]) -> Reopened:
    """Open the shard in this process, ask it once, and look for what was acknowledged."""
    query = SearchQuery(load_corpus(1).queries[0], top_k=10)
    log_rows = unsealed_rows(directory)
    began_s = time.perf_counter()
    writer = ShardWriter(directory, StorageSettings())
    opened_s = time.perf_counter()
    hits = writer.search(query)
    answered_s = time.perf_counter()
    lost = sum(writer.get(point_id) is None for point_id in written) + (not hits)
    writer.close()
    return Reopened(opened_s - began_s, answered_s - began_s, log_rows, lost)


def keep_writing(acknowledged: Connection, directory: Path, rows: int) -> None:
    """Write new points over and over, and tell an id of every batch that was acknowledged."""
    batch = load_corpus(rows).batch(0, BATCH_ROWS)
    writer = ShardWriter(directory, StorageSettings())
    number = 0
    while True:
        ids = [f"new-{number}-{point_id}" for point_id in batch.ids]
        writer.upsert(type(batch)(ids, batch.vectors, batch.payloads, batch.texts)).result()
        acknowledged.send(ids[number % len(ids)])
        number += 1


def drop_from_page_cache(directory: Path) -> None:
    """Make the kernel forget what it has read of a folder's files; they must not be mapped."""
    for path in directory.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def _slowest(name: str, required_s: float, found: Sequence[Reopened]) -> Figure:
    return Figure(name, required_s, max(one.answered_s for one in found), "s", at_most=True)


def _listed(found: Sequence[Reopened]) -> str:
    return ", ".join(f"{one.answered_s:.2f}" for one in found) + " s"
