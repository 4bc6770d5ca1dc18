"""Puts what the shards of this process write into the event log, off the path of the acknowledgement.

One thread takes what was committed, of all shards together, and appends it in one transaction every few
milliseconds. The shards' log files keep what is not in the event log: while its database cannot be reached,
they grow, and nothing is lost.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from cluster.unpublished_writes import Budget, UnpublishedWrites, newest_batch, step_of_log, total
from storage.events import EventLog, EventSettings, ShardKey, ShardRun
from storage.log import WriteLog
from storage.shard import LOG, shard_exists
from storage.writer import ShardWriter
from vectoray.core.errors import VectorayError

_log = structlog.get_logger(__name__)

# About what one transaction stores, however many shards there are.
_TRANSACTION_WRITES = 32_768
# Each transaction syncs the disk that the writers wait for: no more than this part of the time.
_BUSY_PART = 0.05
_PAUSE_MAX_S = 1.0
_RETRY_S = 1.0
# The beginning of a collection is in the event log some milliseconds after the first write is possible.
_NOT_BEGUN_RETRY_S = 0.2
_WARN_EVERY_S = 30.0
_TRIM_EVERY_S = 60.0
_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Publishing:
    """What a shard host needs for telling others what is written.

    Attributes:
        url: The event log's database, as for `storage.events.EventLog.open`. It may hold a password.
        host: The number of the host among the hosts of shards.
    """

    url: str = field(repr=False)
    settings: EventSettings
    host: int = 0

    def begin(self) -> "EventPublisher":
        """Start to publish, in this process."""
        publisher = EventPublisher(lambda: EventLog.open(self.url), self.settings, host=self.host)
        publisher.start()
        return publisher


class EventPublisher:
    """The publishing thread of a shard host."""

    def __init__(
        self, open_log: Callable[[], EventLog], settings: EventSettings | None = None, *, host: int = 0
    ) -> None:
        """Publish nothing yet.

        Args:
            open_log: Opens the event log; tried again when it fails.
            settings: When, and how much.
            host: The number of this host among the hosts of shards.
        """
        self._open_log, self._settings, self._host = open_log, settings or EventSettings(), host
        self._log: EventLog | None = None
        self._budget = Budget(self._settings.max_waiting_writes)
        self._lock = threading.Lock()
        self._due: dict[ShardKey, UnpublishedWrites] = {}
        self._not_begun: dict[ShardKey, UnpublishedWrites] = {}
        self._followed: dict[ShardKey, UnpublishedWrites] = {}
        self._publishing = threading.Lock()
        self._wake, self._closing = threading.Event(), threading.Event()
        self._warned_s = self._trimmed_s = -_WARN_EVERY_S - _TRIM_EVERY_S
        self._thread = threading.Thread(target=self._run, name="event-publisher", daemon=True)

    def start(self) -> None:
        """Publish what comes, until `close`."""
        self._thread.start()

    @property
    def waiting_writes(self) -> int:
        """How many writes wait in memory for becoming events."""
        return self._budget.taken

    def shard(self, key: ShardKey) -> UnpublishedWrites:
        """What listens to the owner of a shard; to be handed back to `follow` once the shard is open."""
        return UnpublishedWrites(key, self._budget, self._is_due)

    def follow(self, writes: UnpublishedWrites, writer: ShardWriter) -> None:
        """Publish what a shard's log holds, and whatever is written, until it has another owner."""
        writes.belongs_to(writer)
        with self._lock:
            before = self._followed.get(writes.key)
            self._followed[writes.key] = writes
        if before is not None:
            before.forget()
        self._is_due(writes)

    def left_behind(self, directory_of: Callable[[ShardKey], Path]) -> list[ShardKey]:
        """The shards of this host that nobody has opened, and whose logs hold what is not in the event log.

        Args:
            directory_of: Where a shard would lie.

        Raises:
            Unavailable: The event log cannot be reached.
        """
        with self._publishing:
            published = self._opened().published_of_host(self._host)
        with self._lock:
            closed = published.keys() - self._followed.keys()
        found = []
        for key in sorted(closed):
            directory = directory_of(key)
            if shard_exists(directory) and newest_batch(WriteLog(directory / LOG)) > published[key]:
                found.append(key)
        return found

    def publish_last(self, key: ShardKey, log: WriteLog) -> None:
        """Publish what is left of a shard that is closed and about to be removed.

        Args:
            key: The shard.
            log: Its log.

        Raises:
            Unavailable: The event log cannot be reached.
            OSError: The shard's log cannot be read.
        """
        with self._lock:
            writes = self._followed.pop(key, None)
            self._due.pop(key, None)
            self._not_begun.pop(key, None)
        if writes is not None:
            writes.forget()
        if not log.exists:
            return
        with self._publishing:
            events = self._opened()
            # Where the collection has no beginning in the log, nobody will hear of its writes.
            published = events.published([key]).get(key)
            while published is not None:
                step = step_of_log(key, log, published)
                if step is None:
                    return
                published = events.append([step])[key]

    def publish(self) -> None:
        """Publish everything that is there, now.

        Raises:
            Unavailable: The event log cannot be reached; nothing is lost.
            OSError: A shard's log cannot be read now.
        """
        with self._publishing:
            self._publish_due()

    def close(self) -> None:
        """Publish what can be, stop, and close the event log. The shards take no more writes."""
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            self.publish()
        except Exception as error:  # noqa: BLE001  (what is missing is published by the next owner)
            self._warn(error)
        if self._log is not None:
            self._log.dispose()

    def _is_due(self, writes: UnpublishedWrites) -> None:
        with self._lock:
            self._due[writes.key] = writes
        self._wake.set()

    def _run(self) -> None:
        asked_s = time.monotonic()
        while not self._closing.is_set():
            self._wake.wait(_NOT_BEGUN_RETRY_S if self._not_begun else _TRIM_EVERY_S)
            self._wake.clear()
            if time.monotonic() - asked_s >= _NOT_BEGUN_RETRY_S:
                asked_s = time.monotonic()
                not_begun, self._not_begun = self._not_begun, {}
                self._try_again(not_begun)
            began_s = time.monotonic()
            try:
                self.publish()
                self._trim()
            except Exception as error:  # noqa: BLE001  (whatever it was, the shards' logs have what is missing)
                self._warn(error)
                self._wake.set()
                self._closing.wait(_RETRY_S)
            # More gathers meanwhile, for one transaction.
            pause_s = min((time.monotonic() - began_s) / _BUSY_PART, _PAUSE_MAX_S)
            self._closing.wait(max(pause_s, self._settings.publish_interval_ms / 1000))

    def _publish_due(self) -> None:
        with self._lock:
            due, self._due = self._due, {}
        # What is written from here on is due again: or the thread would not pause while writes go on.
        through = {key: writes.written_seq for key, writes in due.items()}
        try:
            left = list(due.values())
            while left:
                self._publish_some(left)
                left = [one for one in left if one.published is not None and one.published < through[one.key]]
        except BaseException:
            # What the transaction came to may not be known: the next one is told where each shard is.
            self._try_again(due)
            raise
        with self._lock:
            for key, writes in due.items():
                if writes.published is None and self._followed.get(key) is writes:
                    self._not_begun[key] = writes

    def _try_again(self, shards: dict[ShardKey, UnpublishedWrites]) -> None:
        with self._lock:
            for key, writes in shards.items():
                # Unless it was dropped, or has another owner by now.
                if self._followed.get(key) is writes:
                    self._due.setdefault(key, writes)

    def _publish_some(self, due: list[UnpublishedWrites]) -> None:
        """One transaction, with as much as goes into one."""
        log = self._opened()
        unknown = [writes.key for writes in due if writes.published is None]
        if unknown:
            published = log.published(unknown)
            for writes in due:
                if writes.published is None:
                    writes.advance(published.get(writes.key))
        steps: list[ShardRun] = []
        for writes in due:
            if total(steps) < _TRANSACTION_WRITES and (step := writes.next_step()) is not None:
                steps.append(step)
        if steps:
            reached = log.append(steps)
            for writes in due:
                if writes.key in reached:
                    writes.advance(reached[writes.key])

    def _opened(self) -> EventLog:
        if self._log is None:
            self._log = self._open_log()
        return self._log

    def _trim(self) -> None:
        now_s = time.monotonic()
        if now_s - self._trimmed_s < _TRIM_EVERY_S:
            return
        self._trimmed_s = now_s
        before_ms = time.time_ns() // 1_000_000 - int(self._settings.max_age_h * _HOUR_MS)
        with self._publishing:
            batches = self._opened().trim(before_ms=before_ms, max_bytes=self._settings.max_bytes)
        if batches:
            _log.info("events_forgotten", batches=batches)

    def _warn(self, error: Exception) -> None:
        now_s = time.monotonic()
        if now_s - self._warned_s < _WARN_EVERY_S:
            return
        self._warned_s = now_s
        if isinstance(error, VectorayError):
            _log.warning("events_not_published", reason=error.message, retry_s=_RETRY_S)
        else:
            _log.error("events_not_published", retry_s=_RETRY_S, exc_info=error)
