"""What an ingestor replica runs: a worker over the engine on Ray."""

import asyncio
from collections.abc import Awaitable, Callable

from cluster.ingestor import Ingestor
from cluster.ray_engine import RayEngine
from pipelines.jobs.build import Ingestion
from serve.config import Settings
from serve.upload_place import open_upload_place
from storage.catalog import Catalog


def ingestor_builder(settings: Settings) -> Callable[[], Awaitable[Ingestor]]:
    """A function that begins to work in the ingestor's own process.

    Args:
        settings: With an absolute data folder.
    """

    async def begin() -> Ingestor:
        ingestion = Ingestion(
            settings.pipelines,
            catalog=await Catalog.open(settings.database_url),
            engine=RayEngine(settings.cluster, data_dir=settings.data_dir),
            blobs=await asyncio.to_thread(open_upload_place, settings),
            embedding=settings.embedding,
            data_dir=settings.data_dir,
        )
        await ingestion.start()
        return ingestion

    return begin
