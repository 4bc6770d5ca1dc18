"""robots.txt is obeyed, remembered and reported."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from pipelines.fetch import Fetcher, FetchError, FetchFailure, Page, RobotsVerdict
from tests.unit.pipelines.fetch.conftest import Waits, settings
from tests.unit.pipelines.fetch.site import Site, page, redirect, response


async def open_fetcher(opened: AsyncExitStack, **changes: Any) -> Fetcher:
    return await opened.enter_async_context(Fetcher(settings(**changes)))


async def verdict(fetcher: Fetcher, url: str) -> RobotsVerdict:
    found = await fetcher.fetch(url)
    assert isinstance(found, Page)
    return found.robots


async def failure(fetcher: Fetcher, url: str) -> FetchError:
    with pytest.raises(FetchError) as raised:
        await fetcher.fetch(url)
    return raised.value


async def test_what_the_rules_forbid_is_not_asked_for(site: Site, fetcher: Fetcher) -> None:
    site.answers["/robots.txt"] = response(b"User-agent: *\nDisallow: /private\nAllow: /private/open\n")
    for target in ("/", "/private/open", "/private/closed"):
        site.answers[target] = page()
    assert await verdict(fetcher, site.url("/")) is RobotsVerdict.ALLOWED
    assert await verdict(fetcher, site.url("/private/open")) is RobotsVerdict.ALLOWED
    error = await failure(fetcher, site.url("/private/closed"))
    assert error.reason is FetchFailure.ROBOTS_DISALLOWED
    assert error.message == "Blocked by robots.txt."
    assert site.targets() == ["/", "/private/open"]


async def test_rules_for_our_name_go_before_those_for_all(site: Site, opened: AsyncExitStack) -> None:
    site.answers["/robots.txt"] = response(
        b"\xef\xbb\xbfUser-agent: testbot\nDisallow:\n\nUser-agent: *\nDisallow: /\n"
    )
    site.answers["/"] = page()
    ours = await open_fetcher(opened, user_agent="TestBot/2.0 (+https://example.com)")
    assert await verdict(ours, site.url("/")) is RobotsVerdict.ALLOWED
    other = await open_fetcher(opened)
    assert (await failure(other, site.url("/"))).reason is FetchFailure.ROBOTS_DISALLOWED


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
async def test_a_site_without_rules_forbids_nothing(status: int, site: Site, fetcher: Fetcher) -> None:
    site.answers["/robots.txt"] = response(status=status)
    site.answers["/"] = page()
    assert await verdict(fetcher, site.url("/")) is RobotsVerdict.NO_RULES


async def test_a_site_whose_rules_cannot_be_read_is_left_alone_for_a_while(
    site: Site, opened: AsyncExitStack
) -> None:
    site.answers["/robots.txt"] = [response(status=503), response(b"")]
    site.answers["/"] = page()
    patient = await open_fetcher(opened, max_tries=1)
    for _ in range(2):
        error = await failure(patient, site.url("/"))
        assert error.reason is FetchFailure.ROBOTS_UNAVAILABLE
        assert "503" in error.message
    assert len(site.requests) == 1

    site.answers["/robots.txt"] = [response(status=503), response(b"")]
    hasty = await open_fetcher(opened, max_tries=1, robots_retry_s=0)
    await failure(hasty, site.url("/"))
    assert await verdict(hasty, site.url("/")) is RobotsVerdict.ALLOWED


async def test_rules_that_do_not_come_in_time_forbid_everything(site: Site, opened: AsyncExitStack) -> None:
    async def silent(*_: object) -> None:
        await asyncio.Event().wait()

    site.answers["/robots.txt"] = silent
    fetcher = await open_fetcher(opened, read_timeout_s=0.05)
    assert (await failure(fetcher, site.url("/"))).reason is FetchFailure.ROBOTS_UNAVAILABLE
    assert site.targets() == []


async def test_rules_are_read_once_for_all_pages_of_a_site(site: Site, opened: AsyncExitStack) -> None:
    site.answers["/robots.txt"] = response(b"User-agent: *\nDisallow: /no")
    site.answers["/"] = page()
    fetcher = await open_fetcher(opened)
    await asyncio.gather(*(fetcher.fetch(site.url("/")) for _ in range(10)))
    assert len(site.requests) - len(site.targets()) == 1


async def test_rules_are_read_again_when_they_are_old(site: Site, opened: AsyncExitStack) -> None:
    site.answers["/robots.txt"] = [response(b""), response(b"User-agent: *\nDisallow: /")]
    site.answers["/"] = page()
    fetcher = await open_fetcher(opened, robots_ttl_s=0)
    await fetcher.fetch(site.url("/"))
    assert (await failure(fetcher, site.url("/"))).reason is FetchFailure.ROBOTS_DISALLOWED


async def test_the_rules_hold_behind_redirects_too(site: Site, opened: AsyncExitStack) -> None:
    other = await opened.enter_async_context(Site("127.0.0.2"))
    other.answers["/robots.txt"] = response(b"User-agent: *\nDisallow: /")
    site.answers["/"] = redirect(other.url("/page"))
    fetcher = await open_fetcher(opened, allow_hosts=("127.0.0.0/8",))
    assert (await failure(fetcher, site.url("/"))).reason is FetchFailure.ROBOTS_DISALLOWED
    assert other.targets() == []


async def test_rules_may_lie_behind_a_redirect(site: Site, fetcher: Fetcher) -> None:
    site.answers["/robots.txt"] = redirect("/rules")
    site.answers["/rules"] = response(b"User-agent: *\nDisallow: /no")
    assert (await failure(fetcher, site.url("/no"))).reason is FetchFailure.ROBOTS_DISALLOWED


async def test_rules_behind_a_circle_of_redirects_are_no_rules(site: Site, fetcher: Fetcher) -> None:
    site.answers["/robots.txt"] = redirect("/robots.txt")
    site.answers["/"] = page()
    assert await verdict(fetcher, site.url("/")) is RobotsVerdict.NO_RULES


async def test_rules_are_not_followed_to_a_place_inside(site: Site, opened: AsyncExitStack) -> None:
    secret = await opened.enter_async_context(Site("127.0.0.2", site.port))
    site.answers["/robots.txt"] = redirect(secret.url("/secret"))
    fetcher = await open_fetcher(opened)
    error = await failure(fetcher, site.url("/"))
    assert error.reason is FetchFailure.ROBOTS_UNAVAILABLE
    assert "127.0.0.2" not in error.message
    assert secret.requests == []


async def test_of_endless_rules_the_beginning_counts(site: Site, fetcher: Fetcher) -> None:
    site.answers["/robots.txt"] = response(b"User-agent: *\nDisallow: /no\n" + b"# and so on\n" * 100_000)
    site.answers["/"] = page()
    assert await verdict(fetcher, site.url("/")) is RobotsVerdict.ALLOWED
    assert (await failure(fetcher, site.url("/no"))).reason is FetchFailure.ROBOTS_DISALLOWED


@pytest.mark.parametrize(
    ("told", "kept_s"), [("2", 2.0), ("0.01", 0.5), ("3600", 30.0), ("inf", 0.5), ("nan", 0.5), ("soon", 0.5)]
)
async def test_a_crawl_delay_is_kept_within_limits(
    told: str, kept_s: float, site: Site, opened: AsyncExitStack
) -> None:
    site.answers["/robots.txt"] = response(f"User-agent: *\nCrawl-delay: {told}\n".encode())
    site.answers["/"] = page()
    waits = Waits()
    fetcher = await opened.enter_async_context(Fetcher(settings(host_delay_s=0.5), sleep=waits))
    for _ in range(2):
        await fetcher.fetch(site.url("/"))
    # The first wait is for the request of robots.txt; the second adds to it, for no time passed in between.
    assert waits.seconds[1] - waits.seconds[0] == pytest.approx(kept_s, abs=0.3)


async def test_a_host_that_cannot_be_reached_is_told_as_such(opened: AsyncExitStack) -> None:
    async with Site() as gone:
        pass
    fetcher = await open_fetcher(opened, max_tries=1)
    error = await failure(fetcher, gone.url("/"))
    assert error.reason is FetchFailure.CONNECTION_FAILED
    assert str(gone.port) not in error.message
