"""Waits for parts of the server that do not answer, and for what must not stop halfway."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import structlog

from pipelines.jobs.lane import Held, NotWanted
from vectoray.core.errors import Unavailable

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0


class Patience:
    """How long a document waits for the same thing to work again."""

    def __init__(self, retry_s: float) -> None:
        self._retry_s = retry_s

    async def of(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """What ``call`` returns, called again while it raises `Unavailable`, after longer and longer pauses.

        Raises:
            Unavailable: It still does after all that time.
        """
        until_s = time.monotonic() + self._retry_s
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return await call()
            except Unavailable as error:
                if time.monotonic() >= until_s:
                    raise
                _log.info("ingestion_waits", reason=error.message, pause_s=pause_s)
            # Spread, so that all who wait for the same do not come back together.
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def of_write(self, write: Callable[[], Coroutine[Any, Any, _T]], held: Held) -> _T:
        """What ``write`` returns, as `of` and `to_its_end`; begun only while the lease counts.

        Raises:
            NotWanted: It does not: somebody else may have the work by now, and have stored other things.
            Unavailable: As `of`.
        """

        async def fenced() -> _T:
            if not held():
                raise NotWanted
            return await to_its_end(write())

        return await self.of(fenced)


async def to_its_end(work: Coroutine[Any, Any, _T]) -> _T:
    """What ``work`` returns. Who is cancelled meanwhile, however often, goes only after it has ended.

    For writes: what comes after must not be overtaken by them.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        # Looked at, so that nobody complains of it: who is cancelled does not want to know.
        _ = task.cancelled() or task.exception()
        raise
