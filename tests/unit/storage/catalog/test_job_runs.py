"""Jobs as their runners see them: taken under leases, in turn, and never changed by who lost theirs."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from storage.catalog import (
    MOST_TRIES,
    Catalog,
    Database,
    Documents,
    Due,
    JobClaim,
    JobRuns,
    Jobs,
    Uploads,
    Worker,
    Workers,
)
from tests.unit.storage.catalog.test_accounts import NOW, databases
from tests.unit.storage.catalog.test_catalog import collection, made
from tests.unit.storage.catalog.test_jobs import (
    DONE,
    HALF,
    LATER,
    LEASE,
    RESTARTABLE,
    catalog,
    docs,
    job,
    job_of,
    jobs,
    runs,
    state,
    taken,
    upload,
    upload_of,
    uploads,
)
from vectoray.core.ingestion import (
    Chunking,
    ChunkingStrategy,
    DocumentState,
    Job,
    JobProgress,
    JobStatus,
)

__all__ = ["catalog", "databases", "docs", "job", "jobs", "runs", "upload", "uploads"]

EXPIRED = LATER + LEASE


@pytest.fixture
def documents(databases: tuple[Database, Database]) -> Documents:
    return Documents(databases[0])


@pytest.fixture
def workers(databases: tuple[Database, Database]) -> Workers:
    return Workers(databases[0])


async def test_a_run_from_its_claim_to_its_end(
    jobs: tuple[Jobs, Jobs], runs: JobRuns, documents: Documents, job: Job
) -> None:
    assert await runs.due(LATER) is Due.SOMETHING
    claim = await taken(runs, job)
    running = replace(job, status=JobStatus.PROCESSING, started_at=LATER, updated_at=LATER)
    assert claim.job == await state(jobs[0], job) == running
    assert await runs.due(LATER) is Due.NOTHING
    assert await runs.claim_next("w2", LATER, EXPIRED) is None
    assert await runs.wanted([claim.lease, "other"]) == {claim.lease}
    assert await runs.progress(claim, HALF, LATER, fingerprint="f")
    assert await state(jobs[0], job) == replace(running, progress=HALF, extent=10)
    [document] = await documents.of_owner(job.id)
    assert (document.state, document.chunks, document.stored_chunks) == (DocumentState.PARSED, 10, 4)
    assert await runs.finish(claim, DONE, LATER)
    ended = replace(running, status=JobStatus.COMPLETED, progress=DONE, extent=10, completed_at=LATER)
    assert await state(jobs[0], job) == ended
    [document] = await documents.of_source(job.collection_id, job.upload.file_name)
    assert (document.state, document.fingerprint, document.tries) == (DocumentState.STORED, "f", 1)
    assert await runs.due(EXPIRED) is Due.NOTHING


async def test_a_failure_is_kept_with_its_reason_and_a_new_run_forgets_it(
    jobs: tuple[Jobs, Jobs], runs: JobRuns, documents: Documents, job: Job
) -> None:
    assert await runs.fail(await taken(runs, job), "The document has no text.", LATER)
    failed = await state(jobs[0], job)
    assert (failed.status, failed.error, failed.completed_at) == (
        JobStatus.FAILED,
        "The document has no text.",
        LATER,
    )
    [document] = await documents.of_owner(job.id)
    assert document.reason == "The document has no text."
    other = Chunking(ChunkingStrategy.FIXED_SIZE, 300, 0)
    again = await jobs[0].restart(job.id, RESTARTABLE, other, LATER)
    assert again == replace(job, run=2, chunking=other, updated_at=LATER)
    assert (await taken(runs, job)).document.tries == 1
    [document] = await documents.of_owner(job.id)
    assert document.reason is None


async def test_a_shorter_run_that_finishes_leaves_no_points_beyond_it(
    jobs: tuple[Jobs, Jobs], runs: JobRuns, job: Job
) -> None:
    await runs.finish(await taken(runs, job), DONE, NOW)
    await jobs[0].restart(job.id, frozenset((JobStatus.COMPLETED,)), job.chunking, NOW)
    claim = await taken(runs, job)
    assert await runs.progress(claim, JobProgress(3, 1), NOW)
    assert (await state(jobs[0], job)).extent == 10
    await runs.finish(claim, JobProgress(3, 3), NOW)
    assert (await state(jobs[0], job)).extent == 3


CHANGES: dict[str, Callable[[JobRuns, JobClaim], Awaitable[bool]]] = {
    "progress": lambda runs, claim: runs.progress(claim, HALF, LATER),
    "finish": lambda runs, claim: runs.finish(claim, DONE, LATER),
    "fail": lambda runs, claim: runs.fail(claim, "No.", LATER),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_a_run_that_is_cancelled_or_replaced_changes_nothing(
    jobs: tuple[Jobs, Jobs],
    runs: JobRuns,
    job: Job,
    change: Callable[[JobRuns, JobClaim], Awaitable[bool]],
) -> None:
    claim = await taken(runs, job)
    assert await jobs[1].cancel(job.id, LATER)
    assert not await change(runs, claim), "cancelled"
    await jobs[1].restart(job.id, RESTARTABLE, job.chunking, LATER)
    assert not await change(runs, claim), "pending again"
    await runs.release(claim, LATER)
    await taken(runs, job)
    before = await state(jobs[0], job)
    assert not await change(runs, claim), "replaced"
    await runs.release(claim, LATER, removed=True)
    assert await runs.to_clean(claim) is None
    assert await state(jobs[0], job) == before


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_who_lost_the_lease_changes_nothing_even_if_it_is_the_same_worker(
    jobs: tuple[Jobs, Jobs],
    runs: JobRuns,
    job: Job,
    change: Callable[[JobRuns, JobClaim], Awaitable[bool]],
) -> None:
    lost = await taken(runs, job, worker="w1")
    held = await taken(runs, job, now=EXPIRED, worker="w1")
    before = await state(jobs[0], job)
    assert not await change(runs, lost)
    await runs.release(lost, EXPIRED)
    assert await state(jobs[0], job) == before
    assert await runs.wanted([lost.lease, held.lease]) == {held.lease}
    assert await runs.finish(held, DONE, EXPIRED)


async def test_a_lease_is_taken_over_when_it_ends_and_not_while_it_is_renewed(
    runs: JobRuns, workers: Workers, job: Job
) -> None:
    claim = await taken(runs, job)
    assert await runs.claim_next("w2", EXPIRED - timedelta(milliseconds=1), EXPIRED) is None
    beat = Worker("w1", LATER, LATER + LEASE / 2, running=1)
    await workers.beat(beat, [claim.lease], EXPIRED + LEASE / 2)
    assert await runs.claim_next("w2", EXPIRED, EXPIRED + LEASE) is None
    assert await workers.seen_since(LATER) == [beat]
    over = await taken(runs, job, now=EXPIRED + LEASE / 2, worker="w2")
    assert over.document.tries == 2
    await workers.beat(beat, [claim.lease], EXPIRED + 9 * LEASE)
    assert await runs.due(EXPIRED + 2 * LEASE) is Due.LAST_TRY, "a lost lease was renewed"


async def test_what_waits_can_be_taken_though_the_clock_of_its_gateway_is_ahead(
    jobs: tuple[Jobs, Jobs], runs: JobRuns, job: Job
) -> None:
    await jobs[0].add(replace(job, created_at=LATER + timedelta(hours=1)))
    claim = await runs.claim_next("w1", LATER, EXPIRED)
    assert claim is not None
    assert await runs.fail(claim, "It is damaged.", LATER)
    hour_ahead = LATER + timedelta(hours=1)
    assert await jobs[0].restart(job.id, RESTARTABLE, job.chunking, hour_ahead) is not None
    assert await runs.claim_next("w1", LATER, EXPIRED) is not None


async def test_a_run_that_is_taken_over_goes_on_from_what_is_stored(runs: JobRuns, job: Job) -> None:
    claim = await taken(runs, job)
    await runs.progress(claim, HALF, LATER, fingerprint="f")
    over = await taken(runs, job, now=EXPIRED)
    assert over.job.progress == HALF
    assert (over.document.fingerprint, over.document.stored_chunks) == ("f", 4)


async def test_one_of_many_racing_workers_takes_a_job(
    databases: tuple[Database, Database], jobs: tuple[Jobs, Jobs], job: Job
) -> None:
    others = [job_of(job.upload, age_s=age_s) for age_s in range(5)]
    for one in others:
        await jobs[0].add(one)
    racing = [JobRuns(database) for database in databases] * 6
    claims = await asyncio.gather(*(one.claim_next("w", LATER, EXPIRED) for one in racing))
    found = sorted(claim.job.id for claim in claims if claim is not None)
    assert len(found) == len(set(found))
    # On PostgreSQL one may have looked while another had what it looked at.
    while (claim := await racing[0].claim_next("w", LATER, EXPIRED)) is not None:
        found.append(claim.job.id)
    assert sorted(found) == sorted([job.id, *(one.id for one in others)])


async def test_users_take_turns_however_much_one_has(
    catalog: Catalog, jobs: tuple[Jobs, Jobs], runs: JobRuns, uploads: Uploads, job: Job
) -> None:
    theirs = upload_of(await made(catalog, collection(owner="bob")))
    await uploads.add(theirs)
    many = [job_of(job.upload, age_s=100 - number) for number in range(5)]
    late = [replace(job_of(theirs), created_by="bob") for _ in range(2)]
    for one in (*many, *late):
        await jobs[0].add(one)
    who = []
    for number in range(5):
        claim = await runs.claim_next("w1", LATER + timedelta(seconds=number), EXPIRED + LEASE)
        assert claim is not None
        who.append(claim.job.created_by)
    assert who == ["ann", "bob", "ann", "bob", "ann"]


async def test_a_document_that_ends_its_worker_each_time_is_given_up(
    jobs: tuple[Jobs, Jobs], runs: JobRuns, documents: Documents, job: Job
) -> None:
    now = LATER
    for _ in range(MOST_TRIES):
        claim = await taken(runs, job, now=now)
        now += LEASE
    assert claim.is_last_try
    assert await runs.claim_next("w1", now, now + LEASE) is None
    failed = await state(jobs[0], job)
    assert failed.status is JobStatus.FAILED
    assert failed.error is not None
    assert "ended 3 times" in failed.error
    [document] = await documents.of_owner(job.id)
    assert document.reason == failed.error
    again = await jobs[0].restart(job.id, RESTARTABLE, job.chunking, now)
    assert again is not None
    assert (await taken(runs, job, now=now)).document.tries == 1


async def test_a_last_try_comes_next_and_only_for_who_has_nothing_else(
    jobs: tuple[Jobs, Jobs], runs: JobRuns, job: Job
) -> None:
    now = LATER
    for _ in range(MOST_TRIES - 1):
        await taken(runs, job, now=now)
        now += LEASE
    older = job_of(job.upload, age_s=9)
    await jobs[0].add(older)
    assert await runs.due(now) is Due.LAST_TRY
    assert await runs.claim_next("w1", now, now + LEASE, alone=False) is None
    assert (await taken(runs, job, now=now)).is_last_try
    assert not (await taken(runs, older, now=now)).is_last_try


async def test_what_is_given_back_is_pending_again_and_that_was_no_try(
    jobs: tuple[Jobs, Jobs], runs: JobRuns, job: Job
) -> None:
    for _ in range(MOST_TRIES + 1):
        claim = await taken(runs, job)
        assert claim.document.tries == 1
        await runs.progress(claim, HALF, LATER)
        await runs.release(claim, LATER)
        given_back = await state(jobs[0], job)
        assert (given_back.status, given_back.progress) == (JobStatus.PENDING, HALF)


async def test_of_a_run_that_has_written_and_is_cancelled_the_points_are_to_be_removed(
    jobs: tuple[Jobs, Jobs], runs: JobRuns, job: Job
) -> None:
    claim = await taken(runs, job)
    assert await runs.to_clean(claim) is None
    await runs.progress(claim, HALF, LATER)
    await jobs[0].cancel(job.id, LATER)
    cleaned = await runs.to_clean(claim)
    assert cleaned is not None
    assert cleaned.extent == 10
    assert await runs.due(LATER) is Due.NOTHING, "somebody else would clean up at the same time"
    await runs.release(claim, LATER, removed=True)
    left = await state(jobs[0], job)
    assert (left.status, left.extent, left.progress.processed_chunks) == (JobStatus.CANCELLED, 0, 0)
    assert await runs.due(EXPIRED) is Due.NOTHING


async def test_if_the_worker_is_gone_somebody_else_removes_them(
    jobs: tuple[Jobs, Jobs], runs: JobRuns, job: Job
) -> None:
    await runs.progress(await taken(runs, job), HALF, LATER)
    await jobs[0].cancel(job.id, LATER)
    for number in range(MOST_TRIES + 1):
        claim = await taken(runs, job, now=LATER + (number + 1) * LEASE)
        assert (claim.job.status, claim.job.extent) == (JobStatus.CANCELLED, 10)
        assert await runs.to_clean(claim) == claim.job


async def test_a_job_that_is_cancelled_while_it_waits_keeps_what_an_earlier_run_has_stored(
    jobs: tuple[Jobs, Jobs], runs: JobRuns, job: Job
) -> None:
    await runs.finish(await taken(runs, job), DONE, LATER)
    await jobs[0].restart(job.id, frozenset((JobStatus.COMPLETED,)), job.chunking, LATER)
    await jobs[0].cancel(job.id, LATER)
    assert await runs.due(EXPIRED) is Due.NOTHING
    assert (await state(jobs[0], job)).extent == 10


async def test_a_new_run_waits_until_the_cancelled_one_has_let_go(
    jobs: tuple[Jobs, Jobs], runs: JobRuns, job: Job
) -> None:
    claim = await taken(runs, job)
    await runs.progress(claim, HALF, LATER)
    await jobs[0].cancel(job.id, LATER)
    await jobs[0].restart(job.id, RESTARTABLE, job.chunking, LATER)
    assert await runs.due(LATER) is Due.NOTHING
    assert (await runs.to_clean(claim)) is not None
    await runs.release(claim, LATER, removed=True)
    assert (await taken(runs, job)).job.run == 2


async def test_a_failure_after_writing_keeps_the_lease_until_the_points_are_removed(
    jobs: tuple[Jobs, Jobs], runs: JobRuns, job: Job
) -> None:
    claim = await taken(runs, job)
    await runs.progress(claim, HALF, LATER)
    await runs.fail(claim, "The shards do not answer.", LATER)
    assert await runs.due(LATER) is Due.NOTHING
    assert await runs.due(EXPIRED) is Due.SOMETHING
    await runs.release(claim, LATER, removed=True)
    assert await runs.due(EXPIRED) is Due.NOTHING
    assert (await state(jobs[0], job)).error == "The shards do not answer."


async def test_workers_and_what_waits_are_told(runs: JobRuns, workers: Workers, job: Job) -> None:
    assert await workers.count_jobs() == {JobStatus.PENDING: 1, JobStatus.PROCESSING: 0}
    await taken(runs, job)
    assert await workers.count_jobs() == {JobStatus.PENDING: 0, JobStatus.PROCESSING: 1}
    old = Worker("old", NOW, NOW, running=0)
    await workers.beat(old, [], LATER)
    await workers.beat(Worker("w", NOW, NOW + timedelta(hours=2), running=1), [], LATER)
    assert [worker.id for worker in await workers.seen_since(NOW)] == ["w"]
    await workers.leave("w")
    assert await workers.seen_since(NOW) == []
