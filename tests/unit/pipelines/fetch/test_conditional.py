"""Pages that have not changed are not sent again."""

from contextlib import AsyncExitStack

import pytest

from pipelines.fetch import Fetcher, FetchError, NotModified, Page, RobotsVerdict, Validators
from tests.unit.pipelines.fetch.conftest import settings
from tests.unit.pipelines.fetch.site import Site, page, redirect, response

DATE = "Sun, 01 Mar 2026 12:00:00 GMT"


async def test_an_unchanged_page_is_told_by_its_validators(site: Site, fetcher: Fetcher) -> None:
    site.answers["/"] = [page(ETag='W/"1"', Last_Modified=DATE), response(status=304, ETag='W/"1"')]
    first = await fetcher.fetch(site.url("/"))
    assert isinstance(first, Page)
    assert first.validators == Validators(site.url("/"), 'W/"1"', DATE)
    second = await fetcher.fetch(site.url("/"), first.validators)
    assert isinstance(second, NotModified)
    assert second.robots is RobotsVerdict.NO_RULES
    assert second.fetched_at >= first.fetched_at
    sent = site.requests[-1].headers
    assert (sent["if-none-match"], sent["if-modified-since"]) == ('W/"1"', DATE)


async def test_validators_stay_until_a_server_sends_others(site: Site, fetcher: Fetcher) -> None:
    known = Validators(site.url("/"), '"1"', DATE)
    site.answers["/"] = [response(status=304), response(status=304, ETag='"2"')]
    for expected in (known, Validators(site.url("/"), '"2"', None)):
        found = await fetcher.fetch(site.url("/"), known)
        assert isinstance(found, NotModified)
        assert found.validators == expected


async def test_a_changed_page_comes_whole(site: Site, fetcher: Fetcher) -> None:
    site.answers["/"] = page(ETag='"2"')
    found = await fetcher.fetch(site.url("/"), Validators(site.url("/"), '"1"', None))
    assert isinstance(found, Page)
    assert found.validators == Validators(site.url("/"), '"2"', None)


async def test_validators_go_only_to_where_they_came_from(site: Site, opened: AsyncExitStack) -> None:
    other = await opened.enter_async_context(Site("127.0.0.2"))
    site.answers["/"] = redirect(other.url("/page"))
    other.answers["/page"] = [page(ETag='"1"'), response(status=304)]
    fetcher = await opened.enter_async_context(Fetcher(settings(allow_hosts=("127.0.0.0/8",))))
    first = await fetcher.fetch(site.url("/"))
    assert isinstance(first, Page)
    assert isinstance(await fetcher.fetch(site.url("/"), first.validators), NotModified)
    assert not any("if-none-match" in request.headers for request in site.requests)
    assert [request.headers.get("if-none-match") for request in other.requests][1:] == [None, '"1"']


@pytest.mark.parametrize("etag", ["a" * 2000, '"é"', '"\t"'])
async def test_validators_that_could_not_be_sent_back_are_not_kept(
    etag: str, site: Site, fetcher: Fetcher
) -> None:
    site.answers["/"] = page(ETag=etag)
    found = await fetcher.fetch(site.url("/"))
    assert isinstance(found, Page)
    assert found.validators is None


async def test_unchanged_is_no_answer_to_who_did_not_ask(site: Site, fetcher: Fetcher) -> None:
    site.answers["/"] = response(status=304)
    with pytest.raises(FetchError, match="304"):
        await fetcher.fetch(site.url("/"))
