"""Tells all who follow ingestion jobs what becomes of these, with one question to the catalog at a time."""

import asyncio
import contextvars
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace

import structlog

from storage.catalog import Jobs
from vectoray.core.errors import VectorayError
from vectoray.core.ingestion import UNFINISHED, Job, JobStatus

_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Follower:
    """Somebody who waits for a change.

    Attributes:
        known: The job as it was last seen.
        changed: Set when that is news.
    """

    known: Job
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class JobWatch:
    """Looks at all jobs that are followed, together, every ``interval_s`` seconds while there are any."""

    def __init__(self, jobs: Jobs, *, interval_s: float = 0.5) -> None:
        self._jobs = jobs
        self._interval_s = interval_s
        self._followers: set[_Follower] = set()
        self._looking: asyncio.Task[None] | None = None

    async def follow(self, job: Job) -> AsyncGenerator[Job, None]:
        """A job as it is now, and again after each change that is seen, up to its first terminal status.

        Changes that follow each other quickly are seen as one. A job that is gone, with its collection, is
        told as cancelled.
        """
        yield job
        follower = _Follower(job)
        self._followers.add(follower)
        try:
            while follower.known.status in UNFINISHED:
                self._look()
                await follower.changed.wait()
                follower.changed.clear()
                yield follower.known
        finally:
            self._followers.discard(follower)

    async def close(self) -> None:
        """Look no more."""
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.cancel()
            await asyncio.wait([looking])

    def _look(self) -> None:
        if self._looking is None:
            # In a context of its own: Ray Serve cancels what inherits a cancelled request's.
            loop = asyncio.get_running_loop()
            self._looking = loop.create_task(self._look_on(), context=contextvars.Context())

    async def _look_on(self) -> None:
        """Look for as long as somebody follows."""
        try:
            while self._followers:
                try:
                    await self._look_once()
                except VectorayError as error:
                    _log.warning("jobs_not_seen", followers=len(self._followers), reason=error.message)
                await asyncio.sleep(self._interval_s)
        finally:
            self._looking = None

    async def _look_once(self) -> None:
        followers = list(self._followers)
        job_ids = sorted({follower.known.id for follower in followers})
        seen = dict(zip(job_ids, await self._jobs.find_each(job_ids), strict=True))
        for follower in followers:
            now = seen[follower.known.id] or replace(follower.known, status=JobStatus.CANCELLED)
            if now != follower.known:
                follower.known = now
                follower.changed.set()
