"""Which uploaded files are removed: those that no job uses, and those that the catalog does not know."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from serve.upload_sweep import UploadSweep
from storage.blobs import Blobs
from storage.catalog import Catalog, Jobs, Uploads
from tests.unit.storage.catalog.test_accounts import NOW
from tests.unit.storage.catalog.test_catalog import collection, made
from tests.unit.storage.catalog.test_jobs import job_of, upload_of
from vectoray.core.ingestion import Upload

DAY = timedelta(days=1)


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[Catalog]:
    opened = await Catalog.open(f"sqlite:///{tmp_path / 'catalog.db'}")
    yield opened
    await opened.dispose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "uploads"


@pytest.fixture
def blobs(folder: Path) -> Blobs:
    return Blobs.open(folder)


def store(blobs: Blobs, folder: Path, name: str, written_at: datetime) -> str:
    draft = blobs.draft(name)
    draft.finish()
    os.utime(folder / name, (written_at.timestamp(), written_at.timestamp()))
    return name


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_what_nobody_needs_is_removed(catalog: Catalog, blobs: Blobs, folder: Path) -> None:
    uploads = Uploads(catalog.database)
    docs = await made(catalog, collection())

    async def uploaded(age: timedelta) -> Upload:
        upload = replace(upload_of(docs), created_at=NOW - age)
        await uploads.add(upload)
        store(blobs, folder, upload.id, NOW - age)
        return upload

    used, unused, recent = await uploaded(9 * DAY), await uploaded(8 * DAY), await uploaded(6 * DAY)
    await Jobs(catalog.database).add(job_of(used))
    store(blobs, folder, str(uuid4()), NOW - 2 * DAY)
    arriving = store(blobs, folder, str(uuid4()), NOW - DAY / 2)
    sweep = UploadSweep(uploads, blobs, keep_unused_s=7 * DAY.total_seconds())
    assert await sweep.sweep(NOW) == 2
    assert names(folder) == {used.id, recent.id, arriving}
    assert await uploads.find(unused.id) is None
    await catalog.begin_drop(docs.id)
    await catalog.finish_drop(docs.id)
    assert await sweep.sweep(NOW) == 2
    assert names(folder) == {arriving}


async def test_it_goes_on_by_itself_until_it_is_closed(catalog: Catalog, blobs: Blobs, folder: Path) -> None:
    sweep = UploadSweep(Uploads(catalog.database), blobs, keep_unused_s=1, interval_s=0.001)
    removed = asyncio.Event()
    delete = blobs.delete
    loop = asyncio.get_running_loop()

    def noted(name: str) -> None:
        delete(name)
        loop.call_soon_threadsafe(removed.set)

    blobs.delete = noted  # type: ignore[method-assign]
    with capture_logs():
        sweep.start()
        for _ in range(2):
            removed.clear()
            store(blobs, folder, str(uuid4()), NOW - 2 * DAY)
            await asyncio.wait_for(removed.wait(), 10)
        await sweep.close()
    assert names(folder) == set()
