"""Beginnings and ends of collections come into the event log once, in order, however a process ends."""

import asyncio
from collections.abc import AsyncIterator, Iterator, MutableMapping
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from serve.service import event_relay
from serve.service.event_relay import EventRelay
from storage.catalog import Catalog, Outbox
from storage.events import EventLog, ShardKey, ShardRun
from storage.records import WriteRun
from tests.unit.storage.catalog.test_catalog import collection, made
from vectoray.core.errors import Unavailable
from vectoray.core.events import EventType


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as captured:
        yield captured


@pytest.fixture
async def catalog(database_url: str) -> AsyncIterator[Catalog]:
    opened = await Catalog.open(database_url)
    yield opened
    await opened.dispose()


@pytest.fixture
def events(events_url: str) -> Iterator[EventLog]:
    opened = EventLog.open(events_url)
    yield opened
    opened.dispose()


@pytest.fixture
def outbox(catalog: Catalog) -> Outbox:
    return Outbox(catalog.database)


def told(events: EventLog) -> list[tuple[str, EventType]]:
    found = [event for batch in events.read(0).batches for event in batch.events]
    return [(event.collection_id, event.type) for event in found]


async def dropped(catalog: Catalog, collection_id: str) -> None:
    assert await catalog.begin_drop(collection_id)
    await catalog.finish_drop(collection_id)


async def test_a_life_is_told_once_and_forgotten_in_the_outbox(
    catalog: Catalog, outbox: Outbox, events: EventLog
) -> None:
    relay = EventRelay(catalog, events)
    docs = await made(catalog, collection())
    # Visible already: nothing more happens, so nothing more is told.
    assert await catalog.finish_create(docs.id)
    await relay.relay()
    [event] = [event for batch in events.read(0).batches for event in batch.events]
    assert (event.collection, event.id, event.details) == (
        "docs",
        None,
        {"dimension": 3, "metric": "euclidean"},
    )
    await dropped(catalog, docs.id)
    await catalog.finish_drop(docs.id)
    await relay.relay()
    assert told(events) == [(docs.id, EventType.COLLECTION_CREATED), (docs.id, EventType.COLLECTION_DELETED)]
    assert await outbox.waiting() == []


async def test_a_creation_that_failed_is_not_told(catalog: Catalog, outbox: Outbox, events: EventLog) -> None:
    half = collection()
    await catalog.begin_create(half)
    await dropped(catalog, half.id)
    await EventRelay(catalog, events).relay()
    assert events.head == 0
    assert await outbox.waiting() == []


async def test_what_is_in_the_log_and_still_in_the_outbox_is_not_told_again(
    catalog: Catalog, outbox: Outbox, events: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = await made(catalog, collection())
    await dropped(catalog, docs.id)

    async def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as crash:
        crash.setattr(Outbox, "remove", die)
        with pytest.raises(KeyboardInterrupt):
            await EventRelay(catalog, events)._relay()
    assert len(await outbox.waiting()) == 2
    monkeypatch.setattr(event_relay, "_ANNOUNCED_KEPT_MS", -60_000)
    for _ in range(2):
        await EventRelay(catalog, events).recover()
    assert [kind for _, kind in told(events)] == [
        EventType.COLLECTION_CREATED,
        EventType.COLLECTION_DELETED,
    ]


async def test_gateways_that_relay_at_once_tell_each_event_once(
    catalog: Catalog, outbox: Outbox, events: EventLog
) -> None:
    relays = [EventRelay(catalog, events) for _ in range(3)]
    for number in range(5):
        docs = await made(catalog, collection(f"docs-{number}"))
        await asyncio.gather(*(relay.relay() for relay in relays))
        await dropped(catalog, docs.id)
        await asyncio.gather(*(relay.relay() for relay in relays))
    assert len(told(events)) == 10
    assert len(set(told(events))) == 10


async def test_what_cannot_be_told_now_is_told_later(
    catalog: Catalog,
    outbox: Outbox,
    events: EventLog,
    monkeypatch: pytest.MonkeyPatch,
    logs: list[MutableMapping[str, Any]],
) -> None:
    monkeypatch.setattr(event_relay, "_RETRY_S", 0.0)
    announce, failures, done = events.announce, 3, asyncio.Event()
    loop = asyncio.get_running_loop()

    def refuse(waiting: Any) -> None:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise Unavailable("The event log cannot be reached now.")
        announce(waiting)
        loop.call_soon_threadsafe(done.set)

    monkeypatch.setattr(events, "announce", refuse)
    relay = EventRelay(catalog, events)
    docs = await made(catalog, collection())
    await relay.relay()
    assert [line["event"] for line in logs] == ["collection_events_wait"]
    await done.wait()
    assert told(events) == [(docs.id, EventType.COLLECTION_CREATED)]
    await relay.close()


async def test_a_log_that_was_removed_learns_which_collections_there_are(
    catalog: Catalog, outbox: Outbox, events: EventLog
) -> None:
    docs = await made(catalog, collection())
    await outbox.remove(await outbox.waiting())
    for _ in range(2):
        await EventRelay(catalog, events).recover()
    assert told(events) == [(docs.id, EventType.COLLECTION_CREATED)]
    assert events.begun() == {docs.id}
    [event] = [event for batch in events.read(0).batches for event in batch.events]
    assert event.ts_ms == int(docs.created_at.timestamp() * 1000)


async def test_after_a_new_name_events_come_under_it(
    catalog: Catalog, outbox: Outbox, events: EventLog
) -> None:
    relay = EventRelay(catalog, events)
    docs = await made(catalog, collection())
    await relay.relay()
    assert await catalog.change(docs.id, name=None, description="other", now=docs.updated_at)
    assert await outbox.waiting() == []
    assert await catalog.change(docs.id, name="notes", description=None, now=docs.updated_at)
    await relay.relay()
    assert await outbox.waiting() == []
    run = WriteRun(1, ["a"], np.zeros(1, np.uint8), np.zeros(1, np.int64))
    events.append([ShardRun(ShardKey(docs.id, 0), 0, 1, (run,))])
    found = [event for batch in events.read(0).batches for event in batch.events]
    assert [event.key for event in found] == ["docs", "notes/a"]
