"""Projects as tools of the Model Context Protocol: what they give, and to whom."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from starlette.types import ASGIApp

from cluster.engine import Engine
from pipelines.url_chunks import chunk_id
from serve.app import build_app
from serve.settings import ServeSettings
from tests.contract.conftest import running
from tests.contract.mcp_client import called, connected, refusal, text_of
from tests.contract.web_site import Open, Opened, Site, User
from vectoray.core.errors import ShardUnavailable

PAGE = "https://example.com/page"
TEXTS = ("aab", "abb", "bbb", "bcc", "ccc")
LIMITED = "This API key is limited to certain collections; use one that is not."


@dataclass(frozen=True)
class World:
    """A project of Ann's, which holds one page, and Bob."""

    app: ASGIApp
    site: Site
    ann: User
    bob: User
    project: str
    url_id: str

    async def get(self, who: User | None, tool: str, **arguments: Any) -> Any:
        async with connected(self.app, headers=None if who is None else who.headers) as client:
            return await called(client, tool, **arguments)

    async def words(self, who: User | None, tool: str, **arguments: Any) -> str:
        async with connected(self.app, headers=None if who is None else who.headers) as client:
            return text_of(await client.call_tool(tool, arguments))

    async def refused(self, who: User | None, tool: str, **arguments: Any) -> str:
        async with connected(self.app, headers=None if who is None else who.headers) as client:
            return await refusal(client, tool, **arguments)

    async def share(self) -> None:
        """Ann's project with Bob."""
        path, body = f"/projects/{self.project}/shares", {"shared_with_user_id": self.bob.id}
        assert (await self.site.call("POST", path, self.ann, json=body)).status_code == 201

    def chunk(self, index: int) -> dict[str, Any]:
        """A chunk of the page as it is read."""
        return {"chunk_id": self.id_of(index), "content": TEXTS[index], "chunk_index": index}

    def id_of(self, index: int) -> str:
        return chunk_id(self.url_id, index)

    @property
    def calls(self) -> dict[str, dict[str, Any]]:
        """Each tool that asks about the project."""
        return {
            "search_projects": {"query": "a", "project_ids": [self.project]},
            "read_project_chunk": {"project_id": self.project, "chunk_id": self.id_of(0)},
        }


@pytest.fixture
async def world(settings: ServeSettings, open_services: Open) -> AsyncIterator[World]:
    opened = Opened(open_services)
    app = build_app(settings, open_services=opened, anonymous_allowed=True)
    async with running(app) as client:
        site = Site(client, opened)
        ann, bob = await site.sign_up("ann"), await site.sign_up("bob")
        project = await site.project(ann, "Research")
        url_id = await site.submit(ann, project, PAGE)
        await site.store(url_id, *TEXTS)
        yield World(app, site, ann, bob, project, url_id)


async def test_own_and_shared_projects_are_listed_oldest_first(world: World) -> None:
    own = await world.site.project(world.bob, "Notes")
    await world.share()
    listed = await world.get(world.bob, "list_projects")
    for one in listed["projects"]:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", one.pop("created_at"))
    assert listed == {
        "projects": [
            {"project_id": world.project, "project_name": "Research", "shared": True},
            {"project_id": own, "project_name": "Notes", "shared": False},
        ],
        "total": 2,
    }
    assert (await world.words(world.bob, "list_projects")).splitlines() == [
        "2 of 2 projects, oldest first.",
        f"- Research (id {world.project}), shared by somebody else",
        f"- Notes (id {own})",
    ]
    page = await world.get(world.bob, "list_projects", skip=1, limit=1)
    assert ([one["project_id"] for one in page["projects"]], page["total"]) == ([own], 2)
    assert await world.words(world.bob, "list_projects", skip=2) == "No projects here; there are 2 in all."
    assert (await world.get(world.ann, "list_projects", limit=1))["projects"][0]["shared"] is False


async def test_a_search_finds_what_is_closest_in_the_projects_named_or_in_all(world: World) -> None:
    other = await world.site.project(world.ann)
    await world.site.store(await world.site.submit(world.ann, other, f"{PAGE}/2"), "aa", "cc")
    everywhere = await world.get(world.ann, "search_projects", query="a", top_k=2)
    assert [(one["content"], one["project_id"]) for one in everywhere["results"]] == [
        ("aa", other),
        ("aab", world.project),
    ]
    named = {"query": "aab", "project_ids": [world.project], "top_k": 1}
    found = {
        "content": "aab",
        "url": PAGE,
        "chunk_id": world.id_of(0),
        "project_id": world.project,
        "score": pytest.approx(1.0),
    }
    assert await world.get(world.ann, "search_projects", **named) == {"results": [found]}
    assert await world.words(world.ann, "search_projects", **named) == (
        "1 chunk, best first.\n\n"
        f"1. id {world.id_of(0)}, project {world.project}, score 1.0000, from {PAGE}\naab"
    )
    assert len((await world.get(world.ann, "search_projects", query="a"))["results"]) == 5


async def test_a_search_of_nothing_finds_nothing(world: World) -> None:
    assert await world.get(world.bob, "search_projects", query="a") == {"results": []}
    assert (
        await world.words(world.bob, "search_projects", query="a") == "Nothing in the projects answers that."
    )


