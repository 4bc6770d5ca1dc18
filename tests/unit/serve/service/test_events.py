"""Those who follow events see what they may, first what was and then what comes, each once and in order."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import numpy as np
import pytest

from serve import event_feed
from serve.auth import ANONYMOUS, Principal
from serve.event_feed import EventFeed
from serve.service.events import EventService
from storage.catalog import CollectionEvent
from storage.events import EventLog, EventPage, ShardKey, ShardRun
from storage.records import WriteKind, WriteRun
from vectoray.core.accounts import Scope
from vectoray.core.errors import PermissionDenied, Unavailable
from vectoray.core.events import Event, EventType, Gap

ANN, BOB, ADMIN = Principal("ann"), Principal("bob"), Principal("root", is_admin=True)
Stream = AsyncIterator[Event | Gap]


class Writing:
    """Appends to the log of a test, as shard hosts and gateways do."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self._seqs: dict[str, int] = {}

    def create(self, name: str, owner: str = "ann") -> None:
        self.log.announce([_life(name, owner, EventType.COLLECTION_CREATED)])
        self._seqs[name] = 0

    def drop(self, name: str, owner: str = "ann") -> None:
        self.log.announce([_life(name, owner, EventType.COLLECTION_DELETED)])

    def write(self, name: str, *ids: str, kind: WriteKind = WriteKind.UPSERT) -> None:
        after = self._seqs[name]
        times = np.zeros(len(ids), dtype=np.int64)
        run = WriteRun(after + 1, ids, np.full(len(ids), kind, dtype=np.uint8), times)
        self._seqs[name] = run.last_seq
        reached = self.log.append([ShardRun(ShardKey(f"id-{name}", 0), after, run.last_seq, (run,))])
        assert list(reached.values()) == [run.last_seq]


def _life(name: str, owner: str, kind: EventType) -> CollectionEvent:
    return CollectionEvent(1, kind, 0, f"id-{name}", name, owner, (0,), 3, "cosine")


@pytest.fixture
def log(events_url: str) -> Iterator[EventLog]:
    opened = EventLog.open(events_url)
    yield opened
    opened.dispose()


@pytest.fixture
def writing(events_url: str) -> Iterator[Writing]:
    opened = EventLog.open(events_url)
    yield Writing(opened)
    opened.dispose()


@pytest.fixture
async def feed(log: EventLog) -> AsyncIterator[EventFeed]:
    opened = EventFeed(log)
    yield opened
    await opened.close()


@pytest.fixture
def service(feed: EventFeed) -> EventService:
    return EventService(feed)


async def first(stream: Stream, count: int) -> list[Event | Gap]:
    return [await anext(stream) for _ in range(count)]


def short(events: list[Event | Gap]) -> list[tuple[int, str | None]]:
    return [(event.offset, event.id) for event in events if isinstance(event, Event)]


async def test_what_was_comes_first_and_then_what_comes(service: EventService, writing: Writing) -> None:
    writing.create("docs")
    writing.write("docs", "a", "b")
    stream = await service.follow(ANN, 0)
    assert short(await first(stream, 3)) == [(1, None), (2, "a"), (3, "b")]
    for number in range(5):
        writing.write("docs", f"live-{number}", f"more-{number}")
        at = 4 + 2 * number
        assert short(await first(stream, 2)) == [(at, f"live-{number}"), (at + 1, f"more-{number}")]


async def test_an_offset_means_after_it_also_within_a_batch(service: EventService, writing: Writing) -> None:
    writing.create("docs")
    writing.write("docs", "a", "b", "c")
    assert short(await first(await service.follow(ANN, 3), 1)) == [(4, "c")]


async def test_an_offset_that_is_to_come_is_waited_for(service: EventService, writing: Writing) -> None:
    writing.create("docs")
    stream = await service.follow(ANN, 4)
    waiting = asyncio.ensure_future(anext(stream))
    for name in "abcd":
        writing.write("docs", name)
    event = await waiting
    assert isinstance(event, Event)
    assert (event.offset, event.id) == (5, "d")


