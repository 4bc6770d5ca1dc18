"""Tells, from every gateway, what waits for the ingestors and whether there are any: a dead one cannot."""

import asyncio
import contextvars
from datetime import UTC, datetime, timedelta

import structlog

from serve.metrics import INGESTION_WAITING, INGESTION_WORKERS
from storage.catalog import ProjectUrls, Workers
from vectoray.core.errors import VectorayError
from vectoray.core.ingestion import JobStatus
from vectoray.core.projects import UrlStatus

_log = structlog.get_logger(__name__)

SEEN_WITHIN = timedelta(seconds=30)
"""One that was not seen for so long is gone: to start anew takes seconds, and some more to load a model."""
_UNFINISHED = (UrlStatus.PENDING, UrlStatus.CRAWLING, UrlStatus.ENCODING)


class IngestionWatch:
    """Looks every ``interval_s`` seconds from its start."""

    def __init__(self, workers: Workers, urls: ProjectUrls, *, interval_s: float = 15.0) -> None:
        self._workers = workers
        self._urls = urls
        self._interval_s = interval_s
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look from now on."""
        # In a context of its own: Ray Serve cancels what inherits a cancelled request's.
        loop = asyncio.get_running_loop()
        self._looking = loop.create_task(self._look_on(), context=contextvars.Context())

    async def close(self) -> None:
        """Look no more."""
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.cancel()
            await asyncio.wait([looking])

    async def look(self, now: datetime) -> bool:
        """Set the gauges. Returns whether something is pending and nobody there to take it."""
        workers = await self._workers.seen_since(now - SEEN_WITHIN)
        jobs = await self._workers.count_jobs()
        urls = await self._urls.count(_UNFINISHED)
        INGESTION_WORKERS.set(len(workers))
        for kind, counts in (("uploads", jobs), ("urls", urls)):
            for status, count in counts.items():
                INGESTION_WAITING.set(count, {"kind": kind, "status": status.value})
        pending = {"jobs": jobs[JobStatus.PENDING], "urls": urls[UrlStatus.PENDING]}
        is_stuck = not workers and any(pending.values())
        if is_stuck:
            _log.warning("ingestion_has_no_worker", **pending)
        return is_stuck

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                await self.look(datetime.now(UTC))
            except VectorayError as error:
                _log.warning("ingestion_not_watched", reason=error.message)
