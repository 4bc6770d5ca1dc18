"""Counts queries in memory, and adds them to the catalog's statistics behind the requests."""

import asyncio
import contextvars
from datetime import UTC, date, datetime

import structlog

from serve.service.completion import Completion
from storage.catalog import QueryStatistics, QueryTotals
from vectoray.core.errors import VectorayError

_log = structlog.get_logger(__name__)

_Counted = dict[tuple[str, date], QueryTotals]


class QueryCounts:
    """What was asked of each collection and is not in the catalog yet. For one event loop alone.

    Every write makes all processes forget what they remember of the catalog, so there is at most one in
    ``interval_s`` seconds, however many queries there are. See docs/adr/0029.
    """

    def __init__(self, statistics: QueryStatistics, *, interval_s: float = 5.0) -> None:
        self._statistics = statistics
        self._interval_s = interval_s
        # Collection id -> number of queries and their milliseconds.
        self._new: dict[str, list[float]] = {}
        # Of these the day is known; what could not be written stays here.
        self._due: _Counted = {}
        self._one_flush = asyncio.Lock()
        self._completion = Completion()
        self._writing: asyncio.Task[None] | None = None

    def note(self, collection_id: str, elapsed_ms: float) -> None:
        """A query was answered. Waits for nothing."""
        counted = self._new.get(collection_id)
        if counted is None:
            counted = self._new[collection_id] = [0, 0.0]
            self._write_later()
        counted[0] += 1
        counted[1] += elapsed_ms

    async def flush(self) -> None:
        """Write what is counted. If that fails it is kept for the next time, and the log says so."""
        # To its end, whoever stops waiting: what was written must not stay to be written again.
        await self._completion.of(self._flush())

    async def close(self) -> None:
        """Write what is not written yet."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.cancel()
            await asyncio.wait([writing])
        await self.flush()

    def _write_later(self) -> None:
        if self._writing is None:
            # In a context of its own: Ray Serve cancels what inherits a cancelled request's.
            loop = asyncio.get_running_loop()
            self._writing = loop.create_task(self._write_on(), context=contextvars.Context())

    async def _write_on(self) -> None:
        """Write for as long as there is something to be written."""
        try:
            while self._new or self._due:
                await asyncio.sleep(self._interval_s)
                await self.flush()
        finally:
            self._writing = None

    async def _flush(self) -> None:
        async with self._one_flush:
            self._date()
            if not self._due:
                return
            try:
                await self._statistics.add(self._due)
            except VectorayError as error:
                _log.warning("queries_not_counted_yet", collections=len(self._due), reason=error.message)
            else:
                self._due = {}

    def _date(self) -> None:
        """Give what is new today's date. Asking for it at every query would cost more than counting."""
        new, self._new = self._new, {}
        today = datetime.now(UTC).date()
        for collection_id, (queries, latency_ms) in new.items():
            key = (collection_id, today)
            self._due[key] = self._due.get(key, QueryTotals()).plus(QueryTotals(int(queries), latency_ms))