async def test_between_what_was_and_what_comes_nothing_is_missing_or_repeated(
    service: EventService, writing: Writing, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Memory for few batches: the slow one has to read.
    monkeypatch.setattr(event_feed, "_RECENT_BYTES", 2_000)
    writing.create("docs")
    count = 300

    async def write() -> None:
        for number in range(count):
            await asyncio.to_thread(writing.write, "docs", str(number))

    async def follow(pause_every: int) -> list[int]:
        offsets = []
        stream = await service.follow(ANN, 0)
        async for event in stream:
            assert isinstance(event, Event)
            offsets.append(event.offset)
            if len(offsets) % pause_every == 0:
                await asyncio.sleep(0.01)
            if event.offset == count + 1:
                break
        return offsets

    _, quick, slow = await asyncio.gather(write(), follow(1000), follow(10))
    assert quick == slow == list(range(1, count + 2))


async def test_a_slow_reader_is_told_once_what_was_forgotten_and_goes_on(
    service: EventService, writing: Writing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "_RECENT_BYTES", 0)
    writing.create("docs")
    slow, quick = await service.follow(ANN, 0), await service.follow(ANN, 0)
    assert short(await first(slow, 1)) == short(await first(quick, 1)) == [(1, None)]
    for name in "abcd":
        writing.write("docs", name)
    assert short(await first(quick, 4))[-1] == (5, "d")
    assert writing.log.trim(before_ms=2**60, max_bytes=2**30) == 5
    writing.write("docs", "e")
    assert await anext(slow) == Gap(2, 5)
    assert short(await first(slow, 1)) == short(await first(quick, 1)) == [(6, "e")]


async def test_who_asks_for_what_is_forgotten_hears_so_first(service: EventService, writing: Writing) -> None:
    writing.create("docs")
    writing.write("docs", "a")
    writing.log.trim(before_ms=2**60, max_bytes=0)
    writing.write("docs", "b")
    found = await first(await service.follow(BOB, 0), 1)
    assert found == [Gap(1, 2)]
    found = await first(await service.follow(ANN, 1), 2)
    assert found[0] == Gap(2, 2)
    assert short(found) == [(3, "b")]


async def test_types_keys_and_collections_choose(service: EventService, writing: Writing) -> None:
    writing.create("docs")
    writing.create("notes")
    writing.write("docs", "a1", "b1")
    writing.write("notes", "a2")
    writing.write("docs", "a1", kind=WriteKind.DELETE)
    writing.write("docs", "end", kind=WriteKind.INSERT)

    async def ids(**chosen: object) -> list[str | None]:
        stream = await service.follow(ANN, 0, **chosen)  # type: ignore[arg-type]
        waiting: list[Event | Gap] = []
        # The last of each is known: nobody waits for what does not come.
        while not waiting or short(waiting)[-1][0] < last:
            waiting.append(await anext(stream))
        return [point_id for _, point_id in short(waiting)]

    last = 7
    assert await ids(collection="docs") == [None, "a1", "b1", "a1", "end"]
    assert await ids(types=frozenset({EventType.ADDED})) == ["end"]
    last = 6
    assert await ids(types=frozenset({EventType.DELETED})) == ["a1"]
    assert await ids(key_prefix="docs/a") == ["a1", "a1"]
    last = 5
    assert await ids(key_prefix="notes") == [None, "a2"]


@pytest.mark.parametrize(
    ("caller", "seen"),
    [
        (ANN, ["ann"]),
        (replace(ANN, with_local=True), ["ann", "local"]),
        (BOB, ["bob"]),
        (ANONYMOUS, ["local"]),
        (ADMIN, ["ann", "bob", "local"]),
        (replace(ADMIN, collections=frozenset({"id-of-bob"})), ["bob"]),
        (replace(ANN, collections=frozenset({"id-of-bob"})), []),
    ],
)
async def test_everybody_sees_what_is_theirs_of_dropped_collections_too(
    service: EventService, writing: Writing, caller: Principal, seen: list[str]
) -> None:
    for owner in ("ann", "bob", "local"):
        writing.create(f"of-{owner}", owner)
        writing.write(f"of-{owner}", owner)
        writing.drop(f"of-{owner}", owner)
    writing.log.trim(before_ms=0, max_bytes=2**30)
    stream = await service.follow(caller, 0)
    found = await first(stream, 3 * len(seen))
    assert [event.id for event in found if isinstance(event, Event) and event.id] == seen
    rest = asyncio.ensure_future(anext(stream))
    writing.create("late", caller.user)
    if caller.collections is None:
        assert short([await rest]) == [(10, None)]
    else:
        await _read_through(service, 10)
        assert not rest.done()
        rest.cancel()


async def _read_through(service: EventService, offset: int) -> None:
    """Wait until somebody who sees all has been given an offset."""
    async for event in await service.follow(Principal("root", is_admin=True), 0):
        assert isinstance(event, Event)
        if event.offset >= offset:
            return


async def test_a_key_that_may_not_read_follows_nothing(service: EventService) -> None:
    with pytest.raises(PermissionDenied):
        await service.follow(replace(ANN, scopes=frozenset((Scope.WRITE,))), 0)


async def test_large_batches_are_read_like_small_ones(service: EventService, writing: Writing) -> None:
    writing.create("docs")
    ids = [f"{number}" for number in range(2000)]
    writing.write("docs", *ids)
    assert [point_id for _, point_id in short(await first(await service.follow(ANN, 1), 2000))] == ids


async def test_nobody_watches_when_nobody_listens(
    service: EventService, feed: EventFeed, writing: Writing
) -> None:
    writing.create("docs")
    stream = await service.follow(ANN, 0)
    assert feed.listeners == 0
    await anext(stream)
    watching = feed._watching
    assert feed.listeners == 1
    assert watching is not None
    await stream.aclose()
    assert feed.listeners == 0
    await watching
    assert feed._watching is None
    writing.write("docs", "a")
    assert short(await first(await service.follow(ANN, 1), 1)) == [(2, "a")]


async def test_followers_end_when_the_server_stops(log: EventLog, writing: Writing) -> None:
    writing.create("docs")
    feed = EventFeed(log)
    stream = await EventService(feed).follow(ANN, 0)
    await anext(stream)
    waiting = asyncio.ensure_future(anext(stream, None))
    await asyncio.sleep(0)
    await feed.close()
    assert await waiting is None


async def test_a_log_that_cannot_be_read_for_a_while_loses_nobody(
    service: EventService, log: EventLog, writing: Writing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "_RETRY_S", 0.0)
    writing.create("docs")
    stream = await service.follow(ANN, 0)
    await anext(stream)
    read, failures = log.read, 3

    def refuse(after: int) -> EventPage:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise Unavailable("The event log cannot be reached now.")
        return read(after)

    monkeypatch.setattr(log, "read", refuse)
    writing.write("docs", "a")
    assert short(await first(stream, 1)) == [(2, "a")]
    assert failures < 0
