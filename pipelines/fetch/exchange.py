"""A request that waits for its turn, and is tried again when that may help."""

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from multidict import CIMultiDict
from yarl import URL

from pipelines.fetch.hosts import Hosts, Sleep
from pipelines.fetch.page import FetchError, FetchFailure
from pipelines.fetch.settings import FetchSettings
from pipelines.fetch.transport import Answer, ConnectionLost, Patience, Transport


class Exchange:
    """Asks servers politely and persistently."""

    def __init__(self, settings: FetchSettings, transport: Transport, sleep: Sleep) -> None:
        self._settings = settings
        self._transport = transport
        self._sleep = sleep
        self._hosts = Hosts(settings, sleep)

    async def get(
        self, url: URL, headers: CIMultiDict[str], patience: Patience, *, max_bytes: int, delay_s: float
    ) -> Answer:
        """As `Transport.get`, with up to ``max_tries`` tries.

        Args:
            url: As there.
            headers: As there.
            patience: As there, for all tries together.
            max_bytes: As there.
            delay_s: Seconds until the next request to the host.

        Raises:
            FetchError: No try gave an answer, or the host asks for a longer wait than is granted.
        """
        host = url.raw_host or ""
        for tried in range(1, self._settings.max_tries + 1):
            last = tried == self._settings.max_tries
            asked_s = None
            try:
                async with self._hosts.turn(host, delay_s=delay_s):
                    answer = await self._transport.get(url, headers, patience, max_bytes=max_bytes)
            except ConnectionLost:
                if last or patience.left_s <= 0:
                    raise
            else:
                if last or not _may_pass(answer.status):
                    return answer
                asked_s = retry_after_s(answer.headers.get("Retry-After"), datetime.now(UTC))
            await self._wait(host, tried, asked_s)
        raise AssertionError("the last try returns or raises")

    async def _wait(self, host: str, tried: int, asked_s: float | None) -> None:
        """Wait before another try: a random time, after the time that the host asked for, if it did."""
        longest_s = self._settings.max_retry_wait_s
        if asked_s is not None:
            if asked_s > longest_s:
                raise FetchError.of(
                    FetchFailure.RATE_LIMITED,
                    f"The server asks to come back in {asked_s:.0f} s; try again then.",
                )
            # The other pages of the host wait too.
            self._hosts.hold_off(host, asked_s)
        # Full jitter (M. Brooker, "Exponential Backoff And Jitter", 2015): who failed together returns apart.
        most_s = min(longest_s, self._settings.retry_base_s * 2 ** (tried - 1))
        await self._sleep(random.uniform(0, most_s))  # noqa: S311


def _may_pass(status: int) -> bool:
    return status == 429 or status >= 500


def retry_after_s(told: str | None, now: datetime) -> float | None:
    """The seconds that a ``Retry-After`` asks for, in seconds or as a date; None for what is neither."""
    if told is None:
        return None
    if told.isascii() and told.isdecimal() and len(told) < 10:
        return float(told)
    try:
        then = parsedate_to_datetime(told)
    except ValueError:
        return None
    return max(0.0, (then.replace(tzinfo=then.tzinfo or UTC) - now).total_seconds())
