"""Uploads and ingestion jobs in the catalog: states, races, and that they go with their collection."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from storage.catalog import ANYONE, Catalog, Database, JobClaim, JobRuns, Jobs, Uploads
from storage.catalog.ingestion_tables import JobRow
from tests.unit.storage.catalog.test_accounts import NOW, databases
from tests.unit.storage.catalog.test_catalog import collection, made
from vectoray.core.ingestion import (
    UNFINISHED,
    Chunking,
    ChunkingStrategy,
    FileType,
    Job,
    JobProgress,
    JobStatus,
    Upload,
)
from vectoray.core.model import Collection

__all__ = ["databases"]

LATER = NOW + timedelta(seconds=5)
RESTARTABLE = frozenset((JobStatus.FAILED, JobStatus.CANCELLED))
HALF = JobProgress(total_chunks=10, processed_chunks=4, failed_chunks=1)
DONE = JobProgress(total_chunks=10, processed_chunks=9, failed_chunks=1)
LEASE = timedelta(seconds=15)


def upload_of(collection: Collection, *, name: str = "Überblick.pdf", at: datetime = NOW) -> Upload:
    return Upload(
        id=str(uuid4()),
        collection_id=collection.id,
        file_name=name,
        file_type=FileType.PDF,
        size_bytes=3 * 2**32,
        sha256="0" * 64,
        created_by="ann",
        created_at=at,
    )


def job_of(upload: Upload, *, age_s: int = 0) -> Job:
    at = NOW - timedelta(seconds=age_s)
    return Job(
        id=str(uuid4()),
        collection_id=upload.collection_id,
        upload=upload,
        chunking=Chunking(ChunkingStrategy.PARAGRAPH, 200, 20),
        created_by="ann",
        created_at=at,
        updated_at=at,
    )


@pytest.fixture
def catalog(databases: tuple[Database, Database]) -> Catalog:
    return Catalog(databases[0])


@pytest.fixture
def jobs(databases: tuple[Database, Database]) -> tuple[Jobs, Jobs]:
    """Those of two gateways."""
    return Jobs(databases[0]), Jobs(databases[1])


@pytest.fixture
def runs(databases: tuple[Database, Database]) -> JobRuns:
    return JobRuns(databases[1])


@pytest.fixture
def uploads(databases: tuple[Database, Database]) -> Uploads:
    return Uploads(databases[0])


@pytest.fixture
async def docs(catalog: Catalog) -> Collection:
    return await made(catalog, collection(owner="ann"))


@pytest.fixture
async def upload(uploads: Uploads, docs: Collection) -> Upload:
    kept = upload_of(docs)
    assert await uploads.add(kept)
    return kept


@pytest.fixture
async def job(jobs: tuple[Jobs, Jobs], upload: Upload) -> Job:
    kept = job_of(upload)
    assert await jobs[0].add(kept)
    return kept


async def taken(runs: JobRuns, job: Job, *, now: datetime = LATER, worker: str = "w1") -> JobClaim:
    """A claim of the job, which is the next."""
    claim = await runs.claim_next(worker, now, now + LEASE)
    assert claim is not None
    assert claim.job.id == job.id
    return claim


async def state(jobs: Jobs, job: Job) -> Job:
    found = await jobs.find(job.id)
    assert found is not None
    return found


async def test_an_upload_and_a_job_read_back_as_they_were_written(
    jobs: tuple[Jobs, Jobs], uploads: Uploads, job: Job
) -> None:
    assert await uploads.find(job.upload.id) == job.upload
    assert await uploads.find(str(uuid4())) is None
    assert await jobs[1].find(job.id) == job
    assert await jobs[1].find_each([str(uuid4()), job.id]) == [None, job]


async def test_nothing_is_kept_for_what_is_gone(
    jobs: tuple[Jobs, Jobs], uploads: Uploads, docs: Collection
) -> None:
    assert not await uploads.add(upload_of(collection()))
    assert not await jobs[0].add(job_of(upload_of(docs)))


@pytest.mark.parametrize("ended", [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED])
async def test_what_is_finished_is_not_cancelled(
    jobs: tuple[Jobs, Jobs], runs: JobRuns, job: Job, ended: JobStatus
) -> None:
    claim = await taken(runs, job)
    ends: dict[JobStatus, Callable[[], Awaitable[bool]]] = {
        JobStatus.COMPLETED: lambda: runs.finish(claim, DONE, LATER),
        JobStatus.FAILED: lambda: runs.fail(claim, "No.", LATER),
        JobStatus.CANCELLED: lambda: jobs[0].cancel(job.id, NOW),
    }
    assert await ends[ended]()
    assert not await jobs[0].cancel(job.id, LATER)
    assert (await state(jobs[0], job)).status is ended


@pytest.mark.parametrize("start", sorted(UNFINISHED))
async def test_what_is_not_finished_is_not_restarted(
    jobs: tuple[Jobs, Jobs], runs: JobRuns, job: Job, start: JobStatus
) -> None:
    if start is JobStatus.PROCESSING:
        await taken(runs, job)
    assert await jobs[0].restart(job.id, RESTARTABLE, job.chunking, LATER) is None


async def test_of_two_gateways_that_change_one_job_one_wins(
    jobs: tuple[Jobs, Jobs], runs: JobRuns, upload: Upload
) -> None:
    for _ in range(20):
        job = job_of(upload)
        await jobs[0].add(job)
        claim = await taken(runs, job)
        outcome = await asyncio.gather(jobs[0].cancel(job.id, LATER), runs.finish(claim, DONE, LATER))
        assert sorted(outcome) == [False, True]
        await runs.release(claim, LATER)
        ended = frozenset((JobStatus.COMPLETED, JobStatus.CANCELLED))
        again = await asyncio.gather(*(one.restart(job.id, ended, job.chunking, LATER) for one in jobs))
        assert sorted(one.run for one in again if one is not None) == [2]
        assert await asyncio.gather(*(one.cancel(job.id, LATER) for one in jobs)) in (
            [True, False],
            [False, True],
        )


async def test_jobs_are_listed_newest_first_as_far_as_they_are_the_callers(
    catalog: Catalog, jobs: tuple[Jobs, Jobs], uploads: Uploads, job: Job
) -> None:
    theirs = await made(catalog, collection(owner="bob"))
    foreign = upload_of(theirs)
    await uploads.add(foreign)
    older, bobs = job_of(job.upload, age_s=9), job_of(foreign, age_s=5)
    for one in (older, bobs):
        await jobs[0].add(one)
    await jobs[0].cancel(older.id, NOW)
    older = await state(jobs[0], older)
    docs_id = job.collection_id
    assert await jobs[0].page(["ann"], limit=9) == ([job, older], 2)
    assert await jobs[0].page(["ann"], skip=1, limit=1) == ([older], 2)
    assert await jobs[0].page([ANYONE], limit=9) == ([job, bobs, older], 3)
    assert await jobs[0].page([ANYONE], collection_id=docs_id, limit=9) == ([job, older], 2)
    assert await jobs[0].page([ANYONE], among=frozenset((theirs.id,)), limit=9) == ([bobs], 1)
    assert await jobs[0].page(["ann"], status=JobStatus.CANCELLED, limit=9) == ([older], 1)
    assert await jobs[0].page(["ann"], status=JobStatus.FAILED, limit=9) == ([], 0)


async def test_of_a_collection_that_is_dropped_nothing_is_seen_or_run_and_then_nothing_is_left(
    catalog: Catalog,
    databases: tuple[Database, Database],
    *,
    jobs: tuple[Jobs, Jobs],
    runs: JobRuns,
    uploads: Uploads,
    job: Job,
) -> None:
    running = job_of(job.upload, age_s=9)
    await jobs[0].add(running)
    claim = await taken(runs, running)
    await catalog.begin_drop(job.collection_id)
    assert await jobs[0].find(job.id) is None
    assert await jobs[0].page([ANYONE], limit=9) == ([], 0)
    foreign = upload_of(await made(catalog, collection(owner="bob")))
    await uploads.add(foreign)
    younger = job_of(foreign)
    await jobs[0].add(younger)
    await taken(runs, younger)
    assert not await runs.progress(claim, HALF, LATER)
    assert await runs.wanted([claim.lease]) == set()
    assert not await jobs[0].cancel(job.id, LATER)
    await catalog.finish_drop(job.collection_id)
    assert await uploads.find(job.upload.id) is None
    gone = JobRow.collection_id == job.collection_id
    rows = select(func.count()).select_from(JobRow).where(gone)
    assert await databases[0].read(lambda session: session.scalar(rows)) == 0


async def test_uploads_that_no_job_uses_are_forgotten_after_a_time(
    uploads: Uploads, docs: Collection, job: Job
) -> None:
    unused, recent = upload_of(docs), upload_of(docs, at=LATER)
    for one in (unused, recent):
        await uploads.add(one)
    assert await uploads.forget_unused(LATER) == [unused.id]
    left = {job.upload.id, recent.id}
    assert await uploads.known([unused.id, *left]) == left
