"""Removes uploaded files that no job uses, or that a crash or a dropped collection has left behind."""

import asyncio
import contextvars
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice

import structlog

from storage.blobs import Blobs
from storage.catalog import Uploads
from vectoray.core.errors import VectorayError

_log = structlog.get_logger(__name__)

# Longer than any upload may take: a younger file may still get its row.
_ORPHAN_AGE = timedelta(days=1)
_ASKED_AT_ONCE = 500


class UploadSweep:
    """Sweeps when it starts, and every hour. Several gateways may do so at once."""

    def __init__(
        self, uploads: Uploads, blobs: Blobs, *, keep_unused_s: float, interval_s: float = 3600.0
    ) -> None:
        self._uploads = uploads
        self._blobs = blobs
        self._keep_unused = timedelta(seconds=keep_unused_s)
        self._interval_s = interval_s
        self._sweeping: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Sweep from now on."""
        # In a context of its own: Ray Serve cancels what inherits a cancelled request's.
        loop = asyncio.get_running_loop()
        self._sweeping = loop.create_task(self._sweep_on(), context=contextvars.Context())

    async def close(self) -> None:
        """Sweep no more."""
        sweeping, self._sweeping = self._sweeping, None
        if sweeping is not None:
            sweeping.cancel()
            await asyncio.wait([sweeping])

    async def sweep(self, now: datetime) -> int:
        """Remove what is not needed at ``now``. Returns how many files that were."""
        unused = await self._uploads.forget_unused(now - self._keep_unused)
        orphans = await self._orphans(await asyncio.to_thread(self._blobs.older_than, now - _ORPHAN_AGE))
        doomed = sorted({*unused, *orphans})
        for name in doomed:
            await asyncio.to_thread(self._blobs.delete, name)
        return len(doomed)

    async def _orphans(self, names: Sequence[str]) -> list[str]:
        orphans: list[str] = []
        rest = iter(names)
        while some := list(islice(rest, _ASKED_AT_ONCE)):
            known = await self._uploads.known(some)
            orphans += [name for name in some if name not in known]
        return orphans

    async def _sweep_on(self) -> None:
        while True:
            try:
                removed = await self.sweep(datetime.now(UTC))
                if removed:
                    _log.info("uploads_swept", removed=removed)
            except VectorayError as error:
                _log.warning("uploads_not_swept", reason=error.message)
            await asyncio.sleep(self._interval_s)
