"""Whose turn it is: how many requests are under way, to a host and to all, and when the next may start."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pipelines.fetch.settings import FetchSettings

Sleep = Callable[[float], Awaitable[None]]
"""Waits for a number of seconds."""

_MAX_HOSTS = 10_000


@dataclass(slots=True)
class _Host:
    """One host: its free places, how many hold or want one, and when the next request may start."""

    places: asyncio.Semaphore
    users: int = 0
    next_start_s: float = field(default=0.0)


class Hosts:
    """All hosts that requests go to. For one event loop."""

    def __init__(self, settings: FetchSettings, sleep: Sleep) -> None:
        self._per_host = settings.max_in_flight_per_host
        self._places = asyncio.Semaphore(settings.max_in_flight)
        self._hosts: dict[str, _Host] = {}
        self._sleep = sleep

    @asynccontextmanager
    async def turn(self, name: str, *, delay_s: float) -> AsyncIterator[None]:
        """Wait for one's turn at a host, and have it.

        Args:
            name: The host.
            delay_s: Seconds from the start of this request until the next to the host, at least.
        """
        host = self._host(name)
        host.users += 1
        try:
            # A place among all is taken last, so that a slow host's queue keeps none from the others.
            async with host.places:
                await self._wait_for_start(host, delay_s)
                async with self._places:
                    yield
        finally:
            host.users -= 1

    def hold_off(self, name: str, seconds: float) -> None:
        """Let no request to a host start for a while."""
        host = self._host(name)
        host.next_start_s = max(host.next_start_s, time.monotonic() + seconds)

    async def _wait_for_start(self, host: _Host, delay_s: float) -> None:
        now_s = time.monotonic()
        start_s = max(now_s, host.next_start_s)
        host.next_start_s = start_s + delay_s
        if start_s > now_s:
            await self._sleep(start_s - now_s)

    def _host(self, name: str) -> _Host:
        host = self._hosts.get(name)
        if host is None:
            if len(self._hosts) >= _MAX_HOSTS:
                self._forget()
            host = self._hosts[name] = _Host(asyncio.Semaphore(self._per_host))
        return host

    def _forget(self) -> None:
        """Drop the hosts that are as good as new."""
        now_s = time.monotonic()
        self._hosts = {
            name: host for name, host in self._hosts.items() if host.users or host.next_start_s > now_s
        }
