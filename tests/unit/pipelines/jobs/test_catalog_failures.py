"""Whichever call to the catalog fails, before or after it came through: a document is there whole, or not."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from storage.catalog import Database
from tests.unit.pipelines.jobs.world import World, sentences
from vectoray.core.errors import Unavailable
from vectoray.core.ingestion import JobStatus


class Faulty:
    """Lets one transaction of a database fail, and all that follow for a while.

    Attributes:
        calls: How many transactions there were.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, at: int, length: int, is_done: bool) -> None:
        self.calls = 0
        for name in ("read", "write"):
            monkeypatch.setattr(Database, name, self._failing(getattr(Database, name), at, length, is_done))

    def _failing(self, real: Callable[..., Any], at: int, length: int, is_done: bool) -> Callable[..., Any]:  # noqa: FBT001
        async def failing(*arguments: Any) -> Any:
            call = self.calls
            self.calls += 1
            fails = at <= call < at + length
            result = await real(*arguments) if is_done or not fails else None
            if fails:
                raise Unavailable("The catalog cannot be reached now.")
            return result

        return failing


async def worked_through(world: World) -> None:
    """A worker looks again and again, with time for leases to end in between."""
    worker = world.worker()
    for _ in range(6):
        try:
            await worker.look()
        except Unavailable:
            continue
        finally:
            async with asyncio.timeout(20):
                while worker.running:  # noqa: ASYNC110  (of no event that tells)
                    await asyncio.sleep(0.002)
            world.clock += 20


@pytest.mark.slow
@pytest.mark.parametrize(("length", "is_done"), [(1, False), (1, True), (4, False)])
async def test_a_job_is_stored_as_a_whole_or_not_at_all(
    world: World, monkeypatch: pytest.MonkeyPatch, length: int, *, is_done: bool
) -> None:
    for at in range(12):
        job = await world.add_job(sentences(5))
        with monkeypatch.context() as patches:
            faulty = Faulty(patches, at=at, length=length, is_done=is_done)
            await worked_through(world)
        assert faulty.calls > at
        found, points = await world.job(job), await world.points(job)
        # What is silent for longer than a worker is patient fails.
        assert found.status is JobStatus.COMPLETED or (length > 1 and found.status is JobStatus.FAILED), at
        whole = list(range(5)) if found.status is JobStatus.COMPLETED else []
        assert [point.chunk_index for point in points] == whole, at


@pytest.mark.slow
@pytest.mark.parametrize("is_done", [False, True])
async def test_a_cancelled_job_leaves_no_point_whatever_call_fails(
    world: World, monkeypatch: pytest.MonkeyPatch, *, is_done: bool
) -> None:
    for at in range(8):
        job = await world.add_job(sentences(5))
        world.embedder.stop_after, world.embedder.waiting = world.embedder.batches + 1, asyncio.Event()
        worker = world.worker()
        await worker.look()
        async with asyncio.timeout(10):
            await world.embedder.waiting.wait()
        assert await world.jobs.cancel(job.id, world.now())
        world.embedder.stop_after = None
        with monkeypatch.context() as patches:
            Faulty(patches, at=at, length=3, is_done=is_done)
            for _ in range(4):
                try:
                    await worker.look()
                except Unavailable:
                    continue
            async with asyncio.timeout(20):
                while worker.running:  # noqa: ASYNC110  (of no event that tells)
                    await asyncio.sleep(0.002)
            world.clock += 20
            await worked_through(world)
        assert (await world.job(job)).status is JobStatus.CANCELLED, at
        assert await world.points(job) == [], at
