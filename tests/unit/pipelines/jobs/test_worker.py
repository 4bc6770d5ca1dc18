"""What a worker takes, keeps, stops and gives back. The clock is the test's."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from pipelines.jobs.worker import IngestionWorker
from storage.catalog import MOST_TRIES, Due, JobRuns, Workers
from tests.unit.pipelines.jobs.world import World, idle, sentences
from vectoray.core.errors import Unavailable
from vectoray.core.ingestion import Job, JobStatus


async def settled(worker: IngestionWorker) -> None:
    async with asyncio.timeout(10):
        while worker.running:  # noqa: ASYNC110  (of no event that tells)
            await asyncio.sleep(0.005)


async def waiting(world: World, content: str = "One sentence.") -> tuple[IngestionWorker, Job]:
    """A worker whose job waits for the model, before anything is written."""
    job = await world.add_job(content)
    world.embedder.stop_after = world.embedder.batches
    worker = world.worker()
    await worker.look()
    async with asyncio.timeout(10):
        await world.embedder.waiting.wait()
    return worker, job


async def test_a_started_worker_takes_what_comes_when_it_is_woken(world: World) -> None:
    world.settings = replace_poll(world, poll_s=60)
    worker = world.worker()
    worker.start()
    await asyncio.sleep(0)
    job = await world.add_job("One sentence.")
    worker.wake()
    async with asyncio.timeout(10):
        while (await world.job(job)).status is not JobStatus.COMPLETED:  # noqa: ASYNC110  (of a database)
            await asyncio.sleep(0.01)
    await worker.close()


async def test_a_started_worker_finds_what_nobody_tells_it_of(world: World) -> None:
    worker = world.worker()
    worker.start()
    job = await world.add_job("One sentence.")
    async with asyncio.timeout(10):
        while (await world.job(job)).status is not JobStatus.COMPLETED:  # noqa: ASYNC110  (of a database)
            await asyncio.sleep(0.01)
    await worker.close()


def replace_poll(world: World, *, poll_s: float) -> Any:
    return world.settings.model_copy(update={"poll_s": poll_s})


async def test_leases_are_renewed_while_the_work_goes_on(world: World) -> None:
    worker, job = await waiting(world)
    for _ in range(8):
        world.clock += 5
        await worker.look()
        assert await JobRuns(world.catalog.database).claim_next("other", world.now(), world.now()) is None
    world.embedder.go_on.set()
    await settled(worker)
    assert (await world.job(job)).status is JobStatus.COMPLETED


async def test_who_has_nothing_rarely_says_so_and_what_they_take_then_has_a_whole_lease(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit makes all processes forget what they remember of the catalog."""
    beats, beat = [], Workers.beat

    async def counted(*arguments: Any) -> None:
        beats.append(world.clock)
        await beat(*arguments)

    monkeypatch.setattr(Workers, "beat", counted)
    world.embedder.stop_after = 0
    worker = world.worker()
    for second in range(30):
        world.clock = second
        await worker.look()
    assert beats == [0, 10, 20]
    await world.add_job("One sentence.")
    await worker.look()
    assert worker.running == 1
    for _ in range(3):
        world.clock += 5
        assert await JobRuns(world.catalog.database).due(world.now()) is Due.NOTHING
        await worker.look()
    assert worker.running == 1
    assert beats == [0, 10, 20, 34, 39, 44]
    await worker.close()


async def test_who_could_not_renew_writes_nothing_even_if_it_does_not_know_yet(world: World) -> None:
    """It was stopped, as by SIGSTOP, between embedding and writing, for longer than its lease."""
    worker, job = await waiting(world)
    world.clock += 20
    world.embedder.go_on.set()
    await settled(worker)
    assert await world.points(job) == []
    # Nobody had taken it over meanwhile, so it was given back.
    assert (await world.job(job)).status is JobStatus.PENDING


async def test_work_stops_when_its_lease_cannot_be_renewed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, _ = await waiting(world)

    async def silent(*_: object) -> None:
        raise Unavailable("The catalog cannot be reached now.")

    monkeypatch.setattr(Workers, "beat", silent)
    world.clock += 20
    with pytest.raises(Unavailable):
        await worker.look()
    await settled(worker)


