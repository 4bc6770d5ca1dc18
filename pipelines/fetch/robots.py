"""The robots.txt of sites: read once, remembered for a while, obeyed (RFC 9309)."""

import asyncio
import math
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from protego import Protego
from yarl import URL

from pipelines.fetch.page import FetchError, FetchFailure, RobotsVerdict
from pipelines.fetch.redirects import BehindRedirect
from pipelines.fetch.settings import FetchSettings
from pipelines.fetch.transport import Answer

MAX_ROBOTS_BYTES = 512 * 1024
"""As much of a robots.txt is read; RFC 9309 wants at least 500 KiB."""

_MAX_SITES = 10_000
# What a page of the site would fail with too, and says more than that its robots.txt could not be read.
_OF_THE_SITE = (
    FetchFailure.HOST_NOT_FOUND,
    FetchFailure.CONNECTION_FAILED,
    FetchFailure.TLS_FAILED,
    FetchFailure.NOT_PUBLIC,
    FetchFailure.PORT_NOT_ALLOWED,
)
_ENDLESS = (FetchFailure.TOO_MANY_REDIRECTS, FetchFailure.REDIRECT_LOOP)


@dataclass(slots=True)
class _Rules:
    """What a site lets us do. With neither ``rules`` nor ``failure``: everything."""

    rules: Protego | None = None
    failure: FetchError | None = None


@dataclass(slots=True)
class _Site:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    rules: _Rules | None = None
    expires_s: float = 0.0


class Robots:
    """The rules of all sites, for one event loop.

    Args:
        settings: Our name, and how long rules are remembered.
        get: Asks for a robots.txt, and follows its redirects.
    """

    def __init__(self, settings: FetchSettings, get: Callable[[URL], Awaitable[Answer]]) -> None:
        self._settings = settings
        self._name = re.split("[/ ]", settings.user_agent, maxsplit=1)[0]
        self._get = get
        self._sites: OrderedDict[URL, _Site] = OrderedDict()

    async def admit(self, url: URL) -> tuple[RobotsVerdict, float]:
        """Why a URL may be fetched, and the seconds until the next request to its host.

        Raises:
            FetchError: It may not.
        """
        found = await self._rules(url.origin())
        if found.failure is not None:
            # A new one: the same exception raised twice would collect both tracebacks.
            raise FetchError.of(found.failure.reason, found.failure.message)
        if found.rules is None:
            return RobotsVerdict.NO_RULES, self._settings.host_delay_s
        if not found.rules.can_fetch(str(url), self._name):
            raise FetchError.of(FetchFailure.ROBOTS_DISALLOWED, "Blocked by robots.txt.")
        return RobotsVerdict.ALLOWED, self._delay_s(found.rules)

    def _delay_s(self, rules: Protego) -> float:
        told_s = rules.crawl_delay(self._name)
        if told_s is None or not math.isfinite(told_s):
            return self._settings.host_delay_s
        return max(self._settings.host_delay_s, min(told_s, self._settings.max_crawl_delay_s))

    async def _rules(self, origin: URL) -> _Rules:
        site = self._sites.setdefault(origin, _Site())
        self._sites.move_to_end(origin)
        if len(self._sites) > _MAX_SITES:
            self._sites.popitem(last=False)
        async with site.lock:
            if site.rules is None or time.monotonic() >= site.expires_s:
                site.rules = await self._read(origin)
                failed = site.rules.failure is not None
                kept_s = self._settings.robots_retry_s if failed else self._settings.robots_ttl_s
                site.expires_s = time.monotonic() + kept_s
            return site.rules

    async def _read(self, origin: URL) -> _Rules:
        try:
            answer = await self._get(origin / "robots.txt")
        except FetchError as error:
            if error.reason in _ENDLESS:
                return _Rules()
            of_the_site = error.reason in _OF_THE_SITE and not isinstance(error, BehindRedirect)
            return _Rules(failure=error if of_the_site else _unavailable(error.message))
        if 200 <= answer.status < 300:
            return _Rules(rules=Protego.parse(answer.body.decode("utf-8-sig", "replace")))
        if answer.status >= 500:
            return _Rules(failure=_unavailable(f"The server failed ({answer.status})."))
        return _Rules()


def _unavailable(why: str) -> FetchError:
    return FetchError.of(
        FetchFailure.ROBOTS_UNAVAILABLE,
        f"The site's robots.txt, which says what may be fetched, cannot be read: {why}",
    )
