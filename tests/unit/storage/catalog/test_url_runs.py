"""URLs as those see them who fetch them: taken under leases, projects in turn, versions of what is stored."""

from dataclasses import replace
from datetime import timedelta

import pytest

from storage.catalog import MOST_TRIES, Catalog, Documents, Due, ProjectUrls, StoredPage, UrlClaim, UrlRuns
from tests.unit.storage.catalog.test_project_urls import (
    LATER,
    REASON,
    ann,
    catalog,
    new,
    project,
    submitted,
    urls,
)
from tests.unit.storage.catalog.test_projects import made
from vectoray.core.accounts import User
from vectoray.core.ingestion import DocumentState
from vectoray.core.projects import Project, ProjectUrl, UrlStatus

__all__ = ["ann", "catalog", "project", "urls"]

LEASE = timedelta(seconds=15)
PAGE = StoredPage(3, "f", "http://a/b", '"1"', "Thu, 01 Jan 2026 00:00:00 GMT")


@pytest.fixture
def runs(catalog: Catalog) -> UrlRuns:
    return UrlRuns(catalog.database)


async def taken(runs: UrlRuns, url: ProjectUrl) -> UrlClaim:
    claim = await runs.claim_next("w", LATER, LATER + LEASE)
    assert claim is not None
    assert claim.url.id == url.id
    return claim


async def status(urls: ProjectUrls, url: ProjectUrl) -> UrlStatus:
    return (await urls.find([url.id]))[url.id].status


async def test_a_page_from_its_claim_to_its_end(
    catalog: Catalog, urls: ProjectUrls, runs: UrlRuns, project: Project
) -> None:
    url = await submitted(urls, project)
    claim = await taken(runs, url)
    assert claim.url == replace(url, status=UrlStatus.CRAWLING, last_updated_at=LATER)
    assert claim.collection == await catalog.of_project(project.id)
    assert await runs.wanted([claim.lease]) == {claim.lease}
    assert await runs.fetched(claim, LATER)
    assert await status(urls, url) is UrlStatus.ENCODING
    assert await runs.embedded(claim, 3, LATER)
    assert await runs.stored(claim, PAGE, LATER)
    assert await status(urls, url) is UrlStatus.STORED
    assert await runs.due(LATER + LEASE) is Due.NOTHING
    [document] = await Documents(catalog.database).of_owner(url.id)
    assert (document.state, document.chunks, document.uri) == (DocumentState.STORED, 3, url.url)
    assert (document.fetched_url, document.etag) == (PAGE.fetched_url, PAGE.etag)


async def test_the_next_attempt_knows_the_version_that_is_stored(
    urls: ProjectUrls, runs: UrlRuns, project: Project
) -> None:
    url = await submitted(urls, project)
    await runs.stored(await taken(runs, url), PAGE, LATER)
    await urls.begin_attempt(url.id, LATER)
    again = await taken(runs, url)
    assert (again.document.fingerprint, again.document.last_modified) == ("f", PAGE.last_modified)
    assert await runs.unchanged(again, LATER)
    assert await status(urls, url) is UrlStatus.STORED


async def test_once_it_is_being_replaced_no_version_is_known(
    urls: ProjectUrls, runs: UrlRuns, project: Project
) -> None:
    url = await submitted(urls, project)
    await runs.stored(await taken(runs, url), PAGE, LATER)
    await urls.begin_attempt(url.id, LATER)
    claim = await taken(runs, url)
    await runs.embedded(claim, 4, LATER)
    await runs.release(claim, LATER)
    assert await status(urls, url) is UrlStatus.PENDING
    after = (await taken(runs, url)).document
    assert (after.fingerprint, after.etag, after.last_modified, after.fetched_url) == (None,) * 4


async def test_who_lost_the_lease_changes_nothing(urls: ProjectUrls, runs: UrlRuns, project: Project) -> None:
    url = await submitted(urls, project)
    lost = await taken(runs, url)
    held = await runs.claim_next("w", LATER + LEASE, LATER + 2 * LEASE)
    assert held is not None
    assert not await runs.fetched(lost, LATER)
    assert not await runs.stored(lost, PAGE, LATER)
    assert not await runs.fail(lost, REASON, LATER)
    await runs.release(lost, LATER)
    assert await status(urls, url) is UrlStatus.CRAWLING
    assert await runs.wanted([lost.lease, held.lease]) == {held.lease}
    assert await runs.fail(held, REASON, LATER)
    assert (await urls.find([url.id]))[url.id].failure_reason == REASON
    assert not await runs.stored(held, PAGE, LATER)


async def test_projects_take_turns_however_many_urls_one_has(
    catalog: Catalog, urls: ProjectUrls, runs: UrlRuns, project: Project, ann: User
) -> None:
    other, _ = await made(catalog, ann)
    await urls.submit(project.id, [new(project, f"http://a/{n}", age_s=99 - n) for n in range(20)], most=99)
    await urls.submit(other.id, [new(other, f"http://b/{n}") for n in range(2)], most=99)
    order = []
    for number in range(5):
        claim = await runs.claim_next("w", LATER + timedelta(seconds=number), LATER + 2 * LEASE)
        assert claim is not None
        order.append(claim.url.project)
    assert order == [project.id, other.id, project.id, other.id, project.id]


async def test_who_has_less_under_way_comes_first_though_it_was_served_last(
    catalog: Catalog, urls: ProjectUrls, runs: UrlRuns, project: Project, ann: User
) -> None:
    """Of two projects one is slow; by turns alone it would have all workers in the end."""
    other, _ = await made(catalog, ann)
    await urls.submit(project.id, [new(project, f"http://slow/{n}", age_s=99 - n) for n in range(9)], most=99)
    for number in range(3):
        assert await runs.claim_next("w", LATER + timedelta(seconds=number), LATER + 9 * LEASE) is not None
    await urls.submit(other.id, [new(other, f"http://quick/{n}") for n in range(4)], most=99)
    for number in range(3, 6):
        now = LATER + timedelta(seconds=number)
        claim = await runs.claim_next("w", now, LATER + 9 * LEASE)
        assert claim is not None
        assert claim.url.project == other.id
        assert await runs.fail(claim, REASON, now)


async def test_of_a_deleted_project_nothing_is_taken_or_wanted(
    catalog: Catalog, urls: ProjectUrls, runs: UrlRuns, project: Project
) -> None:
    claim = await taken(runs, await submitted(urls, project))
    await submitted(urls, project, new(project, "http://b/"))
    await catalog.begin_drop(claim.collection.id)
    assert await runs.claim_next("w", LATER + LEASE, LATER + 2 * LEASE) is None
    assert await runs.wanted([claim.lease]) == set()
    assert not await runs.fetched(claim, LATER)
    await catalog.finish_drop(claim.collection.id)
    assert await Documents(catalog.database).of_owner(claim.url.id) == []


async def test_a_page_that_ends_its_worker_each_time_fails(
    urls: ProjectUrls, runs: UrlRuns, project: Project
) -> None:
    url = await submitted(urls, project)
    now = LATER
    for _ in range(MOST_TRIES):
        assert await runs.claim_next("w", now, now + LEASE) is not None
        now += LEASE
    assert await runs.claim_next("w", now, now + LEASE) is None
    failed = (await urls.find([url.id]))[url.id]
    assert failed.status is UrlStatus.FAILED
    assert failed.failure_reason is not None
    again = await submitted(urls, project, new(project))
    assert again.id == url.id
    claim = await runs.claim_next("w", now, now + LEASE)
    assert claim is not None
    assert claim.document.tries == 1
