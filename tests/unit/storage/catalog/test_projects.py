"""Projects in the catalog: who may read them, and that they come and go with their collection."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from storage.catalog import ANYONE, Accounts, Catalog, Projects, ProjectShares, ProjectUrls, Reader
from tests.unit.storage.catalog.test_accounts import user
from tests.unit.storage.catalog.test_catalog import NOW, collection
from vectoray.core.accounts import User
from vectoray.core.errors import Conflict
from vectoray.core.model import Collection
from vectoray.core.projects import Project, ProjectShare

TOKEN = "token-" + "x" * 26


@pytest.fixture
async def catalog(database_url: str) -> AsyncIterator[Catalog]:
    opened = await Catalog.open(database_url)
    yield opened
    await opened.dispose()


@pytest.fixture
def projects(catalog: Catalog) -> Projects:
    return Projects(catalog.database)


@pytest.fixture
def shares(catalog: Catalog) -> ProjectShares:
    return ProjectShares(catalog.database)


async def added(catalog: Catalog, email: str) -> User:
    new = user(email)
    await Accounts(catalog.database).add_user(new, None)
    return new


@pytest.fixture
async def ann(catalog: Catalog) -> User:
    return await added(catalog, "ann@example.com")


@pytest.fixture
async def bob(catalog: Catalog) -> User:
    return await added(catalog, "bob@example.com")


async def begun(catalog: Catalog, owner: User, *, age_s: int = 0) -> tuple[Project, Collection]:
    """A project whose collection is being made."""
    project = Project(str(uuid4()), owner.id, "Research", NOW - timedelta(seconds=age_s))
    of_it = replace(collection(f"projects/{project.id}", owner.id), project_id=project.id)
    await catalog.begin_create(of_it, project=project)
    return project, of_it


async def made(catalog: Catalog, owner: User, *, age_s: int = 0) -> tuple[Project, Collection]:
    project, of_it = await begun(catalog, owner, age_s=age_s)
    assert await catalog.finish_create(of_it.id)
    return project, of_it


def share(project: Project, *, with_user: User | None = None, token: str | None = None) -> ProjectShare:
    return ProjectShare(str(uuid4()), project.id, with_user.id if with_user else None, token, NOW)


async def readable(projects: Projects, user_id: str, token: str | None = None) -> list[Project]:
    return [one.project for one in await projects.readable(Reader(user_id, token))]


async def test_a_project_is_there_while_its_collection_is(
    catalog: Catalog, projects: Projects, ann: User
) -> None:
    project, of_it = await begun(catalog, ann)
    assert await projects.of_user(ann.id) == []
    await catalog.finish_create(of_it.id)
    assert await projects.of_user(ann.id) == [project]
    [stored] = await projects.readable(Reader(ann.id))
    assert (stored.project, stored.collection) == (project, of_it)
    assert await catalog.of_project(project.id) == of_it
    await catalog.begin_drop(of_it.id)
    assert await projects.of_user(ann.id) == await readable(projects, ann.id) == []
    assert await catalog.of_project(project.id) is None
    assert await projects.rename(project.id, "late") is None


async def test_a_collection_of_a_project_is_not_found_among_collections(catalog: Catalog, ann: User) -> None:
    _, of_it = await made(catalog, ann)
    assert await catalog.by_id(of_it.id) is None
    assert await catalog.by_name([ann.id, ANYONE], of_it.name) is None
    assert await catalog.page([ann.id, ANYONE]) == ([], 0)


async def test_with_the_collection_everything_of_the_project_is_forgotten(
    catalog: Catalog, projects: Projects, shares: ProjectShares, ann: User, bob: User
) -> None:
    project, of_it = await made(catalog, ann)
    kept, _ = await made(catalog, ann)
    assert await shares.add(share(project, with_user=bob))
    assert await shares.add(share(kept, with_user=bob))
    await catalog.begin_drop(of_it.id)
    await catalog.finish_drop(of_it.id)
    await catalog.finish_drop(of_it.id)
    assert await shares.of_project(project.id) == []
    assert await projects.of_user(ann.id) == [kept]
    assert await catalog.unfinished() == []


async def test_projects_come_oldest_first(catalog: Catalog, projects: Projects, ann: User) -> None:
    by_age = {age_s: (await made(catalog, ann, age_s=age_s))[0] for age_s in (1, 9, 5)}
    assert await projects.of_user(ann.id) == [by_age[9], by_age[5], by_age[1]]
    some = await projects.readable(Reader(ann.id), [by_age[1].id, by_age[9].id, str(uuid4())])
    assert [one.project for one in some] == [by_age[9], by_age[1]]


async def test_a_project_is_renamed(catalog: Catalog, projects: Projects, ann: User) -> None:
    project, _ = await made(catalog, ann)
    assert await projects.rename(project.id, "New") == replace(project, name="New")
    assert await projects.of_user(ann.id) == [replace(project, name="New")]
    assert await projects.rename(str(uuid4()), "New") is None


async def test_who_may_read_is_the_owner_the_sharee_and_who_has_the_token(
    catalog: Catalog, projects: Projects, shares: ProjectShares, ann: User, bob: User
) -> None:
    project, _ = await made(catalog, ann)
    other, _ = await made(catalog, ann)
    assert await readable(projects, bob.id) == await readable(projects, "", TOKEN) == []
    for_bob, by_token = share(project, with_user=bob), share(project, token=TOKEN)
    assert await shares.add(for_bob)
    assert await shares.add(by_token)
    assert await shares.of_project(project.id) == sorted([for_bob, by_token], key=lambda one: one.id)
    assert await readable(projects, bob.id) == await readable(projects, "", TOKEN) == [project]
    assert await readable(projects, bob.id, TOKEN) == [project]
    assert await readable(projects, "", TOKEN[:-1]) == await readable(projects, "") == []
    assert await readable(projects, "", "\ud800") == []
    assert not await shares.remove(other.id, by_token.id)
    assert await shares.remove(project.id, by_token.id)
    assert not await shares.remove(project.id, by_token.id)
    assert await readable(projects, "", TOKEN) == []
    assert TOKEN not in repr(by_token)
    assert TOKEN not in repr(Reader("", TOKEN))


async def test_what_is_shared_with_a_user_is_listed_with_its_owner(
    catalog: Catalog, shares: ProjectShares, ann: User, bob: User
) -> None:
    project, of_it = await made(catalog, ann)
    await shares.add(share(project, with_user=bob))
    await shares.add(share(project, token=TOKEN))
    [found] = await shares.shared_with(bob.id)
    assert (found.project, found.owner_email, found.shared_at) == (project, ann.email, NOW)
    assert await shares.shared_with(ann.id) == []
    await catalog.begin_drop(of_it.id)
    assert await shares.shared_with(bob.id) == []


async def test_a_project_has_one_share_of_a_kind_whoever_comes_first(
    catalog: Catalog, shares: ProjectShares, ann: User, bob: User
) -> None:
    project, _ = await made(catalog, ann)
    kinds: list[dict[str, Any]] = [{"with_user": bob}, {"token": TOKEN}]
    for such in kinds:
        both = await asyncio.gather(
            *(shares.add(share(project, **such)) for _ in range(2)),
            return_exceptions=True,
        )
        assert [one for one in both if not isinstance(one, Conflict)] == [True]
    second, _ = await made(catalog, ann)
    assert await shares.add(share(second, token="another"))


async def test_a_project_that_is_gone_takes_nothing(
    catalog: Catalog, shares: ProjectShares, ann: User
) -> None:
    project, of_it = await made(catalog, ann)
    await catalog.begin_drop(of_it.id)
    assert not await shares.add(share(project, token=TOKEN))
    assert await ProjectUrls(catalog.database).submit(project.id, [], most=1) is None
