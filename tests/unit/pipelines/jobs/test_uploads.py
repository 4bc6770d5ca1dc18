"""One uploaded file to its points: all of them or none, however the work on it ends."""

import asyncio
from dataclasses import replace
from typing import Any

import orjson
import pytest

from pipelines.jobs.reading import ThreadReader
from tests.unit.pipelines.jobs.world import CHUNKING, World, idle, sentences
from vectoray.core.errors import Unavailable
from vectoray.core.ingestion import (
    ChunkingStrategy,
    DocumentState,
    Job,
    JobProgress,
    JobStatus,
    job_point_id,
)

RETRIED = frozenset((JobStatus.FAILED, JobStatus.CANCELLED))
FINISHED = frozenset((JobStatus.COMPLETED, *RETRIED))


async def stopped_after(world: World, job: Job, batches: int) -> Any:
    """A worker that has stored so many batches of the job, and waits for the next."""
    world.embedder.stop_after = batches
    worker = world.worker()
    await worker.look()
    async with asyncio.timeout(10):
        await world.embedder.waiting.wait()
    assert len(await world.points(job)) == 2 * batches
    return worker


async def settled(worker: Any) -> None:
    async with asyncio.timeout(10):
        while worker.running:  # noqa: ASYNC110  (of no event that tells)
            await asyncio.sleep(0.005)


async def test_a_file_becomes_points_that_say_where_they_are_from(world: World) -> None:
    job = await world.add_job("# Foxes\n\nThey jump.\n\n# Dogs\n\nThey sleep.", name="notes.md")
    await idle(world.worker())
    points = await world.points(job)
    assert [(point.text, point.source, point.chunk_index) for point in points] == [
        ("They jump.", "notes.md", 0),
        ("They sleep.", "notes.md", 1),
    ]
    assert orjson.loads(points[0].payload) == {"title": "Foxes", "headings": ["Foxes"]}
    assert world.embedder.texts == ["Foxes\nThey jump.", "Dogs\nThey sleep."]
    done = await world.job(job)
    assert (done.status, done.progress, done.extent) == (JobStatus.COMPLETED, JobProgress(2, 2), 2)
    document = await world.document(job.id)
    assert (document.state, document.chunks, document.stored_chunks) == (DocumentState.STORED, 2, 2)


async def test_a_shorter_run_replaces_all_of_a_longer_one(world: World) -> None:
    job = await world.add_job(sentences(9))
    await idle(world.worker())
    assert len(await world.points(job)) == 9
    longer = replace(CHUNKING, size_chars=400)
    assert await world.jobs.restart(job.id, FINISHED, longer, world.now()) is not None
    await idle(world.worker())
    points = await world.points(job)
    assert len(points) == (await world.job(job)).extent == 2
    assert sentences(9) == " ".join(point.text or "" for point in points)


async def failed(world: World, job: Job) -> str:
    await idle(world.worker())
    found = await world.job(job)
    assert found.status is JobStatus.FAILED
    assert found.error is not None
    document = await world.document(job.id)
    assert document.reason == found.error
    assert await world.points(job) == []
    return found.error


async def test_what_cannot_be_ingested_fails_with_a_reason_and_the_others_go_on(world: World) -> None:
    plain = await world.make_collection(embedding_model=None)
    other = await world.make_collection(dimension=3)
    gone = await world.add_job("Lost.")
    await asyncio.to_thread(world.blobs.delete, gone.upload.id)
    reasons = {
        "damaged": (await world.add_job(b"%PDF-1.7 no more", name="a.pdf"), "PDF"),
        "empty": (await world.add_job("  \n "), "no readable text"),
        "no model": (await world.add_job("Text.", into=plain), "no embedding model"),
        "dimension": (await world.add_job("Text.", into=other), "384 dimensions, not 3"),
        "gone": (gone, "upload it again"),
        "large": (await world.add_job("x" * 100_001), "larger than 100000 bytes"),
    }
    good = await world.add_job(sentences(3))
    for job, reason in reasons.values():
        assert reason in await failed(world, job)
    assert (await world.job(good)).status is JobStatus.COMPLETED


async def test_a_fault_of_ours_fails_the_job_and_tells_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(ThreadReader, "read", broken)
    reason = await failed(world, await world.add_job("Text."))
    assert "secret" not in reason


async def test_a_cancelled_job_stops_and_leaves_no_point(world: World) -> None:
    job = await world.add_job(sentences(9))
    worker = await stopped_after(world, job, 2)
    assert await world.jobs.cancel(job.id, world.now())
    await worker.look()
    await settled(worker)
    assert await world.points(job) == []
    left = await world.job(job)
    assert (left.status, left.extent, left.progress.processed_chunks) == (JobStatus.CANCELLED, 0, 0)
    assert len(world.embedder.texts) == 4


async def test_a_write_on_its_way_ends_before_its_points_are_removed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await world.add_job(sentences(3))
    writing, go_on = asyncio.Event(), asyncio.Event()
    write = world.engine.write

    async def slow(*arguments: Any, **named: Any) -> Any:
        writing.set()
        await go_on.wait()
        return await write(*arguments, **named)

    monkeypatch.setattr(world.engine, "write", slow)
    worker = world.worker()
    await worker.look()
    await writing.wait()
    await world.jobs.cancel(job.id, world.now())
    # It finds at each look that the job is not wanted.
    for _ in range(3):
        await worker.look()
        await asyncio.sleep(0.05)
    assert worker.running == 1
    go_on.set()
    await settled(worker)
    assert await world.points(job) == []