async def test_what_another_has_taken_over_is_stopped_and_left_to_it(world: World) -> None:
    worker, job = await waiting(world)
    world.clock += 14
    # By a clock that is ahead of this worker's.
    ahead = world.now() + timedelta(seconds=5)
    over = await JobRuns(world.catalog.database).claim_next("other", ahead, ahead + timedelta(seconds=15))
    assert over is not None
    await worker.look()
    await settled(worker)
    assert (await world.job(job)).status is JobStatus.PROCESSING
    assert await JobRuns(world.catalog.database).wanted([over.lease]) == {over.lease}


async def test_a_worker_that_ends_in_good_order_gives_its_work_back(world: World) -> None:
    worker, job = await waiting(world)
    await worker.close()
    given_back = await world.job(job)
    assert given_back.status is JobStatus.PENDING
    assert await Workers(world.catalog.database).seen_since(world.now()) == []
    world.embedder.go_on.set()
    await idle(world.worker())
    assert (await world.job(job)).status is JobStatus.COMPLETED
    assert (await world.document(job.id)).tries == 1


async def test_what_is_being_claimed_when_a_worker_ends_is_given_back_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await world.add_job("One sentence.")
    world.embedder.stop_after = 0
    claim_next, claimed, answered = JobRuns.claim_next, asyncio.Event(), asyncio.Event()

    async def slow(*arguments: Any, **named: Any) -> Any:
        claim = await claim_next(*arguments, **named)
        claimed.set()
        await answered.wait()
        return claim

    monkeypatch.setattr(JobRuns, "claim_next", slow)
    worker = world.worker()
    worker.start()
    await claimed.wait()
    closing = asyncio.create_task(worker.close())
    await asyncio.sleep(0)
    answered.set()
    await closing
    assert (await world.job(job)).status is JobStatus.PENDING
    assert (await JobRuns(world.catalog.database).due(world.now())) is Due.SOMETHING


async def test_no_more_is_taken_than_there_is_room_for(world: World) -> None:
    jobs = [await world.add_job(f"Number {number}.") for number in range(5)]
    world.embedder.stop_after = 0
    worker = world.worker()
    await worker.look()
    assert worker.running == world.settings.concurrent_uploads == 2
    statuses = [(await world.job(job)).status for job in jobs]
    assert statuses.count(JobStatus.PENDING) == 3
    world.embedder.go_on.set()
    await settled(worker)
    await idle(worker)
    assert {(await world.job(job)).status for job in jobs} == {JobStatus.COMPLETED}


async def test_a_document_that_kills_its_worker_takes_no_other_down_with_it(world: World) -> None:
    """Both were there each time it died; on the last try each is alone, and the innocent one is stored."""
    killer, innocent = await world.add_job("Kills."), await world.add_job("Innocent.")
    runs = JobRuns(world.catalog.database)
    for _ in range(MOST_TRIES - 1):
        for _ in range(2):
            until = world.now() + timedelta(seconds=15)
            assert await runs.claim_next("dead", world.now(), until) is not None
        world.clock += 20
    world.embedder.stop_after = 0
    worker = world.worker()
    await worker.look()
    assert worker.running == 1
    fresh = await world.add_job("Fresh.")
    await worker.look()
    assert worker.running == 1
    for job in (killer, innocent, fresh):
        assert (await world.job(job)).status is not JobStatus.FAILED
    world.embedder.go_on.set()
    await settled(worker)
    await idle(worker)
    assert (await world.job(innocent)).status is JobStatus.COMPLETED
    assert (await world.job(fresh)).status is JobStatus.COMPLETED


async def test_documents_take_turns_between_batches(world: World) -> None:
    long, short = await world.add_job(sentences(20)), await world.add_job("Short.")
    worker = world.worker()
    await worker.look()
    async with asyncio.timeout(10):
        while (await world.job(short)).status is not JobStatus.COMPLETED:  # noqa: ASYNC110  (as above)
            await asyncio.sleep(0.002)
    assert world.embedder.texts.index("Short.") <= 4
    await settled(worker)
    assert (await world.job(long)).status is JobStatus.COMPLETED
