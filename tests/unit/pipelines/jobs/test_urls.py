"""The URLs of projects to chunks: changed pages are replaced, unchanged ones cost no embedding."""

import asyncio
from typing import Any

import pytest

from pipelines.fetch import Validators
from pipelines.url_chunks import read_chunks
from storage.catalog import UrlRuns
from tests.unit.pipelines.jobs.world import World, idle, sentences
from vectoray.core.errors import Unavailable
from vectoray.core.model import Collection
from vectoray.core.projects import Project, ProjectUrl, UrlStatus

HOME = "http://site/"


@pytest.fixture
async def project(world: World) -> tuple[Project, Collection]:
    return await world.make_project()


@pytest.fixture
async def url(world: World, project: tuple[Project, Collection]) -> ProjectUrl:
    world.site.pages[HOME] = (1, "The first page.")
    return await world.add_url(project[0], HOME)


async def texts(world: World, project: tuple[Project, Collection], url: ProjectUrl) -> list[str | None]:
    return [point.text for point in await read_chunks(world.engine, project[1], url.id)]


async def again(world: World, url: ProjectUrl) -> None:
    assert await world.urls.begin_attempt(url.id, world.now()) is not None
    await idle(world.worker())
    assert (await world.url(url)).status is UrlStatus.STORED


async def test_a_page_is_fetched_cut_embedded_and_stored(
    world: World, project: tuple[Project, Collection], url: ProjectUrl
) -> None:
    world.site.pages[HOME] = (1, sentences(30))
    await idle(world.worker())
    assert (await world.url(url)).status is UrlStatus.STORED
    found = await texts(world, project, url)
    assert len(found) > 2
    assert all(text is not None and len(text) <= 512 for text in found)
    assert (await world.document(url.id)).chunks == len(found)


async def test_a_page_is_read_in_the_encoding_that_its_server_names(
    world: World, project: tuple[Project, Collection], url: ProjectUrl
) -> None:
    world.site.charset = "koi8-r"
    world.site.pages[HOME] = (1, "Съешь ещё этих мягких французских булок.")
    await idle(world.worker())
    assert await texts(world, project, url) == ["Съешь ещё этих мягких французских булок."]


async def test_an_unchanged_page_is_not_sent_again(
    world: World, project: tuple[Project, Collection], url: ProjectUrl
) -> None:
    await idle(world.worker())
    await again(world, url)
    assert world.site.asked == [None, Validators(HOME, '"1"', None)]
    assert world.embedder.texts == ["The first page."]
    assert await texts(world, project, url) == ["The first page."]


async def test_a_page_that_is_sent_again_with_the_same_text_is_not_embedded_again(
    world: World, project: tuple[Project, Collection], url: ProjectUrl
) -> None:
    await idle(world.worker())
    world.site.pages[HOME] = (2, "The first page.")
    await again(world, url)
    assert world.embedder.texts == ["The first page."]
    await again(world, url)
    assert world.site.asked[-1] == Validators(HOME, '"2"', None)


async def test_a_changed_page_replaces_all_chunks_of_the_old(
    world: World, project: tuple[Project, Collection], url: ProjectUrl
) -> None:
    world.site.pages[HOME] = (1, sentences(30))
    await idle(world.worker())
    world.site.pages[HOME] = (2, "Much shorter.")
    await again(world, url)
    assert await texts(world, project, url) == ["Much shorter."]


async def test_a_page_that_cannot_be_fetched_fails_with_the_reason_and_keeps_its_chunks(
    world: World, project: tuple[Project, Collection], url: ProjectUrl
) -> None:
    await idle(world.worker())
    world.site.pages.clear()
    await world.urls.begin_attempt(url.id, world.now())
    await idle(world.worker())
    failed = await world.url(url)
    assert (failed.status, failed.failure_reason) == (UrlStatus.FAILED, "The page was not found (404).")
    assert await texts(world, project, url) == ["The first page."]


async def test_a_write_that_is_cut_short_leaves_a_page_of_no_known_version(
    world: World,
    project: tuple[Project, Collection],
    url: ProjectUrl,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await idle(world.worker())
    world.site.pages[HOME] = (2, "Another page.")

    async def silent(*_: object, **__: object) -> Any:
        raise Unavailable("A part of the cluster is restarting; try again in a moment.")

    with monkeypatch.context() as patch:
        patch.setattr(world.engine, "write", silent)
        await world.urls.begin_attempt(url.id, world.now())
        await idle(world.worker())
    assert (await world.url(url)).status is UrlStatus.FAILED
    await again(world, url)
    assert world.site.asked[-1] is None
    assert await texts(world, project, url) == ["Another page."]


async def test_a_deleted_project_stops_the_fetching_of_its_pages(
    world: World, project: tuple[Project, Collection], url: ProjectUrl
) -> None:
    world.site.gate = asyncio.Event()
    worker = world.worker()
    await worker.look()
    await world.site.fetching.wait()
    await world.catalog.begin_drop(project[1].id)
    await worker.look()
    async with asyncio.timeout(10):
        while worker.running:  # noqa: ASYNC110  (of no event that tells)
            await asyncio.sleep(0.005)
    assert world.embedder.texts == []


async def test_after_the_death_of_its_worker_another_fetches_the_page(
    world: World, project: tuple[Project, Collection], url: ProjectUrl
) -> None:
    runs = UrlRuns(world.catalog.database)
    dead = await runs.claim_next("dead", world.now(), world.now())
    assert dead is not None
    assert await runs.fetched(dead, world.now())
    world.clock += 20
    await idle(world.worker())
    assert (await world.url(url)).status is UrlStatus.STORED
    assert await texts(world, project, url) == ["The first page."]
