"""Puts a worker together from the settings."""

from contextlib import AsyncExitStack
from functools import cache
from pathlib import Path
from typing import Any

from cluster.engine import Engine
from pipelines.embedding_workers import chunk_embedder
from pipelines.fetch import Fetcher
from pipelines.jobs.embedding import ThreadEmbedder
from pipelines.jobs.lane import Lane
from pipelines.jobs.metrics import RUNNING
from pipelines.jobs.patience import Patience
from pipelines.jobs.reading import ThreadReader
from pipelines.jobs.uploads import UploadLane
from pipelines.jobs.urls import UrlLane
from pipelines.jobs.work_threads import WorkThreads
from pipelines.jobs.worker import IngestionWorker, utc_now
from pipelines.parse.isolated import IsolatedParser
from pipelines.settings import PipelineSettings
from storage.blobs import Blobs
from storage.catalog import Catalog, JobRuns, UrlRuns, Workers
from vectoray.embedding import EmbeddingSettings, ModelRegistry


class Ingestion:
    """A worker, and what it works with. For one event loop."""

    def __init__(
        self,
        settings: PipelineSettings,
        *,
        catalog: Catalog,
        engine: Engine,
        blobs: Blobs,
        embedding: EmbeddingSettings,
        data_dir: Path,
    ) -> None:
        """Put it together. It owns ``catalog`` and ``engine``.

        Args:
            settings: How much it does at once.
            catalog: What says what is due.
            engine: Where points go.
            blobs: Where uploaded files are.
            embedding: The models.
            data_dir: The server's, in which nodes keep converted models and vectors.
        """
        jobs = settings.jobs
        self._settings = settings
        self._catalog, self._engine = catalog, engine
        self._parsing = WorkThreads(jobs.concurrent_uploads + 1, name="parse", niceness=settings.niceness)
        self._embedding = WorkThreads(1, name="embed", niceness=settings.niceness)
        # GPUs are for batches, which are large.
        on_the_cpu = settings.model_copy(update={"embed_device": "cpu"})
        self._embedder = ThreadEmbedder(
            self._embedding,
            lambda name: chunk_embedder(
                name, embedding=embedding, pipelines=on_the_cpu, data_dir=data_dir, gpu_offered=False
            ),
        )
        self._fetcher = Fetcher(settings.fetch)
        self._connections = AsyncExitStack()
        self._parser = IsolatedParser(settings.parse, max_file_bytes=settings.max_file_bytes)
        registry = ModelRegistry(embedding)
        reader = ThreadReader(self._parsing, self._parser.parse, cache(registry.token_counter))
        patience = Patience(jobs.retry_s)
        lanes: list[Lane[Any]] = [
            UploadLane(
                JobRuns(catalog.database),
                catalog,
                engine,
                blobs,
                reader,
                self._embedder,
                jobs,
                patience,
                registry.models,
                max_file_bytes=settings.max_file_bytes,
                now=utc_now,
            ),
            UrlLane(
                UrlRuns(catalog.database),
                engine,
                self._fetcher,
                reader,
                self._embedder,
                jobs,
                patience,
                settings.chunking.chunking(),
                registry.models,
                now=utc_now,
            ),
        ]
        self.worker = IngestionWorker(lanes, Workers(catalog.database), jobs)

    async def start(self) -> None:
        """Load the default model, and work from then on."""
        await self._connections.enter_async_context(self._fetcher)
        await self._embedder.warm_up(self._settings.embedding_model)
        self.worker.start()

    @property
    def idle_s(self) -> float:
        """As `IngestionWorker.idle_s`."""
        return self.worker.idle_s

    def wake(self) -> None:
        """As `IngestionWorker.wake`."""
        self.worker.wake()

    def sample(self) -> None:
        """Set gauges of what this process has."""
        RUNNING.set(self.worker.running)

    async def close(self) -> None:
        """Give all work back and release everything."""
        await self.worker.close()
        await self._connections.aclose()
        self._parser.close()
        self._parsing.close()
        self._embedding.close()
        await self._engine.close()
        await self._catalog.dispose()
