"""Redirects are followed, but not in circles and not for ever."""

from contextlib import AsyncExitStack
from typing import Any

import pytest

from pipelines.fetch import Fetcher, FetchError, FetchFailure, Page
from tests.unit.pipelines.fetch.conftest import settings
from tests.unit.pipelines.fetch.site import Site, page, redirect, response


async def failure(opened: AsyncExitStack, url: str, **changes: Any) -> FetchFailure:
    fetcher = await opened.enter_async_context(Fetcher(settings(**changes)))
    with pytest.raises(FetchError) as raised:
        await fetcher.fetch(url)
    return raised.value.reason


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirected_page_tells_where_it_came_from(status: int, site: Site, fetcher: Fetcher) -> None:
    site.answers["/a/old"] = redirect("../new?x=1#part", status)
    site.answers["/new?x=1"] = page()
    found = await fetcher.fetch(site.url("/a/old#here"))
    assert isinstance(found, Page)
    assert (found.asked, found.url) == (site.url("/a/old#here"), site.url("/new?x=1"))


async def test_a_circle_is_noticed(site: Site, opened: AsyncExitStack) -> None:
    site.answers["/a"] = redirect("/b")
    site.answers["/b"] = redirect("/a")
    assert await failure(opened, site.url("/a")) is FetchFailure.REDIRECT_LOOP
    assert site.targets() == ["/a", "/b"]


async def test_a_page_that_redirects_to_itself_is_a_circle(site: Site, opened: AsyncExitStack) -> None:
    site.answers["/a"] = redirect("/a#again")
    assert await failure(opened, site.url("/a")) is FetchFailure.REDIRECT_LOOP


async def test_an_endless_chain_ends(site: Site, opened: AsyncExitStack) -> None:
    for length in range(1, 20):
        site.answers["/" + "x" * length] = redirect("/" + "x" * (length + 1))
    assert await failure(opened, site.url("/x"), max_redirects=3) is FetchFailure.TOO_MANY_REDIRECTS
    assert len(site.targets()) == 4


async def test_as_many_redirects_as_allowed_are_followed(site: Site, opened: AsyncExitStack) -> None:
    site.answers.update({"/x": redirect("/xx"), "/xx": redirect("/xxx"), "/xxx": page()})
    fetcher = await opened.enter_async_context(Fetcher(settings(max_redirects=2)))
    assert isinstance(await fetcher.fetch(site.url("/x")), Page)
    assert await failure(opened, site.url("/x"), max_redirects=1) is FetchFailure.TOO_MANY_REDIRECTS


@pytest.mark.parametrize("status", [300, 302, 304])
async def test_a_redirect_to_nowhere_is_no_page(status: int, site: Site, opened: AsyncExitStack) -> None:
    site.answers["/"] = response(status=status)
    assert await failure(opened, site.url("/")) is FetchFailure.UNEXPECTED_STATUS
