"""Brings the beginnings and ends of collections from the catalog's outbox into the event log."""

import asyncio
import contextvars
import time
from contextlib import suppress

import structlog

from storage.catalog import Catalog, CollectionEvent, Outbox
from storage.events import EventLog
from vectoray.core.errors import VectorayError

_log = structlog.get_logger(__name__)

_RETRY_S = 1.0
# Longer than any gateway takes from reading the outbox to putting what it read into the event log.
_ANNOUNCED_KEPT_MS = 24 * 3_600_000


class EventRelay:
    """Of one gateway. Any number may work at the same time: each event comes into the log once."""

    def __init__(self, catalog: Catalog, events: EventLog) -> None:
        self._catalog, self._outbox, self._events = catalog, Outbox(catalog.database), events
        self._retrying: asyncio.Task[None] | None = None

    async def relay(self) -> None:
        """Bring over all that waits; what cannot be now, soon. Writes to a new collection wait for that."""
        try:
            await self._relay()
        except VectorayError as error:
            _log.warning("collection_events_wait", reason=error.message)
            if self._retrying is None:
                loop = asyncio.get_running_loop()
                self._retrying = loop.create_task(self._retry(), context=contextvars.Context())

    async def recover(self) -> None:
        """Bring over what a crash left, and let the log forget what cannot come again.

        A log that is new, because somebody removed it, learns which collections there are.

        Raises:
            Unavailable: A database cannot be reached.
        """
        before_ms = time.time_ns() // 1_000_000 - _ANNOUNCED_KEPT_MS
        await self._relay()
        collections = await self._catalog.active()
        begun = await asyncio.to_thread(self._events.begun)
        unknown = [CollectionEvent.creation_of(one) for one in collections if one.id not in begun]
        if unknown:
            await asyncio.to_thread(self._events.announce, unknown)
        waiting = await self._outbox.waiting()
        await asyncio.to_thread(self._events.forget_announced, before_ms=before_ms, but=waiting)

    async def close(self) -> None:
        """Stop trying. What waits is brought over by the next server."""
        if self._retrying is not None:
            self._retrying.cancel()
            with suppress(asyncio.CancelledError):
                await self._retrying

    async def _relay(self) -> None:
        waiting = await self._outbox.waiting()
        if waiting:
            await asyncio.to_thread(self._events.announce, waiting)
            await self._outbox.remove(waiting)

    async def _retry(self) -> None:
        while True:
            await asyncio.sleep(_RETRY_S)
            try:
                await self._relay()
            except VectorayError:
                continue
            self._retrying = None
            return
