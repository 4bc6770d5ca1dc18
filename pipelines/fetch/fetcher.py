"""Fetches web pages: politely, within limits, and only from where it may."""

import asyncio
import ssl
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from multidict import CIMultiDict
from yarl import URL

from pipelines.fetch import content
from pipelines.fetch.addresses import AddressPolicy
from pipelines.fetch.exchange import Exchange
from pipelines.fetch.hosts import Sleep
from pipelines.fetch.page import FetchError, FetchFailure, NotModified, Page, RobotsVerdict, Validators
from pipelines.fetch.redirects import follow
from pipelines.fetch.resolver import Lookup, SystemLookup
from pipelines.fetch.robots import MAX_ROBOTS_BYTES, Robots
from pipelines.fetch.settings import FetchSettings
from pipelines.fetch.transport import Answer, Patience, Transport

_MAX_VALIDATOR_CHARS = 1024


class Fetcher:
    """Fetches web pages. Use it as a context manager, in one event loop; fetch as many at a time as you like.

    Connections, the rules of robots.txt and the delays of hosts are shared by all fetches of one fetcher.

    Args:
        settings: Limits, and what is allowed.
        lookup: Turns host names into addresses; by default this machine's own resolver.
        sleep: Waits.
        tls: Whom to trust; by default those whom this machine trusts.
    """

    def __init__(
        self,
        settings: FetchSettings,
        *,
        lookup: Lookup | None = None,
        sleep: Sleep = asyncio.sleep,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._policy = AddressPolicy(settings)
        self._transport = Transport(settings, self._policy, lookup or SystemLookup(), tls)
        self._exchange = Exchange(settings, self._transport, sleep)
        self._robots = Robots(settings, self._get_robots)

    async def __aenter__(self) -> Self:
        """Open the pool of connections."""
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        await self._transport.__aexit__(kind, error, trace)

    async def fetch(self, url: str, known: Validators | None = None) -> Page | NotModified:
        """Fetch a page.

        Args:
            url: Where from.
            known: What the last fetch of the page said, to be told if it has not changed since.

        Returns:
            The page; `NotModified` only if ``known`` was given.

        Raises:
            FetchError: There is no page, or it may not be fetched.
        """
        patience = Patience(self._settings.total_timeout_s)
        verdict = RobotsVerdict.NO_RULES

        async def ask(target: URL) -> Answer:
            nonlocal verdict
            verdict, delay_s = await self._robots.admit(target)
            return await self._exchange.get(
                target,
                _conditions(target, known),
                patience,
                max_bytes=self._settings.max_page_bytes,
                delay_s=delay_s,
            )

        final, answer = await follow(url, ask, self._policy, max_redirects=self._settings.max_redirects)
        now = datetime.now(UTC)
        if answer.status == 304 and known is not None and known.url == str(final):
            return NotModified(url, str(final), _validators(final, answer) or known, now, verdict)
        self._check(answer)
        content_type = answer.headers.get("Content-Type", "")
        return Page(
            asked=url,
            url=str(final),
            status=answer.status,
            media_type=content.media_type(content_type, answer.body, final.path),
            charset=content.charset(content_type, answer.body),
            body=answer.body,
            validators=_validators(final, answer),
            fetched_at=now,
            robots=verdict,
        )

    async def _get_robots(self, url: URL) -> Answer:
        patience = Patience(self._settings.total_timeout_s)

        async def ask(target: URL) -> Answer:
            return await self._exchange.get(
                target,
                CIMultiDict(),
                patience,
                max_bytes=MAX_ROBOTS_BYTES,
                delay_s=self._settings.host_delay_s,
            )

        _, answer = await follow(url, ask, self._policy, max_redirects=self._settings.max_redirects)
        return answer

    def _check(self, answer: Answer) -> None:
        """Refuse what is no page."""
        if not 200 <= answer.status < 300:
            raise _refusal(answer.status)
        if not answer.whole:
            raise FetchError.of(
                FetchFailure.TOO_LARGE,
                f"The page is larger than {self._settings.max_page_bytes} bytes, the most that is read.",
            )
        if not answer.body:
            raise FetchError.of(FetchFailure.EMPTY, "The page is empty.")


def _conditions(url: URL, known: Validators | None) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    if known is not None and known.url == str(url):
        if known.etag is not None:
            headers["If-None-Match"] = known.etag
        if known.last_modified is not None:
            headers["If-Modified-Since"] = known.last_modified
    return headers


def _validators(url: URL, answer: Answer) -> Validators | None:
    etag, last_modified = (_validator(answer.headers.get(name)) for name in ("ETag", "Last-Modified"))
    return None if etag is None and last_modified is None else Validators(str(url), etag, last_modified)


def _validator(told: str | None) -> str | None:
    """A validator that can be kept and sent back."""
    usable = told and len(told) <= _MAX_VALIDATOR_CHARS and told.isascii() and told.isprintable()
    return told if usable else None


def _refusal(status: int) -> FetchError:
    match status:
        case 404 | 410:
            return FetchError.of(FetchFailure.NOT_FOUND, f"Page not found ({status}).")
        case 401 | 402 | 403 | 407 | 451:
            return FetchError.of(
                FetchFailure.ACCESS_DENIED, f"The server does not give the page to us ({status})."
            )
        case 429:
            return FetchError.of(
                FetchFailure.RATE_LIMITED, "The server asks for fewer requests (429); try again later."
            )
        case _ if status >= 500:
            return FetchError.of(FetchFailure.SERVER_ERROR, f"The server failed ({status}); try again later.")
        case _:
            return FetchError.of(
                FetchFailure.UNEXPECTED_STATUS, f"The server did not answer with a page ({status})."
            )
