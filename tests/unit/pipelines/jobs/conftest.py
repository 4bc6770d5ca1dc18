"""A world for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cluster.local_engine import LocalEngine
from pipelines.jobs.work_threads import WorkThreads
from storage.blobs import Blobs
from storage.catalog import Catalog
from tests.unit.pipelines.jobs.world import GatedEmbedder, Site, World


@pytest.fixture
async def world(tmp_path: Path, database_url: str) -> AsyncIterator[World]:
    threads = WorkThreads(2, name="tests", niceness=0)
    made = World(
        await Catalog.open(database_url),
        LocalEngine(tmp_path / "data"),
        Blobs.open(tmp_path / "uploads"),
        GatedEmbedder(tmp_path),
        Site(),
        threads,
    )
    made.docs = await made.make_collection()
    yield made
    threads.close()
    await made.engine.close()
    await made.catalog.dispose()
