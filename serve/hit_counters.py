"""Counts who did something how often in a window of time: in this process, or in a Redis for all gateways."""

import asyncio
import contextlib
import math
import time
from dataclasses import dataclass
from typing import Any

import structlog
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import RedisStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError
from redis.asyncio import ConnectionPool

from serve.memory_windows import MemoryWindows

_log = structlog.get_logger(__name__)

_REDIS_TIMEOUT_S = 0.25
_REDIS_PAUSE_S = 10.0
_NAMESPACE = "vectoray"
_NO_REDIS = (StorageError, TimeoutError, OSError)


@dataclass(frozen=True, slots=True)
class Allowance:
    """How often something may be done.

    Attributes:
        name: What is done. Whoever is counted is counted for each name alone.
        most: In one window.
        window_s: Begins with the first time.
    """

    name: str
    most: int
    window_s: int = 60


class HitCounters:
    """Counters of any number of allowances.

    A Redis that does not answer takes nobody's service away: this process counts by itself meanwhile, and
    asks again after some seconds.
    """

    def __init__(self, redis_url: str | None = None) -> None:
        """Counters of this process, or of all that name the same Redis."""
        self._own = FixedWindowRateLimiter(MemoryWindows())
        self._pool: ConnectionPool | None = None
        self._shared: FixedWindowRateLimiter | None = None
        self._silent_until_s = 0.0
        if redis_url is not None:
            self._pool = ConnectionPool.from_url(
                redis_url, socket_timeout=_REDIS_TIMEOUT_S, socket_connect_timeout=_REDIS_TIMEOUT_S
            )
            self._shared = FixedWindowRateLimiter(_redis_storage(redis_url, self._pool))

    async def hit(self, allowance: Allowance, who: str) -> int | None:
        """Count once more.

        Returns:
            None if that is within the allowance; otherwise the seconds, at least 1, until its window ends.
        """
        item = RateLimitItemPerSecond(allowance.most, allowance.window_s, namespace=_NAMESPACE)
        if self._shared is not None and time.monotonic() >= self._silent_until_s:
            try:
                async with asyncio.timeout(_REDIS_TIMEOUT_S):
                    return await _hit(self._shared, item, allowance.name, who)
            except _NO_REDIS as error:
                self._silent_until_s = time.monotonic() + _REDIS_PAUSE_S
                _log.warning("rate_limits_not_shared", reason=type(error).__name__, again_in_s=_REDIS_PAUSE_S)
        return await _hit(self._own, item, allowance.name, who)

    async def forget(self, allowance: Allowance, who: str) -> None:
        """Begin anew with who was counted."""
        item = RateLimitItemPerSecond(allowance.most, allowance.window_s, namespace=_NAMESPACE)
        await self._own.clear(item, allowance.name, who)
        if self._shared is not None and time.monotonic() >= self._silent_until_s:
            # What is not forgotten is too strict for a while.
            with contextlib.suppress(*_NO_REDIS):
                async with asyncio.timeout(_REDIS_TIMEOUT_S):
                    await self._shared.clear(item, allowance.name, who)

    async def close(self) -> None:
        """Let go of the Redis."""
        if self._pool is not None:
            await self._pool.aclose()


async def _hit(limiter: FixedWindowRateLimiter, item: RateLimitItem, *who: str) -> int | None:
    if await limiter.hit(item, *who):
        return None
    window = await limiter.get_window_stats(item, *who)
    return max(1, math.ceil(window.reset_time - time.time()))


def _redis_storage(url: str, pool: ConnectionPool) -> Storage:
    # The documentation of `limits` names the pool, its types do not.
    options: dict[str, Any] = {"connection_pool": pool}
    return RedisStorage(f"async+{url}", wrap_exceptions=True, implementation="redispy", **options)
