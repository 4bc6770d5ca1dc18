"""The ingestion pipeline as a Ray Data plan: read and compare, embed, store; each with backpressure."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import ray
import ray.data

from cluster.settings import ClusterSettings
from pipelines.driver import show_progress_on_terminals_only
from pipelines.embedding_workers import chunk_embedder, embedding_workers
from pipelines.parse.isolated import IsolatedParser
from pipelines.settings import PipelineSettings
from pipelines.sources import FileDocument
from pipelines.stages import WRITE, Row, read_document, store_rows
from pipelines.workers import engine_of_worker, give_way
from vectoray.core.model import Collection
from vectoray.embedding import EmbeddingSettings, ModelRegistry, TokenCounter
from vectoray.embedding.model import model_of

# A small machine has fewer CPUs than stages; a stage that asked for a whole one would wait for ever.
_STAGE_CPUS = 0.25
# Enough for progress and parallel reading; each block is one task.
_MAX_BLOCKS = 128

Columns = dict[str, npt.NDArray[Any]]


@cache
def parser_of_worker(pipelines: PipelineSettings) -> IsolatedParser:
    """What parses for this Ray worker: no document can harm it."""
    return IsolatedParser(pipelines.parse, max_file_bytes=pipelines.max_file_bytes)


@cache
def tokens_of_worker(model_name: str, embedding: EmbeddingSettings) -> TokenCounter | None:
    """What counts a model's tokens in this Ray worker."""
    return ModelRegistry(embedding).token_counter(model_name)


class EmbedChunks:
    """Adds a ``vector`` to rows that are to be written. One loaded model a process."""

    def __init__(
        self,
        model_name: str,
        embedding: EmbeddingSettings,
        pipelines: PipelineSettings,
        data_dir: Path,
        gpus: float,
    ) -> None:
        # First: the model's threads are as nice as who starts them.
        give_way(pipelines.niceness)
        self._embedder = chunk_embedder(
            model_name, embedding=embedding, pipelines=pipelines, data_dir=data_dir, gpu_offered=gpus > 0
        )

    def __call__(self, columns: Columns) -> Columns:
        """Embed the texts of a batch: float32, shape (n, dimension), zeros where nothing is to be written."""
        vectors = np.zeros((len(columns["kind"]), self._embedder.dimension), dtype=np.float32)
        writes = np.flatnonzero(columns["kind"] == WRITE)
        if len(writes):
            vectors[writes] = self._embedder.embed([str(text) for text in columns["embedded"][writes]])
        return {**columns, "vector": vectors}


def ingestion_rows(
    documents: Sequence[FileDocument],
    collection: Collection,
    *,
    data_dir: Path,
    cluster: ClusterSettings,
    pipelines: PipelineSettings,
    embedding: EmbeddingSettings,
) -> Iterator[Row]:
    """Run the pipeline; yields every row once it is stored.

    Args:
        documents: What to ingest.
        collection: Where to; it has an embedding model.
        data_dir: The server's, in which nodes keep converted models and vectors.
        cluster: How to reach the shards.
        pipelines: Sizes and limits.
        embedding: The models.

    Raises:
        InvalidRequest: The collection has no embedding model that fits it.
        Unavailable: Embedding is to run on a GPU and there is none.
    """
    model = model_of(collection, ModelRegistry(embedding).models)
    workers = embedding_workers(pipelines, model, cluster_gpus=float(ray.cluster_resources().get("GPU", 0)))
    show_progress_on_terminals_only(ray.data.DataContext.get_current())

    def read(document: dict[str, Any]) -> list[Row]:
        give_way(pipelines.niceness)
        rows = read_document(
            FileDocument(**document),
            collection,
            engine_of_worker(cluster),
            pipelines,
            parse=parser_of_worker(pipelines).parse,
            tokens=tokens_of_worker(model.name, embedding),
        )
        return list(rows)

    def store(columns: Columns) -> Columns:
        give_way(pipelines.niceness)
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
            fn_constructor_args=(model.name, embedding, pipelines, data_dir, workers.gpus),
            batch_size=pipelines.embed_batch_rows,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(size=workers.count),
            num_cpus=_STAGE_CPUS,
            num_gpus=workers.gpus,
        )
        .map_batches(store, batch_size=pipelines.embed_batch_rows, batch_format="numpy", num_cpus=_STAGE_CPUS)
    )
    yield from dataset.iter_rows()
