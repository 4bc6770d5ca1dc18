"""A shard host is killed while clients write through Ray.

Named so that it runs right after the other tests that await: Ray Serve's client of this process gives up
listening to its controller when news arrive while the tests' event loop rests, as during those of ingestion.
"""

import asyncio
import contextlib
import os
import signal

import numpy as np
import psutil
import pytest

from cluster.ray_engine import RayEngine
from cluster.server_file import ServerFile
from tests.integration.test_engines import DIMENSION, collection_of
from vectoray.core.errors import Unavailable
from vectoray.core.model import PointBatch, SearchQuery

pytestmark = pytest.mark.asyncio(loop_scope="session")


def host_processes(server: ServerFile) -> list[int]:
    """Processes of the server's shard hosts."""
    ours = psutil.Process(server.pid).children(recursive=True)
    return [process.pid for process in ours if "ServeReplica:shard-host-" in "".join(process.cmdline())]


async def test_kill_9_of_a_shard_host_loses_no_acknowledged_insert(
    server: ServerFile, ray_engine: RayEngine
) -> None:
    collection = collection_of(ray_engine, shards=4)
    await ray_engine.create(collection)
    acknowledged: list[str] = []
    refused: list[Unavailable] = []
    killed = asyncio.Event()
    vector = np.ones((1, DIMENSION), dtype=np.float32)

    async def write(worker: int) -> None:
        for number in range(150):
            point_id = f"{worker}-{number}"
            try:
                await ray_engine.write(collection, PointBatch([point_id], vector, [b"{}"], [None]))
            except Unavailable as error:
                refused.append(error)
            else:
                acknowledged.append(point_id)
            if len(acknowledged) > 100:
                killed.set()

    async def kill() -> None:
        await killed.wait()
        victims = host_processes(server)
        assert victims
        os.kill(victims[0], signal.SIGKILL)

    await asyncio.gather(kill(), *(write(worker) for worker in range(8)))

    points = await ray_engine.get(collection, acknowledged)
    assert [point_id for point_id, point in zip(acknowledged, points, strict=True) if point is None] == []
    # Answers are complete again by themselves, and every insert is there once.
    assert len(acknowledged) + len(refused) == 1200
    assert len(acknowledged) > 1000
    found = {hit.id for hit in await ray_engine.search(collection, SearchQuery(vector[0], top_k=5000))}
    assert set(acknowledged) <= found
    assert all("Traceback" not in error.message and "/" not in error.message for error in refused)


async def test_a_host_that_hangs_is_replaced_and_reads_go_on_meanwhile(
    server: ServerFile, ray_engine: RayEngine
) -> None:
    collection = collection_of(ray_engine, shards=4)
    await ray_engine.create(collection)
    vectors = np.eye(DIMENSION, dtype=np.float32)
    before = PointBatch(
        [f"p{row}" for row in range(DIMENSION)], vectors, [b"{}"] * DIMENSION, [None] * DIMENSION
    )
    await ray_engine.write(collection, before)
    query = SearchQuery(vectors[0], top_k=100)
    assert len(await ray_engine.search(collection, query)) == DIMENSION

    hung = host_processes(server)
    for pid in hung:
        os.kill(pid, signal.SIGSTOP)
    try:
        # Nobody needs the owners to read what they have published.
        async with asyncio.timeout(5):
            assert len(await ray_engine.search(collection, query)) == DIMENSION
            assert all(await ray_engine.get(collection, list(before.ids)))
        written = 0
        async with asyncio.timeout(90):
            while not written:
                try:
                    later = PointBatch(["later"], vectors[:1], [b"{}"], [None])
                    written = (await ray_engine.write(collection, later)).written
                except Unavailable:
                    continue
            # The point is in one host; the others are replaced too.
            while not set(host_processes(server)).isdisjoint(hung):  # noqa: ASYNC110  (of other processes)
                await asyncio.sleep(0.1)
    finally:
        for pid in hung:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    found = {hit.id for hit in await ray_engine.search(collection, query)}
    assert found == {*before.ids, "later"}
