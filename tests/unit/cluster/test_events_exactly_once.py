"""Whatever ends between two steps of publishing, each acknowledged write is one event, in order."""

import shutil
import tempfile
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cluster.event_publisher import EventPublisher
from cluster.placement import shard_directory
from storage.catalog import sqlite_url
from storage.events import EventLog, EventSettings, ShardKey
from storage.shard import ShardSpec, create_shard
from storage.writer import ShardWriter
from tests.unit.cluster.conftest import QUIET, batch_of, collection_of
from tests.unit.cluster.event_log_of import begin, writes_in
from vectoray.core.events import EventType
from vectoray.core.model import WriteMode

DOCS = collection_of(2)
KEYS = (ShardKey(DOCS.id, 0), ShardKey(DOCS.id, 1))
_TYPES = {
    WriteMode.UPSERT: EventType.UPSERTED,
    WriteMode.INSERT: EventType.ADDED,
    WriteMode.UPDATE: EventType.UPDATED,
}


class Killed(BaseException):
    """The process ended here."""


class Publishing(RuleBasedStateMachine):
    """Two shards that are written, published, maintained and taken over; ids carry their shard's number."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="vectoray-events-"))
        self.url = sqlite_url(self.place / "events.db")
        self.log = EventLog.open(self.url)
        self.live: list[set[str]] = [set(), set()]
        self.told: list[list[tuple[str, EventType]]] = [[], []]
        self.writers: list[ShardWriter] = []

    @initialize(waiting=st.sampled_from([0, 3, 1000]))
    def start(self, waiting: int) -> None:
        self.waiting = waiting
        begin(self.log, DOCS)
        for key in KEYS:
            create_shard(
                shard_directory(self.place, *key), ShardSpec(DOCS.dimension, DOCS.metric, DOCS.index)
            )
        self._open()

    def _open(self) -> None:
        settings = EventSettings(max_waiting_writes=self.waiting)
        self.publisher = EventPublisher(lambda: EventLog.open(self.url), settings)
        self.writers = []
        for key in KEYS:
            self._open_shard(key)

    def _open_shard(self, key: ShardKey) -> None:
        writes = self.publisher.shard(key)
        writer = ShardWriter(shard_directory(self.place, *key), QUIET, listener=writes.add)
        self.publisher.follow(writes, writer)
        self.writers.insert(key.shard, writer)

    @rule(shard=st.integers(0, 1), ids=st.lists(st.sampled_from("abcde"), min_size=1, max_size=4))
    def upsert(self, shard: int, ids: list[str]) -> None:
        self._write(shard, ids, WriteMode.UPSERT)

    @rule(
        shard=st.integers(0, 1),
        ids=st.lists(st.sampled_from("abcde"), min_size=1, max_size=4, unique=True),
        mode=st.sampled_from([WriteMode.INSERT, WriteMode.UPDATE]),
    )
    def write_if(self, shard: int, ids: list[str], mode: WriteMode) -> None:
        allowed = [one for one in ids if (f"{shard}{one}" in self.live[shard]) == (mode is WriteMode.UPDATE)]
        if allowed:
            self._write(shard, allowed, mode)

    def _write(self, shard: int, ids: list[str], mode: WriteMode) -> None:
        named = [f"{shard}{one}" for one in ids]
        assert self.writers[shard].write(batch_of(named), mode).result(10).refused == ()
        self.live[shard] |= set(named)
        self.told[shard] += [(one, _TYPES[mode]) for one in named]

    @rule(shard=st.integers(0, 1), ids=st.sets(st.sampled_from("abcde"), min_size=1))
    def delete(self, shard: int, ids: set[str]) -> None:
        deleted: Future[list[str]] = self.writers[shard].delete(sorted(f"{shard}{one}" for one in ids))
        self.live[shard] -= set(deleted.result(10))
        self.told[shard] += [(one, EventType.DELETED) for one in deleted.result()]

    @rule(shard=st.integers(0, 1))
    def maintain(self, shard: int) -> None:
        self.writers[shard].seal()
        self.writers[shard].flush()

    @rule()
    def publish(self) -> None:
        self.publisher.publish()
        assert self._published() == self.told
        assert self.publisher.waiting_writes == 0

    @rule(after_commit=st.booleans(), then_killed=st.booleans())
    def publish_fails(self, *, after_commit: bool, then_killed: bool) -> None:
        append = EventLog.append

        def fail(log: EventLog, steps: Any) -> Any:
            if after_commit:
                append(log, steps)
            raise Killed

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(EventLog, "append", fail)
            try:
                self.publisher.publish()
            except Killed:
                if then_killed:
                    self.kill()

    @rule()
    def kill(self) -> None:
        """What is in memory is gone; the files are as they are."""
        for writer in self.writers:
            writer.close(flush=False)
        self._open()

    @rule(shard=st.integers(0, 1))
    def another_owner(self, shard: int) -> None:
        """As when a shard is opened again after an error, with what waits in memory."""
        self.writers.pop(shard).close(flush=False)
        self._open_shard(KEYS[shard])

    @precondition(lambda self: self.writers)
    @invariant()
    def nothing_is_told_that_did_not_happen(self) -> None:
        for found, told in zip(self._published(), self.told, strict=True):
            assert found == told[: len(found)]

    def _published(self) -> list[list[tuple[str, EventType]]]:
        found = writes_in(self.log)
        return [[one for one in found if one[0][0] == str(key.shard)] for key in KEYS]

    def teardown(self) -> None:
        try:
            if self.writers:
                self.publisher.publish()
                assert self._published() == self.told
                self.kill()
                self.publisher.publish()
                assert self._published() == self.told
        finally:
            for writer in self.writers:
                writer.close(flush=False)
            if self.writers:
                self.publisher.close()
            self.log.dispose()
            shutil.rmtree(self.place)


TestPublishing = pytest.mark.slow(Publishing.TestCase)
TestPublishing.settings = settings(deadline=None, stateful_step_count=30, max_examples=25)
