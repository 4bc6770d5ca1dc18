"""URLs in the catalog: each once in a project, and from status to status by one worker alone."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from storage.catalog import Catalog, ProjectUrls
from tests.unit.storage.catalog.test_catalog import NOW
from tests.unit.storage.catalog.test_projects import ann, catalog, made
from tests.url_states import bring_url
from vectoray.core.accounts import User
from vectoray.core.errors import LimitExceeded
from vectoray.core.projects import Project, ProjectUrl, UrlStatus

__all__ = ["ann", "catalog"]

LATER = NOW + timedelta(seconds=1)
REASON = "Page not found (404)"


@pytest.fixture
def urls(catalog: Catalog) -> ProjectUrls:
    return ProjectUrls(catalog.database)


@pytest.fixture
async def project(catalog: Catalog, ann: User) -> Project:
    return (await made(catalog, ann))[0]


def new(project: Project, spelled: str = "http://a/", *, age_s: int = 0) -> ProjectUrl:
    at = NOW - timedelta(seconds=age_s)
    return ProjectUrl(str(uuid4()), project.id, f"{spelled}#x", spelled, UrlStatus.PENDING, None, 1, at, at)


async def submitted(urls: ProjectUrls, project: Project, wanted: ProjectUrl | None = None) -> ProjectUrl:
    found = await urls.submit(project.id, [wanted or new(project)], most=100)
    assert found is not None
    [one] = found.submitted
    return one


async def brought_to(catalog: Catalog, urls: ProjectUrls, url: ProjectUrl, status: UrlStatus) -> ProjectUrl:
    reason = REASON if status is UrlStatus.FAILED else None
    await bring_url(catalog.database, url.id, status, reason, LATER)
    return (await urls.find([url.id]))[url.id]


async def test_a_url_reads_back_as_it_was_submitted(urls: ProjectUrls, project: Project) -> None:
    wanted = new(project)
    assert await submitted(urls, project, wanted) == wanted
    assert await urls.find([wanted.id, str(uuid4())]) == {wanted.id: wanted}
    assert await urls.of_project(project.id) == [wanted]


async def test_one_of_many_racing_submitters_wins(urls: ProjectUrls, project: Project) -> None:
    found = await asyncio.gather(*(urls.submit(project.id, [new(project)], most=9) for _ in range(8)))
    assert sorted(len(one.submitted) for one in found if one is not None) == [0] * 7 + [1]
    assert len({one.id for part in found if part for one in (*part.submitted, *part.duplicates)}) == 1


async def test_two_projects_may_have_one_url(
    catalog: Catalog, urls: ProjectUrls, project: Project, ann: User
) -> None:
    other, _ = await made(catalog, ann)
    first, second = await submitted(urls, project), await submitted(urls, other)
    assert first.id != second.id
    assert await urls.of_project(other.id) == [second]


async def test_many_urls_are_compared_with_many(urls: ProjectUrls, project: Project) -> None:
    first = [new(project, f"http://a/{number}", age_s=2000 - number) for number in range(1200)]
    assert await urls.submit(project.id, first, most=2000) is not None
    again = [new(project, f"http://a/{number}") for number in range(600, 1800)]
    found = await urls.submit(project.id, again, most=2000)
    assert found is not None
    assert [one.id for one in found.submitted] == [one.id for one in again[600:]]
    assert [one.id for one in found.duplicates] == [one.id for one in first[600:]]
    assert (await urls.of_project(project.id))[:1200] == first


async def test_beyond_the_most_nothing_is_kept(urls: ProjectUrls, project: Project) -> None:
    first = await submitted(urls, project)
    with pytest.raises(LimitExceeded, match="would have 3 URLs"):
        await urls.submit(project.id, [new(project, "http://b/"), new(project, "http://c/")], most=2)
    assert await urls.of_project(project.id) == [first]


@pytest.mark.parametrize("status", UrlStatus)
async def test_a_new_attempt_begins_when_the_last_has_ended(
    catalog: Catalog, urls: ProjectUrls, project: Project, status: UrlStatus
) -> None:
    url = await brought_to(catalog, urls, await submitted(urls, project), status)
    after = await urls.begin_attempt(url.id, LATER)
    if status in (UrlStatus.STORED, UrlStatus.FAILED):
        url = replace(url, status=UrlStatus.PENDING, failure_reason=None, attempt=2, last_updated_at=LATER)
    assert after == url
    assert await urls.begin_attempt(str(uuid4()), LATER) is None


async def test_a_failed_url_is_submitted_again_as_a_new_attempt(
    catalog: Catalog, urls: ProjectUrls, project: Project
) -> None:
    failed = await brought_to(catalog, urls, await submitted(urls, project), UrlStatus.FAILED)
    again = replace(new(project), submitted_at=LATER)
    found = await submitted(urls, project, again)
    assert (found.id, found.attempt, found.submitted_at) == (failed.id, 2, failed.submitted_at)
    assert (found.status, found.failure_reason, found.last_updated_at) == (UrlStatus.PENDING, None, LATER)


async def test_urls_are_counted_by_status_over_all_projects(
    catalog: Catalog, urls: ProjectUrls, project: Project, ann: User
) -> None:
    other, _ = await made(catalog, ann)
    await submitted(urls, other)
    for number, status in enumerate(UrlStatus):
        await brought_to(
            catalog, urls, await submitted(urls, project, new(project, f"http://a/{number}")), status
        )
    wanted = (UrlStatus.PENDING, UrlStatus.ENCODING)
    assert await urls.count(wanted) == {UrlStatus.PENDING: 2, UrlStatus.ENCODING: 1}
