"""Followers of jobs: what they are told, when that ends, and what it costs the catalog."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import cast

from structlog.testing import capture_logs

from serve.job_watch import JobWatch
from storage.catalog import Jobs
from tests.unit.storage.catalog.test_catalog import collection
from tests.unit.storage.catalog.test_jobs import HALF, job_of, upload_of
from vectoray.core.errors import Unavailable
from vectoray.core.ingestion import Job, JobStatus


class Table:
    """The catalog's jobs, and which questions were asked."""

    def __init__(self, *jobs: Job) -> None:
        self.jobs = {job.id: job for job in jobs}
        self.questions: list[list[str]] = []
        self.fails = False
        self.asked = asyncio.Event()

    async def find_each(self, job_ids: Sequence[str]) -> list[Job | None]:
        self.questions.append(list(job_ids))
        self.asked.set()
        if self.fails:
            raise Unavailable("The catalog cannot be reached now.")
        return [self.jobs.get(job_id) for job_id in job_ids]

    async def next_question(self) -> None:
        self.asked.clear()
        await asyncio.wait_for(self.asked.wait(), 10)


def new_job() -> Job:
    return job_of(upload_of(collection()))


def watch_of(table: Table) -> JobWatch:
    return JobWatch(cast("Jobs", table), interval_s=0.001)


async def following(stream: AsyncGenerator[Job, None]) -> "asyncio.Task[Job]":
    """The next that is told, which is not there yet."""
    told = asyncio.create_task(stream.__anext__())
    await asyncio.sleep(0)
    return told


async def test_a_follower_is_told_at_once_and_on_change_and_up_to_the_end() -> None:
    job = new_job()
    table = Table(job)
    watch = watch_of(table)
    stream = watch.follow(job)
    assert await anext(stream) == job
    told = await following(stream)
    await table.next_question()
    await table.next_question()
    assert not told.done()
    table.jobs[job.id] = running = replace(job, status=JobStatus.PROCESSING, progress=HALF)
    assert await asyncio.wait_for(told, 10) == running
    table.jobs[job.id] = ended = replace(running, status=JobStatus.FAILED)
    assert [one async for one in stream] == [ended]
    await watch.close()


async def test_a_job_that_is_finished_is_told_once_and_nobody_is_asked() -> None:
    job = replace(new_job(), status=JobStatus.COMPLETED)
    table = Table(job)
    assert [one async for one in watch_of(table).follow(job)] == [job]
    assert table.questions == []


async def test_many_followers_cost_one_question_and_none_when_they_have_left() -> None:
    jobs = [new_job() for _ in range(3)]
    table = Table(*jobs)
    watch = watch_of(table)
    streams = [watch.follow(job) for job in jobs * 4]
    for stream in streams:
        await anext(stream)
    waiting = [await following(stream) for stream in streams]
    await table.next_question()
    assert table.questions[-1] == sorted(job.id for job in jobs)
    for task, stream in zip(waiting, streams, strict=True):
        task.cancel()
        await asyncio.wait([task])
        await stream.aclose()
    looking = watch._looking
    assert looking is not None
    await asyncio.wait_for(looking, 10)
    asked = len(table.questions)
    await watch.close()
    assert len(table.questions) == asked


async def test_a_job_that_is_gone_ends_as_cancelled() -> None:
    job = new_job()
    stream = watch_of(Table()).follow(job)
    assert [one.status async for one in stream] == [JobStatus.PENDING, JobStatus.CANCELLED]


async def test_a_catalog_that_does_not_answer_is_asked_again() -> None:
    job = new_job()
    table = Table(replace(job, status=JobStatus.COMPLETED))
    table.fails = True
    stream = watch_of(table).follow(job)
    await anext(stream)
    with capture_logs() as logs:
        told = await following(stream)
        await table.next_question()
        await table.next_question()
        table.fails = False
        assert (await asyncio.wait_for(told, 10)).status is JobStatus.COMPLETED
    assert logs[0]["event"] == "jobs_not_seen"
    await stream.aclose()
