"""An export whose shard fails halfway, over a real connection: nobody can take it for the whole."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any
from unittest.mock import patch

import httpx
import pytest
import uvicorn

from cluster.engine import Engine
from serve.app import build_app
from serve.services import Services
from serve.settings import ServeSettings
from tests.contract.vectory_client import User, sign_in
from vectoray.core.errors import ShardUnavailable
from vectoray.core.model import Collection, Point


@pytest.fixture
async def connected(
    settings: ServeSettings, open_services: Callable[[], Awaitable[Services]]
) -> AsyncIterator[User]:
    """Somebody who is signed in, over a socket."""
    app = build_app(settings, open_services=open_services, anonymous_allowed=True)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none"))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    port = listening.getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        yield await sign_in(client, "ann@example.com")
    server.should_exit = True
    await serving


async def test_the_connection_breaks_before_the_documents_end(connected: User, engine: Engine) -> None:
    path = await connected.collection()
    await connected.insert(path, {"id": "a", "vector": [1, 0, 0]}, {"id": "b", "vector": [1, 0, 0]})
    scan = engine.scan

    async def fail_after_one(collection: Collection, **options: Any) -> AsyncIterator[list[Point]]:
        async for batch in scan(collection, **options):
            yield batch[:1]
            raise ShardUnavailable("A shard did not answer.")

    received = b""
    with patch.object(engine, "scan", fail_after_one):
        request = connected.client.build_request("POST", f"{path}/export", headers=connected.headers)
        response = await connected.client.send(request, stream=True)
        assert response.status_code == 200
        parts = response.aiter_bytes()
        with suppress(httpx.RemoteProtocolError):
            while True:
                received += await anext(parts)
        await response.aclose()
    assert b'"vectors":[{' in received
    with pytest.raises(json.JSONDecodeError):
        json.loads(received)
    # The server goes on, and a whole export is one.
    whole = (await connected.send("POST", f"{path}/export")).json()
    assert {vector["id"] for vector in whole["vectors"]} == {"a", "b"}
