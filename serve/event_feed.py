"""The event log, followed by any number of readers of one event loop. Knows no caller and no rights.

One task watches the log while somebody listens, and keeps the newest batches in memory, which all readers
share. Each reader goes on from its own offset, from memory where that is far enough back and from the log
otherwise: nothing is queued for anybody, and between what was and what comes nothing is left out or repeated.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar

import structlog

from storage.catalog.cache import ChangeCounter
from storage.events import EventBatch, EventLog, EventPage
from vectoray.core.errors import VectorayError

_T = TypeVar("_T")
_log = structlog.get_logger(__name__)

# Asking whether anything was appended takes microseconds.
_LOOK_EVERY_S = 0.01
_RETRY_S = 1.0
_RECENT_BYTES = 4 * 2**20
_THREADS = 2


class EventFeed:
    """Pages of the event log, as they come."""

    def __init__(self, log: EventLog) -> None:
        self._event_log = log
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="event-reader")
        self._recent: deque[EventBatch] = deque()
        self._recent_bytes = 0
        # The newest offset that is known; None while nobody watches.
        self._head: int | None = None
        self._news = asyncio.Event()
        self._listeners = 0
        self._watching: asyncio.Task[None] | None = None
        self._closed = False

    async def pages(self, after: int) -> AsyncGenerator[EventPage, None]:
        """What follows an offset, page by page, and then what is appended, until the feed is closed.

        The pages follow one another without gap or repetition, but for the gaps that they name. The first
        batch of the first page may begin before ``after``.

        Raises:
            Unavailable: The event log cannot be reached.
        """
        with self._listening():
            while True:
                while self._head is None or self._head <= after:
                    if self._closed:
                        return
                    await self._news.wait()
                page = self._from_recent(after)
                if page is None:
                    page = await self._in_thread(partial(self._event_log.read, after))
                yield page
                after = page.last_offset or after

    @property
    def listeners(self) -> int:
        """How many follow the feed now."""
        return self._listeners

    async def close(self) -> None:
        """End every reader's pages, and close the event log."""
        self._closed = True
        self._head = None
        self._tell()
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        # A read that nobody waits for any longer must end before its connection is closed.
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.to_thread(self._event_log.dispose)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        self._listeners += 1
        if self._watching is None and not self._closed:
            # Of no request: Ray Serve cancels the tasks of a request that is cancelled.
            loop = asyncio.get_running_loop()
            self._watching = loop.create_task(self._watch(), context=contextvars.Context())
        try:
            yield
        finally:
            self._listeners -= 1

    def _from_recent(self, after: int) -> EventPage | None:
        if not self._recent or self._recent[0].first_offset > after + 1:
            return None
        following: deque[EventBatch] = deque()
        for batch in reversed(self._recent):
            if batch.last_offset <= after:
                break
            following.appendleft(batch)
        return EventPage(None, tuple(following))

    async def _watch(self) -> None:
        changes: ChangeCounter | None = None
        try:
            while self._listeners:
                try:
                    if changes is None:
                        changes = await self._in_thread(self._event_log.changes)
                    await self._take_in_changes(changes)
                except Exception as error:  # noqa: BLE001  (readers wait for this task, whatever it was)
                    reason = error.message if isinstance(error, VectorayError) else type(error).__name__
                    _log.warning("events_not_read", reason=reason, retry_s=_RETRY_S)
                    await asyncio.sleep(_RETRY_S)
        finally:
            self._watching = None
            self._head = None
            self._recent.clear()
            self._recent_bytes = 0
            if changes is not None:
                changes.close()

    async def _take_in_changes(self, changes: ChangeCounter) -> None:
        """Take in what is appended while somebody listens."""
        seen = -1
        while self._listeners:
            # Before the log is read: what is appended meanwhile is found by the next look.
            now = changes.read()
            if now is None or now != seen:
                await self._take_in()
                seen = -1 if now is None else now
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _take_in(self) -> None:
        if self._head is None:
            self._head = await self._in_thread(lambda: self._event_log.head)
            self._tell()
            return
        while (last := await self._take_in_page(self._head)) is not None:
            self._head = last
            self._tell()

    async def _take_in_page(self, after: int) -> int | None:
        page = await self._in_thread(lambda: self._event_log.read(after))
        if page.gap is not None:
            self._recent.clear()
            self._recent_bytes = 0
        for batch in page.batches:
            self._recent.append(batch)
            self._recent_bytes += batch.size_bytes
        while self._recent_bytes > _RECENT_BYTES:
            self._recent_bytes -= self._recent.popleft().size_bytes
        return page.last_offset

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _tell(self) -> None:
        """Wake whoever waits. Who begins to wait afterwards waits for the next time."""
        self._news.set()
        self._news = asyncio.Event()
