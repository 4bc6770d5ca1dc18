"""Shards in a temporary folder, opened by fixtures that always close them."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from storage import compaction, segment_files
from storage.records import WriteRun
from storage.settings import StorageSettings
from storage.shard import ShardSpec, create_shard
from storage.writer import ShardWriter
from vectoray.core.model import FloatMatrix, IndexOptions, Metric, PointBatch

DIMENSION = 16

OpenShard = Callable[..., ShardWriter]


def batch_of(ids: list[str], vectors: FloatMatrix, payload: bytes = b'{"n":1}') -> PointBatch:
    """A batch whose texts are the ids."""
    return PointBatch(ids, vectors, [payload] * len(ids), list(ids))


def clustered(rows: int, dimension: int = DIMENSION, *, seed: int = 0) -> FloatMatrix:
    """Vectors around a few centres, as text embeddings lie: float32, shape (rows, dimension)."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((40, dimension))
    noise = 0.5 * random.standard_normal((rows, dimension))
    return (centres[random.integers(0, 40, rows)] + noise).astype(np.float32)


def let_others_run() -> None:
    """What a thread that searches in a loop does between searches.

    CPython's lock is not fair: a loop that gives it up for microseconds at a time, as short searches do, and
    never waits for anything takes it back before any other thread of the process has woken up.
    """
    time.sleep(0)


def allow_small_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs from 30 rows on, which are built and grow in a moment."""
    for module in (segment_files, compaction):
        monkeypatch.setattr(module, "GRAPH_MIN_ROWS", 30)


@pytest.fixture
def small_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs from 30 rows on."""
    allow_small_graphs(monkeypatch)


@pytest.fixture
def open_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenShard]:
    """Opens the same shard each time, making it first; closes whatever is still open at the end.

    Nothing is sealed, merged or flushed unless the test says so.
    """
    opened: list[ShardWriter] = []
    merge_all = ShardWriter._merge_all
    monkeypatch.setattr(ShardWriter, "_merge_all", lambda *_, **__: None)

    def open_one(
        *,
        metric: Metric = Metric.COSINE,
        dimension: int = DIMENSION,
        index: IndexOptions | None = None,
        merges: bool = False,
        listener: Callable[[WriteRun], None] | None = None,
        **given: float,
    ) -> ShardWriter:
        directory = tmp_path / "shard"
        create_shard(directory, ShardSpec(dimension, metric, index or IndexOptions()))
        limits = {"seal_rows": 1_000_000, "flush_rows": 1_000_000, "flush_interval_s": 86_400, **given}
        if merges:
            monkeypatch.setattr(ShardWriter, "_merge_all", merge_all)
        writer = ShardWriter(directory, StorageSettings.model_validate(limits), listener=listener)
        opened.append(writer)
        return writer

    yield open_one
    for writer in opened:
        if not writer.closed:
            writer.close(flush=False)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads
