"""What may pass is tried again, after the time that the server asks for."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from pipelines.fetch import Fetcher, FetchError, FetchFailure, Page
from pipelines.fetch.exchange import retry_after_s
from tests.unit.pipelines.fetch.conftest import Waits, settings
from tests.unit.pipelines.fetch.site import Request, Site, page, response

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def waits() -> Waits:
    return Waits()


async def fetch(opened: AsyncExitStack, url: str, waits: Waits, **changes: Any) -> Page:
    fetcher = await opened.enter_async_context(Fetcher(settings(**changes), sleep=waits))
    found = await fetcher.fetch(url)
    assert isinstance(found, Page)
    return found


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_server_that_fails_at_first_is_asked_again(
    status: int, site: Site, opened: AsyncExitStack, waits: Waits
) -> None:
    site.answers["/"] = [response(status=status), response(status=status), page()]
    assert (await fetch(opened, site.url("/"), waits)).status == 200
    assert len(site.targets()) == 3


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (404, (FetchFailure.NOT_FOUND, "Page not found (404).")),
        (410, (FetchFailure.NOT_FOUND, "Page not found (410).")),
        (401, (FetchFailure.ACCESS_DENIED, "The server does not give the page to us (401).")),
        (403, (FetchFailure.ACCESS_DENIED, "The server does not give the page to us (403).")),
        (418, (FetchFailure.UNEXPECTED_STATUS, "The server did not answer with a page (418).")),
    ],
)
async def test_what_will_not_pass_is_asked_once(
    status: int, told: tuple[FetchFailure, str], site: Site, opened: AsyncExitStack, waits: Waits
) -> None:
    site.answers["/"] = response(b"A page about errors.", status)
    with pytest.raises(FetchError) as raised:
        await fetch(opened, site.url("/"), waits)
    assert (raised.value.reason, raised.value.message) == told
    assert len(site.targets()) == 1


@pytest.mark.parametrize(
    ("status", "reason"), [(429, FetchFailure.RATE_LIMITED), (503, FetchFailure.SERVER_ERROR)]
)
async def test_the_last_try_tells_why(
    status: int, reason: FetchFailure, site: Site, opened: AsyncExitStack, waits: Waits
) -> None:
    site.answers["/"] = response(status=status)
    with pytest.raises(FetchError, match=f"({status})") as raised:
        await fetch(opened, site.url("/"), waits, max_tries=2)
    assert raised.value.reason is reason
    assert len(site.targets()) == 2


async def test_a_connection_that_breaks_is_tried_again(
    site: Site, opened: AsyncExitStack, waits: Waits
) -> None:
    site.answers["/robots.txt"] = [b"", page()]
    site.answers["/"] = [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut", page()]
    assert (await fetch(opened, site.url("/"), waits)).status == 200
    assert len(site.targets()) == 3


async def test_waits_grow_at_random(site: Site, opened: AsyncExitStack, waits: Waits) -> None:
    site.answers["/"] = response(status=500)
    for _ in range(20):
        with pytest.raises(FetchError):
            await fetch(opened, site.url("/"), waits, retry_base_s=1, max_tries=6, max_retry_wait_s=5)
    for place, most_s in enumerate((1, 2, 4, 5, 5)):
        waited = waits.seconds[place::5]
        assert max(waited) <= most_s
        assert min(waited) < most_s / 2 < max(waited)


async def test_the_time_that_a_server_asks_for_is_waited(
    site: Site, opened: AsyncExitStack, waits: Waits
) -> None:
    site.answers["/"] = [response(status=429, Retry_After="7"), page()]
    await fetch(opened, site.url("/"), waits)
    assert max(waits.seconds) == pytest.approx(7, abs=0.5)


async def test_the_other_pages_of_a_host_wait_too(site: Site, opened: AsyncExitStack, waits: Waits) -> None:
    asked = asyncio.Event()

    async def first(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(response(status=503, Retry_After="7"))
        site.answers["/busy"] = page()
        asked.set()

    site.answers.update({"/busy": first, "/other": page()})
    fetcher = await opened.enter_async_context(Fetcher(settings(), sleep=waits))
    await fetcher.fetch(site.url("/busy"))
    assert asked.is_set()
    waits.seconds.clear()
    await fetcher.fetch(site.url("/other"))
    assert waits.seconds == [pytest.approx(7, abs=0.5)]


async def test_a_server_that_asks_for_too_long_is_left(
    site: Site, opened: AsyncExitStack, waits: Waits
) -> None:
    site.answers["/"] = response(status=503, Retry_After="86400")
    with pytest.raises(FetchError, match="come back in 86400 s") as raised:
        await fetch(opened, site.url("/"), waits)
    assert raised.value.reason is FetchFailure.RATE_LIMITED
    assert len(site.targets()) == 1


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        ("0", 0.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("٣", None),
        ("9" * 400, None),
        ("Sun, 99 Mar 2026 12:00:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(told: str | None, seconds: float | None) -> None:
    assert retry_after_s(told, NOW) == seconds
