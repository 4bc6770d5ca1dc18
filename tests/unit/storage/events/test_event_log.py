"""The event log: one order without holes, each write once, gaps that are named, whole batches forgotten."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from storage.catalog import CollectionEvent
from storage.catalog.database import open_database
from storage.events import EventLog, ShardKey, ShardRun
from storage.events.log import _Appending
from storage.records import WriteKind, WriteRun
from vectoray.core.errors import CorruptData, Unavailable
from vectoray.core.events import Event, EventType, Gap

CREATED = CollectionEvent(
    id=1,
    type=EventType.COLLECTION_CREATED,
    ts_ms=1_000,
    collection_id="id-1",
    collection="docs",
    owner="ann",
    hosts=(0, 1),
    dimension=3,
    metric="cosine",
)
DELETED = replace(CREATED, id=2, type=EventType.COLLECTION_DELETED, ts_ms=9_000)
FIRST, SECOND = ShardKey("id-1", 0), ShardKey("id-1", 1)


@pytest.fixture
def log(events_url: str) -> Iterator[EventLog]:
    opened = EventLog.open(events_url)
    yield opened
    opened.dispose()


def run(first_seq: int, ids: list[str], *, kind: WriteKind = WriteKind.UPSERT) -> WriteRun:
    times = np.arange(first_seq, first_seq + len(ids), dtype=np.int64) // 2
    return WriteRun(first_seq, ids, np.full(len(ids), kind, dtype=np.uint8), times)


def step(key: ShardKey, *runs: WriteRun, after: int | None = None) -> ShardRun:
    return ShardRun(key, runs[0].first_seq - 1 if after is None else after, runs[-1].last_seq, runs)


def everything(log: EventLog, after: int = 0) -> list[Event]:
    found: list[Event] = []
    while (page := log.read(after)).last_offset is not None:
        found += [event for batch in page.batches for event in batch.events if event.offset > after]
        after = page.last_offset or 0
    return found


def test_events_read_back_in_one_order_without_holes(log: EventLog) -> None:
    assert (log.head, log.oldest, everything(log)) == (0, 1, [])
    log.announce([CREATED])
    steps = [
        step(FIRST, run(1, ["a", "b"]), run(3, ["a"], kind=WriteKind.DELETE)),
        step(SECOND, run(1, ["c"], kind=WriteKind.INSERT)),
    ]
    assert log.append(steps) == {FIRST: 3, SECOND: 1}
    log.append([step(FIRST, run(4, ["a"], kind=WriteKind.UPDATE))])
    log.announce([DELETED])
    facts: dict[str, str | int] = {"dimension": 3, "metric": "cosine"}
    assert everything(log) == [
        Event(1, 1_000, EventType.COLLECTION_CREATED, "docs", "id-1", None, facts),
        Event(2, 0, EventType.UPSERTED, "docs", "id-1", "a"),
        Event(3, 1, EventType.UPSERTED, "docs", "id-1", "b"),
        Event(4, 1, EventType.DELETED, "docs", "id-1", "a"),
        Event(5, 0, EventType.ADDED, "docs", "id-1", "c"),
        Event(6, 2, EventType.UPDATED, "docs", "id-1", "a"),
        Event(7, 9_000, EventType.COLLECTION_DELETED, "docs", "id-1", None, facts),
    ]
    assert [event.offset for event in everything(log, after=3)] == [4, 5, 6, 7]
    assert (log.head, log.oldest) == (7, 1)
    assert {batch.owner for batch in log.read(0).batches} == {"ann"}


def test_a_step_that_is_in_the_log_is_not_stored_again(log: EventLog) -> None:
    log.announce([CREATED])
    once = step(FIRST, run(1, ["a", "b"]))
    log.append([once])
    other = step(SECOND, run(1, ["c"]))
    assert log.append([once, other]) == {FIRST: 2, SECOND: 1}
    assert [event.id for event in everything(log)] == [None, "a", "b", "c"]


def test_a_step_that_leaves_writes_out_is_refused(log: EventLog) -> None:
    log.announce([CREATED])
    assert log.append([step(FIRST, run(3, ["c"]))]) == {FIRST: 0}
    assert log.head == 1


def test_the_cursor_moves_over_writes_that_have_no_events(log: EventLog) -> None:
    log.announce([CREATED])
    assert log.append([ShardRun(FIRST, 0, 40, ())]) == {FIRST: 40}
    assert log.append([step(FIRST, run(50, ["x"]), after=40)]) == {FIRST: 50}
    assert log.head == 2
    assert log.published([FIRST, SECOND]) == {FIRST: 50, SECOND: 0}
    assert log.published_of_host(0) == {FIRST: 50}


def test_before_its_beginning_and_after_its_end_a_collection_has_no_events(log: EventLog) -> None:
    early = step(FIRST, run(1, ["a"]))
    assert log.append([early]) == {FIRST: None}
    log.announce([CREATED])
    assert log.append([early]) == {FIRST: 1}
    log.announce([DELETED])
    assert log.append([step(FIRST, run(2, ["b"]))]) == {FIRST: None}
    assert [event.type for event in everything(log)] == [
        EventType.COLLECTION_CREATED,
        EventType.UPSERTED,
        EventType.COLLECTION_DELETED,
    ]


def test_what_is_announced_again_is_left_out_after_the_end_as_well(log: EventLog) -> None:
    for _ in range(2):
        log.announce([CREATED])
    log.announce([CREATED, DELETED])
    log.announce([CREATED, DELETED])
    assert log.head == 2
    assert log.published([FIRST]) == {}


def test_the_end_of_a_collection_that_never_began_is_no_event(log: EventLog) -> None:
    log.announce([DELETED])
    assert log.head == 0


def test_what_may_be_announced_again_is_not_forgotten(log: EventLog) -> None:
    log.announce([CREATED, DELETED])
    log.forget_announced(before_ms=0, but=[])
    log.announce([CREATED])
    assert log.head == 2
    log.forget_announced(before_ms=2**60, but=[CREATED])
    log.announce([CREATED])
    assert log.head == 2
    log.forget_announced(before_ms=2**60, but=[])
    log.announce([CREATED])
    assert log.head == 3


def test_a_failed_transaction_changes_nothing(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log.announce([CREATED])

    def fail(appending: _Appending) -> None:
        appending._session.flush()
        raise RuntimeError("cut")

    with monkeypatch.context() as failing:
        failing.setattr(_Appending, "finish", fail)
        with pytest.raises(RuntimeError, match="cut"):
            log.append([step(FIRST, run(1, ["a"]))])
    assert (log.head, log.published([FIRST])) == (1, {FIRST: 0})


def test_it_closes_when_the_calls_of_others_have_ended(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.announce([CREATED])
    begun, go_on = threading.Event(), threading.Event()
    finish = _Appending.finish

    def wait(appending: _Appending) -> None:
        begun.set()
        assert go_on.wait(30)
        finish(appending)

    monkeypatch.setattr(_Appending, "finish", wait)
    with ThreadPoolExecutor(2) as threads:
        appended = threads.submit(log.append, [step(FIRST, run(1, ["a"]))])
        assert begun.wait(30)
        closed = threads.submit(log.dispose)
        with pytest.raises(TimeoutError):
            closed.result(timeout=0.05)
        go_on.set()
        closed.result(30)
        assert appended.done()


def test_a_database_that_cannot_be_reached_is_unavailable(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> object:
        raise OperationalError("BEGIN", {}, Exception("/secret/path"))

    monkeypatch.setattr(log, "_writing", type("Refusing", (), {"begin": refuse})())
    with pytest.raises(Unavailable) as told:
        log.append([step(FIRST, run(1, ["a"]))])
    assert told.value.message == "The event log cannot be reached now."


def test_offsets_go_on_after_everything_is_closed(log: EventLog, events_url: str) -> None:
    log.announce([CREATED])
    log.append([step(FIRST, run(1, ["a"]))])
    log.dispose()
    again = EventLog.open(events_url)
    again.append([step(FIRST, run(2, ["b"]))])
    assert [(event.offset, event.id) for event in everything(again)] == [(1, None), (2, "a"), (3, "b")]
    again.dispose()


def test_a_log_of_another_format_is_refused(log: EventLog, events_url: str) -> None:
    database = open_database(events_url)
    with database.begin() as connection:
        connection.execute(text("UPDATE event_head SET format = 99"))
    database.dispose()
    with pytest.raises(CorruptData, match="format"):
        EventLog.open(events_url)


def test_two_that_append_at_once_give_every_offset_once(log: EventLog, events_url: str) -> None:
    log.announce([CREATED])
    begin = threading.Barrier(3)
    seen: list[int] = []

    def append(key: ShardKey) -> None:
        own = EventLog.open(events_url)
        begin.wait()
        for seq in range(1, 60):
            own.append([step(key, run(seq, [f"{key.shard}-{seq}"]))])
        own.dispose()

    with ThreadPoolExecutor(2) as threads:
        appending = [threads.submit(append, key) for key in (FIRST, SECOND)]
        begin.wait()
        while not all(one.done() for one in appending):
            # What is visible has no holes at any moment.
            seen += [event.offset for event in everything(log, after=len(seen))]
        for one in appending:
            one.result()
    seen += [event.offset for event in everything(log, after=len(seen))]
    assert seen == list(range(1, 120))
    found = [event.id for event in everything(log) if event.id]
    assert [one for one in found if one.startswith("0-")] == [f"0-{seq}" for seq in range(1, 60)]


def filled(log: EventLog, batches: int) -> None:
    log.announce([CREATED])
    for seq in range(1, 2 * batches, 2):
        log.append([step(FIRST, run(seq, [f"{seq}", f"{seq + 1}"]))])


def test_what_is_too_old_is_forgotten_in_whole_batches(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([10, 10, 20, 30, 30])
    monkeypatch.setattr("storage.events.log._now_ms", lambda: next(clock))
    filled(log, 3)
    assert log.trim(before_ms=10, max_bytes=2**30) == 0
    assert log.trim(before_ms=21, max_bytes=2**30) == 2
    assert (log.oldest, log.head) == (4, 7)
    assert log.read(0).gap == Gap(1, 3)
    assert log.read(2).gap == Gap(3, 3)
    assert log.read(3).gap is None
    assert [event.offset for event in everything(log)] == [4, 5, 6, 7]


def test_what_is_too_much_is_forgotten_and_the_rest_is_counted(log: EventLog) -> None:
    filled(log, 10)
    assert log.trim(before_ms=0, max_bytes=2**30) == 0
    # A batch of two events takes less than 300 bytes, and more than 256.
    assert log.trim(before_ms=0, max_bytes=5 * 300) == 6
    assert log.oldest == 12
    assert log.trim(before_ms=0, max_bytes=5 * 300) == 0
    assert log.trim(before_ms=0, max_bytes=0) == 5
    assert (log.oldest, log.head) == (22, 21)
    assert log.read(5).gap == Gap(6, 21)
    assert log.read(21).gap is None
    log.append([step(FIRST, run(21, ["new"]))])
    assert [event.offset for event in everything(log, after=21)] == [22]


def test_a_page_holds_about_a_megabyte(log: EventLog) -> None:
    log.announce([CREATED])
    for seq in range(1, 4001, 1000):
        log.append([step(FIRST, run(seq, [f"{'x' * 500}{row}" for row in range(1000)]))])
    assert [batch.last_offset for batch in log.read(1).batches] == [1001, 2001]
    # A reader may be in the middle of a batch.
    assert log.read(500).batches[0].first_offset == 2
    assert [event.offset for event in everything(log, after=500)] == list(range(501, 4002))


def test_a_change_is_noticed_without_reading(log: EventLog, events_url: str) -> None:
    changes = log.changes()
    before = changes.read()
    other = EventLog.open(events_url)
    other.announce([CREATED])
    while changes.read() == before:
        time.sleep(0.01)
    other.dispose()
    changes.close()
