"""Runs to its end what must not stop halfway, even when nobody waits for it any longer."""

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class Completion:
    """Work of several steps, such as a row in the catalog and then shards, that a caller cannot interrupt.

    A client that disconnects or a deadline that passes cancels the request, not the work.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    async def of(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run ``work`` and return its result; if the waiting is cancelled, ``work`` still runs to its end."""
        # An empty context: Ray Serve cancels the calls of any task that inherits a cancelled request's.
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def wait(self) -> None:
        """Wait until nothing runs."""
        while self._running:
            await asyncio.wait(set(self._running))
