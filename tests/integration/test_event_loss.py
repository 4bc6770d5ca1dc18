"""Shard hosts are killed while clients write through Ray: each acknowledged write has one event, in order.

Named so that it runs beside the other test that kills hosts, see there.
"""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from cluster.ray_engine import RayEngine
from cluster.server_file import ServerFile
from storage.catalog import CollectionEvent, sqlite_url
from storage.events import EventLog
from tests.integration.conftest import DATA_DIR
from tests.integration.test_engines import DIMENSION, collection_of
from tests.integration.test_host_loss import host_processes
from vectoray.core.errors import Unavailable
from vectoray.core.events import Event, EventType
from vectoray.core.model import PointBatch, WriteMode

pytestmark = pytest.mark.asyncio(loop_scope="session")

_POINTS = 40
_WRITERS = 8
_PUBLISHED_WITHIN_S = 60


@pytest.fixture
def log(server: ServerFile) -> Iterator[EventLog]:
    opened = EventLog.open(sqlite_url(DATA_DIR / "events.db"))
    yield opened
    opened.dispose()


def events_after(log: EventLog, offset: int) -> list[Event]:
    found: list[Event] = []
    while (last := (page := log.read(offset)).last_offset) is not None:
        assert page.gap is None
        found += [event for batch in page.batches for event in batch.events if event.offset > offset]
        offset = last
    return found


async def test_kill_9_of_shard_hosts_leaves_each_acknowledged_write_one_event(
    server: ServerFile, ray_engine: RayEngine, log: EventLog
) -> None:
    collection = collection_of(ray_engine, shards=4)
    await ray_engine.create(collection)
    before = log.head
    log.announce([CollectionEvent.creation_of(collection)])
    vector = np.ones((1, DIMENSION), dtype=np.float32)
    acknowledged: dict[str, list[EventType]] = {}
    unknown: set[str] = set()
    written = 0
    killed = asyncio.Event()

    async def write(worker: int) -> None:
        nonlocal written
        for number in range(_POINTS):
            point_id = f"{worker}-{number}"
            batch = PointBatch([point_id], vector, [b"{}"], [None])
            done = acknowledged.setdefault(point_id, [])
            try:
                await ray_engine.write(collection, batch, WriteMode.INSERT)
                done.append(EventType.ADDED)
                await ray_engine.write(collection, batch)
                done.append(EventType.UPSERTED)
                await ray_engine.delete(collection, [point_id])
                done.append(EventType.DELETED)
            except Unavailable:
                # Whether that last write is there, nobody knows.
                unknown.add(point_id)
            written += 1
            if written >= _WRITERS * _POINTS // 3:
                killed.set()

    async def kill() -> None:
        await killed.wait()
        for victim in host_processes(server):
            os.kill(victim, signal.SIGKILL)

    await asyncio.gather(kill(), *(write(worker) for worker in range(_WRITERS)))
    wanted = {point_id: done for point_id, done in acknowledged.items() if done}
    assert len(unknown) < len(wanted)

    def told() -> dict[str, list[EventType]]:
        found: dict[str, list[EventType]] = {}
        for event in events_after(log, before):
            if event.collection_id == collection.id and event.id is not None:
                found.setdefault(event.id, []).append(event.type)
        return found

    # Nobody asks the hosts for anything: their successors publish what was left.
    async with asyncio.timeout(_PUBLISHED_WITHIN_S):
        while any(  # noqa: ASYNC110  (of other processes)
            told().get(point_id, [])[: len(done)] != done for point_id, done in wanted.items()
        ):
            await asyncio.sleep(0.2)
    found = told()
    for point_id, done in acknowledged.items():
        events = found.get(point_id, [])
        assert events[: len(done)] == done, point_id
        assert len(events) <= len(done) + (point_id in unknown), point_id
        assert max(Counter(events).values(), default=1) == 1, point_id
    offsets = [event.offset for event in events_after(log, before)]
    assert offsets == list(range(before + 1, before + 1 + len(offsets)))