async def test_who_wakes_up_while_cleaning_removes_nothing_of_the_next_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It slept, as by SIGSTOP, while it waited for shards that did not answer; the job was started anew."""
    job = await world.add_job(sentences(3))
    worker = await stopped_after(world, job, 1)
    delete, asked, answered = world.engine.delete, asyncio.Event(), asyncio.Event()

    async def silent_once(*arguments: Any, **named: Any) -> Any:
        if not asked.is_set():
            asked.set()
            await answered.wait()
            raise Unavailable("A part of the cluster is restarting; try again in a moment.")
        return await delete(*arguments, **named)

    monkeypatch.setattr(world.engine, "delete", silent_once)
    await world.jobs.cancel(job.id, world.now())
    await worker.look()
    await asked.wait()
    world.clock += 20
    assert await world.jobs.restart(job.id, RETRIED, job.chunking, world.now()) is not None
    world.embedder.stop_after = None
    await idle(world.worker())
    assert len(await world.points(job)) == 3
    answered.set()
    await settled(worker)
    assert len(await world.points(job)) == 3
    assert (await world.job(job)).status is JobStatus.COMPLETED


async def test_a_retry_of_a_cancelled_job_stores_all_of_it(world: World) -> None:
    job = await world.add_job(sentences(5))
    worker = await stopped_after(world, job, 1)
    await world.jobs.cancel(job.id, world.now())
    await world.jobs.restart(job.id, RETRIED, job.chunking, world.now())
    world.embedder.stop_after = None
    await worker.look()
    await settled(worker)
    await idle(worker)
    assert (await world.job(job)).status is JobStatus.COMPLETED
    assert len(await world.points(job)) == 5


async def test_after_the_death_of_its_worker_another_goes_on_from_what_is_stored(world: World) -> None:
    job = await world.add_job(sentences(7))
    lane = world.upload_lane()
    world.embedder.stop_after = 2
    claim = await lane.runs.claim_next("dead", world.now(), world.now(), alone=True)
    assert claim is not None
    # Told at once instead of after a second, as it happens to be in a longer run.
    dying = asyncio.create_task(lane.run(claim, lambda: True))
    await world.embedder.waiting.wait()
    assert await lane.runs.progress(claim, JobProgress(7, 4), world.now())
    dying.cancel()
    await asyncio.wait([dying])
    world.embedder.stop_after = None
    world.clock += 20
    await idle(world.worker())
    done = await world.job(job)
    assert (done.status, done.progress, done.run) == (JobStatus.COMPLETED, JobProgress(7, 7), 1)
    points = await world.points(job)
    assert [point.chunk_index for point in points] == list(range(7))
    assert len(world.embedder.texts) == len(set(world.embedder.texts)) == 7
    assert (await world.document(job.id)).tries == 2


async def test_what_is_cut_otherwise_now_does_not_go_on_from_what_is_stored(world: World) -> None:
    job = await world.add_job(sentences(4))
    lane = world.upload_lane()
    claim = await lane.runs.claim_next("dead", world.now(), world.now(), alone=True)
    assert claim is not None
    assert await lane.runs.progress(claim, JobProgress(9, 3), world.now(), fingerprint="of another parser")
    world.clock += 20
    await idle(world.worker())
    assert len(await world.points(job)) == 4


async def test_a_short_silence_of_the_shards_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await world.add_job(sentences(3))
    write, silent = world.engine.write, [True]

    async def sometimes(*arguments: Any, **named: Any) -> Any:
        if silent:
            silent.pop()
            raise Unavailable("A part of the cluster is restarting; try again in a moment.")
        return await write(*arguments, **named)

    monkeypatch.setattr(world.engine, "write", sometimes)
    await idle(world.worker())
    assert (await world.job(job)).status is JobStatus.COMPLETED


async def test_after_a_long_silence_the_job_fails_and_its_points_are_removed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await world.add_job(sentences(5))
    write = world.engine.write

    async def half(collection: Any, batch: Any, *rest: Any) -> Any:
        if batch.chunk_indexes[0] >= 2:
            raise Unavailable("A part of the cluster is restarting; try again in a moment.")
        return await write(collection, batch, *rest)

    monkeypatch.setattr(world.engine, "write", half)
    assert "restarting" in await failed(world, job)


async def test_a_dropped_collection_stops_its_jobs(world: World) -> None:
    job = await world.add_job(sentences(5))
    worker = await stopped_after(world, job, 1)
    await world.catalog.begin_drop(world.docs.id)
    await worker.look()
    await settled(worker)
    assert len(world.embedder.texts) == 2


async def test_the_ids_do_not_depend_on_the_run(world: World) -> None:
    job = await world.add_job("One sentence.")
    await idle(world.worker())
    assert [point.id for point in await world.points(job)] == [job_point_id(job.id, 0)]
    assert CHUNKING.strategy is ChunkingStrategy.SENTENCE
