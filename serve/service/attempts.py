"""Bounds how often one may try to prove who one is: passwords cannot be guessed at speed."""

import hashlib
from dataclasses import dataclass

from serve.hit_counters import Allowance, HitCounters
from vectoray.core.errors import RateLimited

_EVERYBODY = 10


@dataclass(frozen=True, slots=True)
class AttemptLimits:
    """How often one may try.

    Attributes:
        per_minute: Registrations, logins, sign-ins and refreshes from one address.
        failed_logins: Logins with one email from one address in a window, until one succeeds. From all
            addresses together it is ten times as many: strangers cannot easily lock somebody out, and
            cannot guess on from ever new addresses either.
        failed_logins_window_s: The window.
    """

    per_minute: int = 60
    failed_logins: int = 10
    failed_logins_window_s: int = 900


class Attempts:
    """Counts attempts by address, and logins by email, whether anybody has it or not.

    An address is the client's, as `serve.middleware.client_address` tells it.
    """

    def __init__(self, counters: HitCounters, limits: AttemptLimits) -> None:
        self._counters = counters
        self._any = Allowance("attempts", limits.per_minute)
        window_s = limits.failed_logins_window_s
        self._from_one = Allowance("logins", limits.failed_logins, window_s)
        self._from_all = Allowance("logins-anywhere", limits.failed_logins * _EVERYBODY, window_s)

    async def count(self, address: str) -> None:
        """Let an attempt from ``address`` pass.

        Raises:
            RateLimited: There were too many.
        """
        await self._pass(
            self._any, address, "Too many attempts to register or sign in came from your address"
        )

    async def count_login(self, email: str, address: str) -> None:
        """Let a login pass. It counts as failed until `succeeded` is told.

        Raises:
            RateLimited: There were too many.
        """
        account = _digest(email)
        problem = "Too many logins with this email have failed"
        await self._pass(self._from_one, f"{account}@{address}", problem)
        await self._pass(self._from_all, account, problem)

    async def succeeded(self, email: str, address: str) -> None:
        """Forget the failed logins of somebody who has proven who they are."""
        account = _digest(email)
        await self._counters.forget(self._from_one, f"{account}@{address}")
        await self._counters.forget(self._from_all, account)

    async def _pass(self, allowance: Allowance, who: str, problem: str) -> None:
        wait_s = await self._counters.hit(allowance, who)
        if wait_s is not None:
            raise RateLimited(f"{problem}; try again in {wait_s} s.", {"retry_after_s": wait_s})


def _digest(email: str) -> str:
    """Of any length and with any characters, an email makes a short name that tells a Redis nothing."""
    return hashlib.sha256(email.encode("utf-8", "surrogatepass")).hexdigest()[:32]
