"""The tools of the Model Context Protocol, called by its official client."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from starlette.types import ASGIApp

import vectoray
from cluster.engine import Engine
from serve.app import build_app
from serve.services import Services
from serve.settings import ServeSettings
from serve.surfaces.mcp.tools import TOOLS
from tests.contract.conftest import running
from tests.contract.mcp_client import MODES, NEWEST, called, connected, fill, kept, refusal, text_of
from vectoray.core.errors import CorruptData, ShardUnavailable

TEXTS = ("aab", "abb", "bbb", "bcc", "ccc")


@pytest.fixture
def app(settings: ServeSettings, open_services: Callable[[], Awaitable[Services]]) -> ASGIApp:
    return build_app(settings, open_services=open_services, anonymous_allowed=True)


@pytest.fixture
async def rest(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    async with running(app) as opened:
        yield opened


@pytest.fixture
async def docs(rest: httpx.AsyncClient) -> str:
    """The UUID of a collection of five chunks."""
    return await fill(rest, "docs", TEXTS)


@pytest.fixture(params=MODES)
async def client(app: ASGIApp, docs: str, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    async with kept(app, mode=request.param) as opened:
        yield opened


async def test_the_server_introduces_itself(client: Client) -> None:
    info = client.server_info
    assert info is not None
    assert (info.name, info.title, info.version) == ("vectoray", "Vectoray", vectoray.__version__)
    assert "search" in str(client.instructions)
    capabilities = client.server_capabilities
    assert capabilities.tools is not None
    assert (capabilities.resources, capabilities.prompts, capabilities.logging) == (None, None, None)


async def test_a_client_of_the_newest_revision_needs_no_handshake(app: ASGIApp, docs: str) -> None:
    async with connected(app, mode=NEWEST) as client:
        assert client.protocol_version == NEWEST
        assert (await called(client, "list_collections"))["collections"][0]["id"] == docs


async def test_every_tool_is_described_and_read_only(client: Client) -> None:
    listed = (await client.list_tools()).tools
    assert [tool.name for tool in listed] == [tool.name for tool in TOOLS]
    for tool in listed:
        assert tool.title
        assert tool.description
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint is True
        assert tool.annotations.open_world_hint is False
        assert tool.input_schema["additionalProperties"] is False
        for name, schema in tool.input_schema["properties"].items():
            assert schema["description"], name
        assert tool.output_schema is not None
        assert tool.output_schema["type"] == "object"


async def test_collections_are_listed(client: Client, rest: httpx.AsyncClient, docs: str) -> None:
    plain = {"name": "vectors-only", "dimension": 2, "metric": "dotproduct"}
    assert (await rest.post("/api/v1/collections", json=plain)).status_code == 201
    listed = await called(client, "list_collections")
    first, second = listed["collections"]
    assert listed["total"] == 2
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", first.pop("updated_at"))
    assert first == {
        "id": docs,
        "name": "docs",
        "description": "",
        "vectors": 5,
        "dimension": 3,
        "metric": "cosine",
        "searchable_by_text": True,
    }
    assert (second["name"], second["metric"], second["searchable_by_text"]) == (
        "vectors-only",
        "dot_product",
        False,
    )
    assert (await called(client, "list_collections", name="docs"))["total"] == 1
    page = await called(client, "list_collections", skip=1, limit=1)
    assert ([one["name"] for one in page["collections"]], page["total"]) == (["vectors-only"], 2)
    words = text_of(await client.call_tool("list_collections", {}))
    assert words.splitlines() == [
        "2 of 2 collections, oldest first.",
        f"- docs (id {docs}), 5 vectors",
        f"- vectors-only (id {second['id']}), 0 vectors, not searchable by text",
    ]


async def test_a_search_finds_what_is_closest_in_meaning(client: Client, docs: str) -> None:
    found = await called(client, "search", collection="docs", text="a a b", top_k=2)
    assert (found["collection"], found["collection_id"]) == ("docs", docs)
    assert found["results"] == [
        {
            "id": "docs-0",
            "score": pytest.approx(1.0),
            "text": "aab",
            "source": "a.md",
            "metadata": {"source": "a.md", "chunk_index": 0, "even": True},
        },
        {
            "id": "docs-1",
            "score": pytest.approx(0.8),
            "text": "abb",
            "source": "a.md",
            "metadata": {"source": "a.md", "chunk_index": 1, "even": False},
        },
    ]


async def test_a_search_is_readable(client: Client) -> None:
    words = text_of(await client.call_tool("search", {"collection": "docs", "text": "ccc", "top_k": 1}))
    assert words == (
        "1 chunk of collection 'docs', best first.\n\n"
        "1. id docs-4, score 1.0000, from a.md\nccc\n"
        'Metadata: {"source":"a.md","chunk_index":4,"even":true}'
    )
    nothing = await client.call_tool("search", {"collection": "docs", "text": "c", "filters": {"even": 3}})
    assert text_of(nothing) == "Nothing in collection 'docs' answers that."


async def test_a_collection_is_addressed_by_id_too(client: Client, docs: str) -> None:
    found = await called(client, "search", collection=docs.upper(), text="b", top_k=1)
    assert found["results"][0]["id"] == "docs-2"


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({"even": False}, {"docs-1", "docs-3"}),
        ({"chunk_index": 2}, {"docs-2"}),
        ({"chunk_index": 2.0, "even": True}, {"docs-2"}),
        ({"source": "b.md"}, set()),
        ({}, {f"docs-{index}" for index in range(5)}),
        (None, {f"docs-{index}" for index in range(5)}),
    ],
)
async def test_filters_keep_what_has_exactly_these_values(
    client: Client, filters: dict[str, Any] | None, ids: set[str]
) -> None:
    found = await called(client, "search", collection="docs", text="abc", filters=filters)
    assert {one["id"] for one in found["results"]} == ids


async def test_a_chunk_is_read_with_its_neighbours(client: Client) -> None:
    read = await called(client, "read_chunk", collection="docs", id="docs-3", neighbours=2)
    assert read["chunk"] == {
        "id": "docs-3",
        "text": "bcc",
        "source": "a.md",
        "chunk_index": 3,
        "metadata": {"source": "a.md", "chunk_index": 3, "even": False},
    }
    assert [one["text"] for one in read["before"]] == ["abb", "bbb"]
    assert [one["text"] for one in read["after"]] == ["ccc"]
    words = text_of(
        await client.call_tool("read_chunk", {"collection": "docs", "id": "docs-3", "neighbours": 1})
    )
    assert words == (
        "Before: id docs-2, number 2, from a.md\nbbb\n\n"
        "Chunk: id docs-3, number 3, from a.md\nbcc\n"
        'Metadata: {"source":"a.md","chunk_index":3,"even":false}\n\n'
        "After: id docs-4, number 4, from a.md\nccc"
    )


async def test_a_chunk_is_read_alone_unless_more_is_asked_for(client: Client) -> None:
    read = await called(client, "read_chunk", collection="docs", id="docs-3")
    assert (read["before"], read["after"]) == ([], [])


async def test_a_vector_without_text_or_source_is_read(client: Client, rest: httpx.AsyncClient) -> None:
    row = {"id": "bare", "vector": [1, 0, 0], "payload": {"source": 7, "chunk_index": "x", "n": None}}
    await rest.post("/api/v1/collections/docs/vectors", json={"vectors": [row]})
    result = await client.call_tool("read_chunk", {"collection": "docs", "id": "bare", "neighbours": 1})
    assert result.structured_content == {
        "chunk": {
            "id": "bare",
            "text": None,
            "source": None,
            "chunk_index": None,
            "metadata": {"source": 7, "chunk_index": "x", "n": None},
        },
        "before": [],
        "after": [],
    }
    assert "(no text)" in text_of(result)


@pytest.mark.parametrize(
    ("tool", "arguments", "at"),
    [
        ("search", {"collection": "docs"}, "text"),
        ("search", {"collection": "docs", "text": ""}, "text"),
        ("search", {"collection": "docs", "text": "a" * 10_001}, "text"),
        ("search", {"collection": "docs", "text": 7}, "text"),
        ("search", {"collection": "", "text": "a"}, "collection"),
        ("search", {"collection": "docs", "text": "a", "top_k": 0}, "top_k"),
        ("search", {"collection": "docs", "text": "a", "top_k": 101}, "top_k"),
        ("search", {"collection": "docs", "text": "a", "top_k": "5"}, "top_k"),
        ("search", {"collection": "docs", "text": "a", "limit": 5}, "limit"),
        ("search", {"collection": "docs", "text": "a", "filters": {"a": ["b"]}}, "filters.a"),
        ("search", {"collection": "docs", "text": "a", "filters": {str(i): i for i in range(33)}}, "filters"),
        ("read_chunk", {"collection": "docs", "id": "a" * 513}, "id"),
        ("read_chunk", {"collection": "docs", "id": "docs-1", "neighbours": 6}, "neighbours"),
        ("list_collections", {"limit": 101}, "limit"),
        ("list_collections", {"skip": -1}, "skip"),
    ],
)
async def test_arguments_that_cannot_be_are_named(
    client: Client, tool: str, arguments: dict[str, Any], at: str
) -> None:
    told = await refusal(client, tool, **arguments)
    assert told.startswith(at)
    assert told.endswith(".")
    assert "pydantic" not in told


@pytest.mark.parametrize(
    ("tool", "arguments", "told"),
    [
        ("search", {"collection": "none", "text": "a"}, "Collection 'none' does not exist."),
        ("search", {"collection": "docs", "text": " "}, "'text' is empty."),
        (
            "read_chunk",
            {"collection": "docs", "id": "gone"},
            "Vector 'gone' does not exist in collection 'docs'.",
        ),
        (
            "read_chunk",
            {"collection": "00000000-0000-0000-0000-000000000000", "id": "gone"},
            "Collection '00000000-0000-0000-0000-000000000000' does not exist.",
        ),
    ],
)
async def test_what_is_not_there_is_told_to_the_model(
    client: Client, tool: str, arguments: dict[str, Any], told: str
) -> None:
    assert await refusal(client, tool, **arguments) == told


async def test_a_collection_without_a_model_cannot_be_searched(
    client: Client, rest: httpx.AsyncClient
) -> None:
    await rest.post("/api/v1/collections", json={"name": "plain", "dimension": 2, "metric": "cosine"})
    told = await refusal(client, "search", collection="plain", text="a")
    assert "has no embedding model" in told


async def test_a_tool_that_is_not_there_is_an_error_of_the_protocol(client: Client) -> None:
    with pytest.raises(MCPError, match="There is no tool 'drop_collection'; there are: list_coll") as caught:
        await client.call_tool("drop_collection", {})
    assert caught.value.error.code == -32602


async def test_what_cannot_be_answered_now_is_told(client: Client, engine: Engine) -> None:
    with patch.object(engine, "search", side_effect=ShardUnavailable("A shard does not answer.")):
        told = await refusal(client, "search", collection="docs", text="a")
    assert told == "A shard does not answer."


@pytest.mark.parametrize(
    ("failure", "event"),
    [(ZeroDivisionError("secret"), "tool_crashed"), (CorruptData("secret"), "tool_failed")],
)
async def test_of_a_fault_of_ours_the_model_learns_the_number_to_find_it_by(
    client: Client,
    engine: Engine,
    logs: list[MutableMapping[str, Any]],
    failure: Exception,
    event: str,
) -> None:
    with patch.object(engine, "search", side_effect=failure):
        told = await refusal(client, "search", collection="docs", text="a")
    assert re.fullmatch(
        r"The server failed to answer. Its operator finds the reason under request [0-9a-f]{32}\.", told
    )
    [logged] = [one for one in logs if one["event"] == event]
    assert logged["tool"] == "search"
