"""One HTTP request and its answer, bounded in time and size. The one file that speaks to aiohttp's client.

No redirect is followed here, nothing is tried again, and nothing is kept from one request to the next but
connections: no cookies, no credentials. A proxy of the environment is not used: it would connect to addresses
that nobody checked.
"""

import asyncio
import ssl
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from pipelines.fetch.addresses import AddressPolicy
from pipelines.fetch.body import ACCEPT_ENCODING, Body, TooLarge
from pipelines.fetch.page import FetchError, FetchFailure
from pipelines.fetch.resolver import CheckedResolver, Lookup
from pipelines.fetch.settings import FetchSettings

_ACCEPT = "text/html,application/xhtml+xml,application/pdf,text/*;q=0.9,*/*;q=0.8"
_DNS_CACHE_S = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered.

    Attributes:
        body: Decompressed; of a status from 200 to 299 alone.
        whole: Whether the body is all there was.
    """

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes
    whole: bool = True


class ConnectionLost(FetchError):
    """The connection failed, which it may not do the next time."""


@dataclass(slots=True)
class Patience:
    """The time that servers may take for one page, in seconds."""

    total_s: float
    left_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.left_s = self.total_s


class Transport:
    """Open connections to servers. Use it as a context manager, in one event loop."""

    def __init__(
        self, settings: FetchSettings, policy: AddressPolicy, lookup: Lookup, tls: ssl.SSLContext | None
    ) -> None:
        self._settings = settings
        self._policy = policy
        self._lookup = lookup
        self._tls = tls

    async def __aenter__(self) -> Self:
        """Open the pool of connections."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=CheckedResolver(self._policy, self._lookup),
                ttl_dns_cache=_DNS_CACHE_S,
                # Who waits for a turn waits before, and not in the time that the server has.
                limit=0,
                ssl=self._tls or True,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "User-Agent": self._settings.user_agent,
                "Accept": _ACCEPT,
                "Accept-Encoding": ACCEPT_ENCODING,
            },
            timeout=aiohttp.ClientTimeout(
                total=None,
                sock_connect=self._settings.connect_timeout_s,
                sock_read=self._settings.read_timeout_s,
            ),
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        await self._session.close()

    async def get(self, url: URL, headers: CIMultiDict[str], patience: Patience, *, max_bytes: int) -> Answer:
        """Ask for a URL.

        Args:
            url: One that `AddressPolicy.admit` gave.
            headers: Besides those of every request.
            patience: How long this may take; the time it took is taken from it.
            max_bytes: Size of the body, at which it is cut.

        Raises:
            FetchError: There is no answer.
        """
        started_s = time.monotonic()
        try:
            async with asyncio.timeout(patience.left_s):
                return await self._get(url, headers, max_bytes)
        except aiohttp.ConnectionTimeoutError:
            raise ConnectionLost.of(
                FetchFailure.TIMED_OUT, f"Could not connect within {self._settings.connect_timeout_s:g} s."
            ) from None
        except aiohttp.SocketTimeoutError:
            raise FetchError.of(
                FetchFailure.TIMED_OUT, f"Timed out: nothing came for {self._settings.read_timeout_s:g} s."
            ) from None
        except TimeoutError:
            raise FetchError.of(FetchFailure.TIMED_OUT, f"Timed out after {patience.total_s:g} s.") from None
        except (aiohttp.ClientSSLError, ssl.SSLError):
            raise FetchError.of(
                FetchFailure.TLS_FAILED,
                "No safe connection: the certificate of the host could not be verified.",
            ) from None
        except aiohttp.ClientResponseError:
            raise FetchError.of(FetchFailure.BAD_RESPONSE, "The server's answer is not valid HTTP.") from None
        except aiohttp.ClientPayloadError:
            raise ConnectionLost.of(FetchFailure.BAD_RESPONSE, "The page was cut off on its way.") from None
        except (aiohttp.ClientError, OSError):
            raise ConnectionLost.of(
                FetchFailure.CONNECTION_FAILED, "Could not connect to the host."
            ) from None
        finally:
            patience.left_s -= time.monotonic() - started_s

    async def _get(self, url: URL, headers: CIMultiDict[str], max_bytes: int) -> Answer:
        async with self._session.get(url, headers=headers, allow_redirects=False) as response:
            if not 200 <= response.status < 300:
                return Answer(response.status, response.headers, b"")
            body = Body(response.headers.get("Content-Encoding", ""), max_bytes)
            try:
                async for data in response.content.iter_any():
                    body.feed(data)
            except TooLarge:
                return Answer(response.status, response.headers, body.collected, whole=False)
            return Answer(response.status, response.headers, body.finish())
