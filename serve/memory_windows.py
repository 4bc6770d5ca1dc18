"""Counters in this process, for `limits`: a bounded number of them, and no task or thread of their own.

The memory storage of `limits` looks at all its counters at every hit, in a task that it starts then.
"""

import time

from limits.aio.storage import Storage

_SWEEP_EVERY_S = 60.0


class MemoryWindows(Storage):
    """Counts in fixed windows. Beyond ``most_counters``, the oldest are forgotten."""

    STORAGE_SCHEME = None

    def __init__(self, most_counters: int = 100_000) -> None:
        super().__init__()
        self._most = most_counters
        self._counters: dict[str, tuple[int, float]] = {}
        self._sweep_at_s = 0.0

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        """Nothing here fails."""
        return ()

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """The counter after counting ``amount``, in a window of ``expiry`` seconds since its first hit."""
        now_s = time.time()
        count, until_s = self._counters.get(key, (0, 0.0))
        if until_s <= now_s:
            self._make_room(now_s)
            self._counters.pop(key, None)  # the newest stand last
            count, until_s = 0, now_s + expiry
        self._counters[key] = (count + amount, until_s)
        return count + amount

    async def get(self, key: str) -> int:
        """The counter."""
        count, until_s = self._counters.get(key, (0, 0.0))
        return count if until_s > time.time() else 0

    async def get_expiry(self, key: str) -> float:
        """When the counter's window ends, in seconds since 1970."""
        return self._counters.get(key, (0, time.time()))[1]

    async def check(self) -> bool:
        """Whether counting works."""
        return True

    async def reset(self) -> int:
        """Forget all. Returns how many there were."""
        count = len(self._counters)
        self._counters.clear()
        return count

    async def clear(self, key: str) -> None:
        """Forget one."""
        self._counters.pop(key, None)

    def _make_room(self, now_s: float) -> None:
        if now_s >= self._sweep_at_s:
            self._sweep_at_s = now_s + _SWEEP_EVERY_S
            self._counters = {key: one for key, one in self._counters.items() if one[1] > now_s}
        while len(self._counters) >= self._most:
            del self._counters[next(iter(self._counters))]
