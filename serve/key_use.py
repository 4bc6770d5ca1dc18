"""Keeps when API keys were used last, behind the requests that use them."""

import asyncio
import contextvars
from datetime import UTC, datetime

import structlog

from storage.catalog import ApiKeys
from vectoray.core.errors import VectorayError

_log = structlog.get_logger(__name__)


class KeyUse:
    """Notes uses in memory, and writes those of all keys together at most once in ``interval_s`` seconds.

    The first is written at once. Every write makes all processes forget what they remember of the catalog,
    which is another reason for few.
    """

    def __init__(self, keys: ApiKeys, *, interval_s: float = 60.0) -> None:
        self._keys = keys
        self._interval_s = interval_s
        self._used: dict[str, datetime] = {}
        self._writing: asyncio.Task[None] | None = None

    def note(self, key_id: str) -> None:
        """A key is used now. Waits for nothing."""
        self._used[key_id] = datetime.now(UTC)
        if self._writing is None:
            # In a context of its own: Ray Serve cancels what inherits a cancelled request's.
            loop = asyncio.get_running_loop()
            self._writing = loop.create_task(self._write_on(), context=contextvars.Context())

    async def close(self) -> None:
        """Write what is not written yet."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.cancel()
            await asyncio.wait([writing])
        await self._write()

    async def _write_on(self) -> None:
        """Write for as long as keys are used."""
        try:
            while self._used:
                await self._write()
                await asyncio.sleep(self._interval_s)
        finally:
            self._writing = None

    async def _write(self) -> None:
        used, self._used = self._used, {}
        if not used:
            return
        try:
            await self._keys.note_use(used)
        except VectorayError as error:
            _log.warning("key_use_not_noted", keys=len(used), reason=error.message)
