"""The ingestion pipeline as a Ray Data plan: read and compare, embed, store; each with backpressure."""

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import ray.data

from cluster.ray_engine import RayEngine
from cluster.settings import ClusterSettings
from pipelines.blocking_engine import BlockingEngine
from pipelines.settings import PipelineSettings
from pipelines.sources import Document
from pipelines.stages import WRITE, Row, read_document, store_rows
from vectoray.core.model import Collection
from vectoray.embedding import load_model

# A small machine has fewer CPUs than stages; a stage that asked for a whole one would wait for ever.
_STAGE_CPUS = 0.25
# As Ray's own default for workers.
_NICENESS = 15
# Enough for progress and parallel reading; each block is one task.
_MAX_BLOCKS = 128

Columns = dict[str, npt.NDArray[Any]]


@cache
def engine_of_worker(settings: ClusterSettings) -> BlockingEngine:
    """The engine of this Ray worker, made once however many tasks the worker runs."""
    return BlockingEngine(RayEngine(settings))


@cache
def give_way() -> None:
    """Let the processes that answer requests go before this Ray worker."""
    os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)


class EmbedChunks:
    """Adds a ``vector`` to rows that are to be written. One loaded model a process."""

    def __init__(self, model_name: str, cache_dir: Path) -> None:
        give_way()
        self._model = load_model(model_name, cache_dir=cache_dir)

    def __call__(self, columns: Columns) -> Columns:
        """Embed the texts of a batch: float32, shape (n, dimension), zeros where nothing is to be written."""
        vectors = np.zeros((len(columns["kind"]), self._model.dimension), dtype=np.float32)
        writes = np.flatnonzero(columns["kind"] == WRITE)
        if len(writes):
            vectors[writes] = self._model.embed([str(text) for text in columns["embedded"][writes]])
        return {**columns, "vector": vectors}


def _show_progress_on_terminals_only() -> None:
    """Ray Data draws progress bars on a terminal; elsewhere it would write them as dozens of log lines."""
    on_terminal = sys.stderr.isatty()
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = on_terminal
    context.enable_operator_progress_bars = on_terminal
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.WARNING if on_terminal else logging.ERROR)


def ingestion_rows(
    documents: Sequence[Document],
    collection: Collection,
    *,
    cache_dir: Path,
    cluster: ClusterSettings,
    pipelines: PipelineSettings,
) -> Iterator[Row]:
    """Run the pipeline; yields every row once it is stored.

    Args:
        documents: What to ingest.
        collection: Where to; it has an embedding model.
        cache_dir: Where models keep a form of themselves that loads faster.
        cluster: How to reach the shards.
        pipelines: Sizes and limits.
    """
    model_name = collection.embedding_model
    _show_progress_on_terminals_only()

    def read(document: dict[str, Any]) -> list[Row]:
        give_way()
        return list(read_document(document, collection, engine_of_worker(cluster), pipelines))

    def store(columns: Columns) -> Columns:
        give_way()
        vectors = columns.pop("vector")
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        store_rows(rows, vectors, collection, engine_of_worker(cluster))
        return {name: columns[name] for name in ("kind", "source", "count", "reason")}

    dataset = (
        ray.data.from_items(
            [asdict(document) for document in documents],
            override_num_blocks=min(len(documents), _MAX_BLOCKS),
        )
        .flat_map(read, num_cpus=_STAGE_CPUS)
        .map_batches(
            EmbedChunks,
            fn_constructor_args=(model_name, cache_dir),
            batch_size=pipelines.embed_batch_rows,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(size=pipelines.embed_actors),
            num_cpus=_STAGE_CPUS,
        )
        .map_batches(store, batch_size=pipelines.embed_batch_rows, batch_format="numpy", num_cpus=_STAGE_CPUS)
    )
    yield from dataset.iter_rows()
