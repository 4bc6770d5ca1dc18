"""The official client of the Model Context Protocol, in one process with the server."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent
from starlette.types import ASGIApp

SERVER = "http://localhost:8000"
URL = f"{SERVER}/mcp"

NEWEST = "2026-07-28"
"""The revision of the protocol without a handshake."""

MODES = ("legacy", "auto")
"""With the handshake of older revisions, and whatever both sides know best."""


@asynccontextmanager
async def connected(
    app: ASGIApp, *, headers: Mapping[str, str] | None = None, mode: str = "auto"
) -> AsyncIterator[Client]:
    """A client of ``app`` that sends ``headers`` with every request."""
    transport = httpx2.ASGITransport(app=app)
    async with (
        httpx2.AsyncClient(transport=transport, headers=dict(headers or {})) as http,
        Client(streamable_http_client(URL, http_client=http), mode=mode) as client,
    ):
        yield client


@asynccontextmanager
async def kept(app: ASGIApp, *, mode: str) -> AsyncIterator[Client]:
    """As `connected`, for a fixture, which ends in another task than it began in: a client refuses that."""
    ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def keep() -> None:
        async with connected(app, mode=mode) as client:
            ready.set_result(client)
            await over.wait()

    keeping = asyncio.create_task(keep())
    await asyncio.wait((keeping, ready), return_when=asyncio.FIRST_COMPLETED)
    try:
        if ready.done():
            yield ready.result()
    finally:
        over.set()
        await keeping


def text_of(result: CallToolResult) -> str:
    """What a result says in words, which is one piece."""
    [content] = result.content
    assert isinstance(content, TextContent)
    return content.text


async def called(client: Client, tool: str, **arguments: Any) -> Any:
    """What a tool gives."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, text_of(result)
    return result.structured_content


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    """What a tool says went wrong."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    assert result.structured_content is None
    return text_of(result)


def message(method: str, message_id: int | None = 1, **params: Any) -> dict[str, Any]:
    """One message of JSON-RPC."""
    given: dict[str, Any] = {} if message_id is None else {"id": message_id}
    return {"jsonrpc": "2.0", **given, "method": method, "params": params}


async def fill(rest: httpx.AsyncClient, name: str, texts: Sequence[str], **headers: str) -> str:
    """Make a collection of chunks 0, 1, ... of 'a.md'; each counts the a, b and c of its text. Its UUID."""
    made = await rest.post(
        "/api/v1/collections", json={"name": name, "dimension": 3, "metric": "cosine"}, headers=headers
    )
    assert made.status_code == 201, made.text
    rows = [
        {
            "id": f"{name}-{index}",
            "vector": [text.count(letter) for letter in "abc"],
            "payload": {"content": text, "source": "a.md", "chunk_index": index, "even": index % 2 == 0},
        }
        for index, text in enumerate(texts)
    ]
    stored = await rest.post(f"/api/v1/collections/{name}/vectors", json={"vectors": rows}, headers=headers)
    assert stored.status_code == 201, stored.text
    page = (await rest.get("/api/collections", params={"name": name}, headers=headers)).json()
    return str(page["items"][0]["id"])
