"""Bounds how many requests a minute a user, an API key, or an address without a credential may send."""

from serve.auth import LOCAL_USER, Principal
from serve.hit_counters import Allowance, HitCounters
from vectoray.core.errors import RateLimited

_WINDOW_S = 60


class RequestLimits:
    """Counts requests of all API families together.

    A key's own limit holds besides its user's: users make their keys themselves.
    """

    def __init__(self, counters: HitCounters, per_minute: int | None) -> None:
        """Limits.

        Args:
            counters: Where requests are counted.
            per_minute: Of one user, and of one address without a credential; None for no limit.
        """
        self._counters = counters
        self._everybody = None if per_minute is None else Allowance("requests", per_minute, _WINDOW_S)

    def concern(self, caller: Principal) -> bool:
        """Whether there is a limit for the caller at all."""
        return self._everybody is not None or caller.rate_limit is not None

    async def count(self, caller: Principal, address: str) -> None:
        """Let a request pass.

        Args:
            caller: Who sent it.
            address: Whence, see `serve.middleware.client_address`.

        Raises:
            RateLimited: The caller has sent as many as they may.
        """
        if caller.rate_limit is not None and caller.key_id is not None:
            await self._pass(Allowance("requests-by-key", caller.rate_limit, _WINDOW_S), caller.key_id)
        if self._everybody is not None:
            is_anonymous = caller.user == LOCAL_USER
            await self._pass(self._everybody, f"@{address}" if is_anonymous else caller.user)

    async def _pass(self, allowance: Allowance, who: str) -> None:
        wait_s = await self._counters.hit(allowance, who)
        if wait_s is not None:
            raise RateLimited(
                f"You may send {allowance.most} requests a minute; try again in {wait_s} s.",
                {"limit": allowance.most, "retry_after_s": wait_s},
            )
