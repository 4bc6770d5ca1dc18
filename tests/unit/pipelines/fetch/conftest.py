"""A local site, and a fetcher that may reach it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from pipelines.fetch import Fetcher, FetchSettings
from tests.unit.pipelines.fetch.site import Site

MakeFetcher = Callable[..., Fetcher]


class Waits:
    """A sleep that takes no time, and remembers how long it should have been."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def settings(**changes: Any) -> FetchSettings:
    """Settings of a fetcher that may reach this machine, and does not wait."""
    return FetchSettings(**{"allow_hosts": ("127.0.0.1",), "host_delay_s": 0, "retry_base_s": 0, **changes})


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with Site() as site:
        yield site


@pytest.fixture
async def opened() -> AsyncIterator[AsyncExitStack]:
    """Closes what a test opens."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def fetcher(opened: AsyncExitStack) -> Fetcher:
    return await opened.enter_async_context(Fetcher(settings()))
