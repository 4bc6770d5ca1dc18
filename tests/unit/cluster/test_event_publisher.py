"""What shards write becomes events: each write one, in order, whatever fails or ends between."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from cluster import event_publisher
from cluster.event_publisher import EventPublisher
from cluster.shards import OpenShards
from cluster.writes import Write
from storage.bulk import write_fragment
from storage.events import EventLog, EventSettings
from storage.shard import LOG
from tests.unit.cluster.conftest import QUIET, batch_of, collection_of, write_of
from tests.unit.cluster.event_log_of import begin, events_in, writes_in
from vectoray.core.errors import Unavailable
from vectoray.core.events import EventType
from vectoray.core.model import WriteMode

DOCS = collection_of(2)
OTHER = collection_of(1, number=1)
UPSERTED, ADDED, UPDATED, DELETED = (
    EventType.UPSERTED,
    EventType.ADDED,
    EventType.UPDATED,
    EventType.DELETED,
)

Open = Callable[..., OpenShards]


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as captured:
        yield captured


@pytest.fixture
def url(events_url: str) -> str:
    return events_url


@pytest.fixture
def log(url: str) -> Iterator[EventLog]:
    opened = EventLog.open(url)
    begin(opened, DOCS)
    yield opened
    opened.dispose()


@pytest.fixture
def publisher(url: str) -> EventPublisher:
    """Publishes when it is told to."""
    return EventPublisher(lambda: EventLog.open(url))


@pytest.fixture
async def host(tmp_path: Path, publisher: EventPublisher) -> AsyncIterator[OpenShards]:
    opened = OpenShards(tmp_path, QUIET, publisher)
    await opened.create(DOCS, [0, 1])
    yield opened
    await opened.close()


def log_files(tmp_path: Path, shard: int = 0) -> list[str]:
    folder = tmp_path / "collections" / DOCS.id / f"shard-{shard:04d}" / LOG
    return sorted(path.name for path in folder.iterdir())


async def test_each_write_of_every_shard_is_one_event(
    host: OpenShards, publisher: EventPublisher, log: EventLog
) -> None:
    await host.write(DOCS, {0: write_of(["a", "b"]), 1: write_of(["x"])})
    await host.write(DOCS, {0: Write(batch_of(["c"]), WriteMode.INSERT)})
    await host.write(DOCS, {0: Write(batch_of(["a"]), WriteMode.UPDATE)})
    await host.delete(DOCS, {0: ["b", "unknown"], 1: ["x"]})
    assert publisher.waiting_writes == 7
    publisher.publish()
    publisher.publish()
    found = writes_in(log)
    assert [one for one in found if one[0] != "x"] == [
        ("a", UPSERTED),
        ("b", UPSERTED),
        ("c", ADDED),
        ("a", UPDATED),
        ("b", DELETED),
    ]
    assert [one for one in found if one[0] == "x"] == [("x", UPSERTED), ("x", DELETED)]
    assert {event.collection for event in events_in(log)} == {DOCS.name}
    assert publisher.waiting_writes == 0


async def test_all_shards_go_in_one_transaction(
    host: OpenShards, publisher: EventPublisher, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    append = EventLog.append

    def count(self: EventLog, some: Any) -> Any:
        steps.append(len(some))
        return append(self, some)

    monkeypatch.setattr(EventLog, "append", count)
    for name in "abc":
        await host.write(DOCS, {0: write_of([name]), 1: write_of([name])})
    publisher.publish()
    assert steps == [2]
    assert len(writes_in(log)) == 6


async def test_what_is_too_much_for_the_memory_is_read_from_the_log(
    tmp_path: Path, url: str, log: EventLog
) -> None:
    publisher = EventPublisher(lambda: EventLog.open(url), EventSettings(max_waiting_writes=3))
    host = OpenShards(tmp_path, QUIET, publisher)
    await host.create(DOCS, [0, 1])
    for number in range(0, 12, 2):
        await host.write(DOCS, {0: write_of([f"{number}", f"{number + 1}"])})
    assert publisher.waiting_writes == 2
    publisher.publish()
    await host.write(DOCS, {0: write_of(["12"])})
    publisher.publish()
    assert [point_id for point_id, _ in writes_in(log)] == [str(number) for number in range(13)]
    assert publisher.waiting_writes == 0
    await host.close()


async def test_large_steps_are_cut(
    host: OpenShards, publisher: EventPublisher, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.unpublished_writes._STEP_WRITES", 2)
    monkeypatch.setattr(event_publisher, "_TRANSACTION_WRITES", 2)
    names = [str(number) for number in range(7)]
    for name in names:
        await host.write(DOCS, {0: write_of([name]), 1: write_of([f"other-{name}"])})
    publisher.publish()
    for prefix in ("", "other-"):
        ids = [one for one, _ in writes_in(log) if one.startswith("other-") == bool(prefix)]
        assert ids == [prefix + name for name in names]


async def test_while_the_database_is_gone_the_log_keeps_everything(
    tmp_path: Path,
    host: OpenShards,
    publisher: EventPublisher,
    log: EventLog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await host.write(DOCS, {0: write_of(["a"])})
    publisher.publish()

    def refuse(*_: object) -> None:
        raise Unavailable("The event log cannot be reached now.")

    [writer] = host._open.values()
    with monkeypatch.context() as outage:
        outage.setattr(EventLog, "append", refuse)
        for name in "bcd":
            await host.write(DOCS, {0: write_of([name])})
            with pytest.raises(Unavailable):
                publisher.publish()
            writer.seal()
            writer.flush()
        assert len(log_files(tmp_path)) == 3
    publisher.publish()
    assert [point_id for point_id, _ in writes_in(log)] == ["a", "b", "c", "d"]
    await host.write(DOCS, {0: write_of(["e"])})
    writer.seal()
    writer.flush()
    assert log_files(tmp_path) == ["00000000000000000005.arrow"]


async def test_a_shard_whose_collection_has_not_begun_waits_for_that(
    host: OpenShards, publisher: EventPublisher, log: EventLog
) -> None:
    await host.create(OTHER, [0])
    await host.write(OTHER, {0: write_of(["early"])})
    await host.write(DOCS, {0: write_of(["a"])})
    publisher.publish()
    assert writes_in(log) == [("a", UPSERTED)]
    begin(log, OTHER)
    await host.write(OTHER, {0: write_of(["later"])})
    publisher.publish()
    assert [event.type for event in events_in(log)][2] is EventType.COLLECTION_CREATED
    assert [point_id for point_id, _ in writes_in(log)] == ["a", "early", "later"]


async def test_a_drop_publishes_first_what_waits(
    host: OpenShards, publisher: EventPublisher, log: EventLog
) -> None:
    await host.write(DOCS, {0: write_of(["a"]), 1: write_of(["b"])})
    await host.drop(DOCS, [0, 1])
    begin(log, DOCS, EventType.COLLECTION_DELETED)
    publisher.publish()
    # What is removed can be removed again, as after a crash.
    await host.drop(DOCS, [0, 1])
    kinds = [event.type for event in events_in(log)]
    assert kinds == [EventType.COLLECTION_CREATED, UPSERTED, UPSERTED, EventType.COLLECTION_DELETED]
    assert publisher.waiting_writes == 0


async def test_a_drop_publishes_what_a_killed_owner_left(
    tmp_path: Path, host: OpenShards, url: str, log: EventLog
) -> None:
    await host.write(DOCS, {0: write_of(["a"])})
    for writer in host._open.values():
        writer.close(flush=False)
    successor = OpenShards(tmp_path, QUIET, EventPublisher(lambda: EventLog.open(url)))
    await successor.drop(DOCS, [0])
    assert writes_in(log) == [("a", UPSERTED)]
    await successor.close()


async def test_shards_that_are_not_dropped_while_the_database_is_gone_can_be_later(
    host: OpenShards, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await host.write(DOCS, {0: write_of(["a"])})

    def refuse(*_: object) -> None:
        raise Unavailable("The event log cannot be reached now.")

    with monkeypatch.context() as outage:
        outage.setattr(EventLog, "published", refuse)
        with pytest.raises(Unavailable):
            await host.drop(DOCS, [0, 1])
    await host.drop(DOCS, [0, 1])
    assert writes_in(log) == [("a", UPSERTED)]


async def test_an_orderly_end_leaves_nothing(
    tmp_path: Path, host: OpenShards, url: str, log: EventLog
) -> None:
    await host.write(DOCS, {0: write_of(["a"])})
    await host.close()
    assert writes_in(log) == [("a", UPSERTED)]
    successor = OpenShards(tmp_path, QUIET, EventPublisher(lambda: EventLog.open(url)))
    assert await successor.catch_up()
    assert successor.heads == []
    await successor.close()


async def test_a_successor_publishes_what_a_killed_host_left_though_nobody_asks(
    tmp_path: Path, host: OpenShards, url: str, log: EventLog
) -> None:
    await host.write(DOCS, {0: write_of(["a"])})
    for writer in host._open.values():
        writer.close(flush=False)
    await host.write(DOCS, {1: write_of(["b"])})
    publisher = EventPublisher(lambda: EventLog.open(url))
    successor = OpenShards(tmp_path, QUIET, publisher)
    # One of them is still owned by the host that is being replaced.
    assert not await successor.catch_up()
    for writer in host._open.values():
        writer.close(flush=False)
    assert await successor.catch_up()
    publisher.publish()
    assert sorted(writes_in(log)) == [("a", UPSERTED), ("b", UPSERTED)]
    await successor.close()


async def test_a_successor_leaves_the_shards_of_other_hosts_alone(tmp_path: Path, url: str) -> None:
    log = EventLog.open(url)
    spread = collection_of(8, hosts=2)
    begin(log, spread)
    log.dispose()
    mine = [shard for shard, number in enumerate(spread.hosts) if number == 1]
    host = OpenShards(tmp_path, QUIET)
    await host.create(spread, range(8))
    await host.write(spread, {shard: write_of(["a"]) for shard in range(8)})
    await host.close()
    publisher = EventPublisher(lambda: EventLog.open(url), host=1)
    successor = OpenShards(tmp_path, QUIET, publisher)
    assert await successor.catch_up()
    assert sorted(key.shard for key in successor._open) == mine
    await successor.close()


async def test_two_owners_one_after_the_other_publish_each_write_once(
    tmp_path: Path, host: OpenShards, publisher: EventPublisher, url: str, log: EventLog
) -> None:
    await host.write(DOCS, {0: write_of(["a"])})
    publisher.publish()
    await host.write(DOCS, {0: write_of(["b"])})
    for writer in host._open.values():
        writer.close(flush=False)
    later = EventPublisher(lambda: EventLog.open(url))
    successor = OpenShards(tmp_path, QUIET, later)
    await successor.write(DOCS, {0: write_of(["c"])})
    later.publish()
    # The one that was replaced still has a write in its memory.
    publisher.publish()
    assert [point_id for point_id, _ in writes_in(log)] == ["a", "b", "c"]
    await successor.close()


async def test_rows_of_bulk_loads_have_no_events_and_hold_nothing_up(
    tmp_path: Path, host: OpenShards, publisher: EventPublisher, log: EventLog
) -> None:
    await host.write(DOCS, {0: write_of(["a"])})
    [writer] = host._open.values()
    fragment = write_fragment(writer.directory, "job", "part", batch_of(["bulk-1", "bulk-2"]))
    assert writer.commit_fragments("job", "part", [fragment])
    await host.write(DOCS, {0: write_of(["b"])})
    publisher.publish()
    await host.write(DOCS, {0: write_of(["c"])})
    publisher.publish()
    assert [point_id for point_id, _ in writes_in(log)] == ["a", "b", "c"]
    writer.seal()
    writer.flush()
    assert log_files(tmp_path) == ["00000000000000000005.arrow"]


async def test_a_log_file_that_nobody_can_read_is_told_and_passed_over(
    tmp_path: Path, url: str, log: EventLog, logs: list[MutableMapping[str, Any]]
) -> None:
    publisher = EventPublisher(lambda: EventLog.open(url), EventSettings(max_waiting_writes=0))
    host = OpenShards(tmp_path, QUIET, publisher)
    await host.create(DOCS, [0, 1])
    for name in "abc":
        await host.write(DOCS, {0: write_of([name])})
    path = tmp_path / "collections" / DOCS.id / "shard-0000" / LOG / "00000000000000000002.arrow"
    path.write_bytes(b"damaged")
    publisher.publish()
    assert [point_id for point_id, _ in writes_in(log)] == ["a", "c"]
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["events_lost"]
    path.unlink()
    for writer in host._open.values():
        writer.close(flush=False)
    await host.close()


async def test_the_thread_publishes_what_comes_and_goes_on_after_failures(
    tmp_path: Path,
    url: str,
    log: EventLog,
    logs: list[MutableMapping[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_publisher, "_RETRY_S", 0.001)
    failures, published = 4, threading.Event()

    def open_log() -> EventLog:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise Unavailable("The event log cannot be reached now.")
        return EventLog.open(url)

    append = EventLog.append

    def tell(self: EventLog, steps: Any) -> Any:
        reached = append(self, steps)
        published.set()
        return reached

    monkeypatch.setattr(EventLog, "append", tell)
    publisher = EventPublisher(open_log, EventSettings(publish_interval_ms=1))
    publisher.start()
    host = OpenShards(tmp_path, QUIET, publisher)
    await host.create(DOCS, [0, 1])
    for name in "ab":
        published.clear()
        await host.write(DOCS, {0: write_of([name])})
        assert await asyncio.to_thread(published.wait, 10)
        assert writes_in(log)[-1] == (name, UPSERTED)
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["events_not_published"]
    await host.close()


async def test_a_collection_that_begins_late_is_published_though_nothing_more_is_written(
    tmp_path: Path, url: str, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_publisher, "_NOT_BEGUN_RETRY_S", 0.001)
    published = threading.Event()
    append = EventLog.append

    def tell(self: EventLog, steps: Any) -> Any:
        reached = append(self, steps)
        published.set()
        return reached

    monkeypatch.setattr(EventLog, "append", tell)
    publisher = EventPublisher(lambda: EventLog.open(url), EventSettings(publish_interval_ms=1))
    publisher.start()
    host = OpenShards(tmp_path, QUIET, publisher)
    await host.create(OTHER, [0])
    await host.write(OTHER, {0: write_of(["early"])})
    begin(log, OTHER)
    assert await asyncio.to_thread(published.wait, 10)
    assert writes_in(log) == [("early", UPSERTED)]
    await host.close()


async def test_what_is_too_old_is_forgotten_by_the_publisher(
    url: str, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    trimmed = threading.Event()
    trim = EventLog.trim

    def tell(self: EventLog, **limits: int) -> int:
        count = trim(self, **limits)
        trimmed.set()
        return count

    monkeypatch.setattr(EventLog, "trim", tell)
    monkeypatch.setattr("storage.events.log._now_ms", lambda: 1_000)
    begin(log, OTHER)
    monkeypatch.setattr(event_publisher, "_TRIM_EVERY_S", 0.001)
    publisher = EventPublisher(lambda: EventLog.open(url), EventSettings(max_age_h=1))
    publisher.start()
    assert await asyncio.to_thread(trimmed.wait, 10)
    # The first was announced now.
    assert (log.oldest, log.head) == (1, 2)
    publisher.close()
    monkeypatch.setattr("time.time_ns", lambda: 2**62)
    trimmed.clear()
    later = EventPublisher(lambda: EventLog.open(url), EventSettings(max_age_h=1))
    later.start()
    assert await asyncio.to_thread(trimmed.wait, 10)
    assert (log.oldest, log.head) == (3, 2)
    later.close()