@pytest.mark.parametrize(
    ("index", "neighbours", "before", "after"),
    [(2, 0, [], []), (2, 1, [1], [3]), (2, 5, [0, 1], [3, 4]), (0, 1, [], [1]), (4, 1, [3], [])],
)
async def test_a_chunk_is_read_with_its_neighbours_on_the_page(
    world: World, index: int, neighbours: int, before: list[int], after: list[int]
) -> None:
    other = await world.site.submit(world.ann, world.project, f"{PAGE}/2")
    await world.site.store(other, *TEXTS)
    asked = {"project_id": world.project, "chunk_id": world.id_of(index), "neighbours": neighbours}
    assert await world.get(world.ann, "read_project_chunk", **asked) == {
        "project_id": world.project,
        "url": PAGE,
        "chunk": world.chunk(index),
        "before": [world.chunk(one) for one in before],
        "after": [world.chunk(one) for one in after],
    }
    titles = [*(("Before", one) for one in before), ("Chunk", index), *(("After", one) for one in after)]
    assert await world.words(world.ann, "read_project_chunk", **asked) == "\n\n".join(
        f"{word}: id {world.id_of(one)}, number {one}, from {PAGE}\n{TEXTS[one]}" for word, one in titles
    )


async def test_ids_are_read_in_any_form_of_a_uuid(world: World) -> None:
    asked = {"project_id": world.project.upper(), "chunk_id": world.id_of(1).upper()}
    assert (await world.get(world.ann, "read_project_chunk", **asked))["chunk"] == world.chunk(1)


async def test_a_chunk_that_the_project_does_not_hold_is_not_there(world: World) -> None:
    empty = await world.site.project(world.ann)
    none = str(uuid4())
    for project, chunk in ((world.project, none), (world.project, "none"), (empty, world.id_of(0))):
        told = await world.refused(world.ann, "read_project_chunk", project_id=project, chunk_id=chunk)
        assert told == f"Chunk '{chunk}' does not exist in this project."


async def test_whom_a_project_is_shared_with_searches_and_reads_it(world: World) -> None:
    await world.share()
    found = await world.get(world.bob, "search_projects", query="aab", top_k=1)
    assert found["results"][0]["chunk_id"] == world.id_of(0)
    for tool, arguments in world.calls.items():
        assert await world.get(world.bob, tool, **arguments)


async def test_for_everybody_else_the_project_is_not_there(world: World) -> None:
    for who in (world.bob, None):
        assert await world.get(who, "list_projects") == {"projects": [], "total": 0}
        for tool, arguments in world.calls.items():
            told = await world.refused(who, tool, **arguments)
            assert told == f"Project '{world.project}' does not exist."


async def test_who_has_no_credential_has_no_projects(world: World) -> None:
    assert await world.get(None, "list_projects") == {"projects": [], "total": 0}
    assert await world.get(None, "search_projects", query="a") == {"results": []}


async def test_a_key_for_reading_is_enough(world: World) -> None:
    key = await world.site.key(world.ann, scopes=["read"])
    assert (await world.get(key, "list_projects"))["total"] == 1
    for tool, arguments in world.calls.items():
        assert await world.get(key, tool, **arguments)


async def test_a_key_for_certain_collections_reaches_no_projects(world: World) -> None:
    made = {"name": "docs", "dimension": 3, "metric": "cosine"}
    await world.site.client.post("/api/v1/collections", json=made, headers=world.ann.headers)
    listed = (await world.site.client.get("/api/collections", headers=world.ann.headers)).json()
    key = await world.site.key(world.ann, collections=[listed["items"][0]["id"]])
    for tool, arguments in {"list_projects": {}, **world.calls}.items():
        assert await world.refused(key, tool, **arguments) == LIMITED


@pytest.mark.parametrize(
    ("tool", "arguments", "at"),
    [
        ("search_projects", {}, "query"),
        ("search_projects", {"query": ""}, "query"),
        ("search_projects", {"query": "a" * 10_001}, "query"),
        ("search_projects", {"query": "a", "top_k": 0}, "top_k"),
        ("search_projects", {"query": "a", "top_k": 101}, "top_k"),
        ("search_projects", {"query": "a", "project_ids": []}, "project_ids"),
        ("search_projects", {"query": "a", "project_ids": ["a"] * 101}, "project_ids"),
        ("search_projects", {"query": "a", "text": "a"}, "text"),
        ("read_project_chunk", {"project_id": "a"}, "chunk_id"),
        ("read_project_chunk", {"project_id": "a", "chunk_id": "a" * 37}, "chunk_id"),
        ("read_project_chunk", {"project_id": "a", "chunk_id": "a", "neighbours": 6}, "neighbours"),
        ("list_projects", {"limit": 101}, "limit"),
        ("list_projects", {"skip": -1}, "skip"),
    ],
)
async def test_arguments_that_cannot_be_are_named(
    world: World, tool: str, arguments: dict[str, Any], at: str
) -> None:
    assert (await world.refused(world.ann, tool, **arguments)).startswith(at)


async def test_what_cannot_be_answered_now_is_told(world: World, engine: Engine) -> None:
    assert await world.refused(world.ann, "search_projects", query=" ") == "'query' is empty."
    with patch.object(engine, "search", side_effect=ShardUnavailable("A shard does not answer.")):
        assert await world.refused(world.ann, "search_projects", query="a") == "A shard does not answer."
