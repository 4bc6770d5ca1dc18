"""The Model Context Protocol over HTTP: no sessions, no streams, and what is refused before any tool."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from cluster.engine import Engine
from serve.app import build_app
from serve.services import Services
from serve.settings import ServeSettings
from tests.contract.conftest import MAX_BODY_BYTES, running
from tests.contract.envelopes import assert_mcp_error
from tests.contract.mcp_client import MODES, called, connected, fill, message

Open = Callable[[], Awaitable[Services]]

JSON = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
CALL = message("tools/call", name="list_collections", arguments={})
INITIALIZE = message(
    "initialize",
    protocolVersion="2025-06-18",
    capabilities={},
    clientInfo={"name": "tests", "version": "1"},
)


class Alternating:
    """Gateways that get the requests in turn."""

    def __init__(self, *apps: ASGIApp) -> None:
        self._apps = apps
        self.requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests += 1
        await self._apps[self.requests % len(self._apps)](scope, receive, send)


@pytest.fixture
def app(settings: ServeSettings, open_services: Open) -> ASGIApp:
    return build_app(settings, open_services=open_services, anonymous_allowed=True)


@pytest.fixture
async def rest(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    async with running(app) as opened:
        yield opened


async def test_a_handshake_opens_no_session(rest: httpx.AsyncClient) -> None:
    response = await rest.post("/mcp", json=INITIALIZE, headers=JSON)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.json()["result"]["protocolVersion"] == "2025-06-18"
    assert "mcp-session-id" not in response.headers
    assert len(response.headers["x-request-id"]) == 32


async def test_a_tool_is_called_without_a_handshake_and_answered_in_json(rest: httpx.AsyncClient) -> None:
    response = await rest.post("/mcp", json=CALL, headers=JSON)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.json()["id"] == 1
    assert response.json()["result"]["structuredContent"] == {"collections": [], "total": 0}


@pytest.mark.parametrize("mode", MODES)
async def test_any_gateway_answers_any_request(
    settings: ServeSettings, open_services: Open, mode: str
) -> None:
    services = await open_services()

    async def same() -> Services:
        return services

    first, second = (build_app(settings, open_services=same, anonymous_allowed=True) for _ in range(2))
    gateways = Alternating(first, second)
    async with running(first):
        async with connected(gateways, mode=mode) as client:
            for _ in range(3):
                assert (await called(client, "list_collections"))["total"] == 0
        assert gateways.requests >= 4


@pytest.mark.parametrize("mode", MODES)
async def test_many_clients_at_a_time_get_their_own_answers(
    app: ASGIApp, rest: httpx.AsyncClient, mode: str
) -> None:
    await fill(rest, "docs", [f"a{'b' * index}" for index in range(20)])

    async def ask(index: int) -> str:
        async with connected(app, mode=mode) as client:
            read = await called(client, "read_chunk", collection="docs", id=f"docs-{index}")
            return str(read["chunk"]["text"])

    assert await asyncio.gather(*map(ask, range(20))) == [f"a{'b' * index}" for index in range(20)]


async def test_nothing_runs_on_after_an_answer(rest: httpx.AsyncClient) -> None:
    await rest.post("/mcp", json=CALL, headers=JSON)
    before = asyncio.all_tasks()
    for body in (INITIALIZE, CALL, message("notifications/initialized", None), message("none")):
        await rest.post("/mcp", json=body, headers=JSON)
    assert asyncio.all_tasks() == before


async def test_a_notification_is_accepted(rest: httpx.AsyncClient) -> None:
    response = await rest.post("/mcp", json=message("notifications/initialized", None), headers=JSON)
    assert (response.status_code, response.content) == (202, b"")


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "PATCH", "OPTIONS"])
async def test_there_is_no_other_method(rest: httpx.AsyncClient, method: str) -> None:
    response = await rest.request(method, "/mcp", headers={"accept": "text/event-stream"})
    assert_mcp_error(response, 405)
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/mcp/", "/mcp/sse", "/mcp/../mcp/x"])
async def test_there_is_no_other_path(rest: httpx.AsyncClient, path: str) -> None:
    assert_mcp_error(await rest.post(path, json=CALL, headers=JSON), 404)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ('{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"a": NaN}}', "not valid JSON"),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "\xff"}', "not valid JSON"),
        ("[" * 50_000, "not valid JSON"),
        (
            '{"jsonrpc": "2.0", "id": 1, "method": "a", "params": {"a": ' + "[" * 500 + "]" * 500 + "}}",
            "deep",
        ),
        ('[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]', "one message"),
        ('{"id": 1, "method": "ping"}', "one message"),
        ('{"jsonrpc": "2.0", "id": {}, "method": "ping"}', "one message"),
        ('"ping"', "one message"),
    ],
)
async def test_what_is_no_message_is_refused(rest: httpx.AsyncClient, body: str | bytes, told: str) -> None:
    response = await rest.post("/mcp", content=body, headers=JSON)
    assert_mcp_error(response, 400, -32700 if told == "not valid JSON" else -32600)
    assert told in response.json()["error"]["message"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/msgpack", ""])
async def test_a_body_that_says_it_is_something_else_is_refused(
    rest: httpx.AsyncClient, content_type: str
) -> None:
    response = await rest.post("/mcp", json=CALL, headers=JSON | {"content-type": content_type})
    assert_mcp_error(response, 400)


async def test_a_method_that_is_not_there_is_an_error_of_json_rpc(rest: httpx.AsyncClient) -> None:
    response = await rest.post("/mcp", json=message("resources/list"), headers=JSON)
    assert response.json()["error"]["code"] == -32601
    assert response.json()["id"] == 1


async def test_a_revision_that_is_not_known_is_refused_with_those_that_are(rest: httpx.AsyncClient) -> None:
    response = await rest.post("/mcp", json=CALL, headers=JSON | {"mcp-protocol-version": "2031-01-01"})
    assert response.status_code == 400
    assert response.json()["error"]["code"] < 0


async def test_a_body_over_the_limit_is_refused(rest: httpx.AsyncClient) -> None:
    large = message("ping", padding="x" * MAX_BODY_BYTES)
    assert_mcp_error(await rest.post("/mcp", json=large, headers=JSON), 413)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b" " * (MAX_BODY_BYTES // 2)

    assert_mcp_error(await rest.post("/mcp", content=chunks(), headers=JSON), 413)


@pytest.mark.parametrize("headers", [{"host": "evil.example"}, {"origin": "https://evil.example"}])
async def test_other_hosts_and_origins_are_refused(rest: httpx.AsyncClient, headers: dict[str, str]) -> None:
    assert_mcp_error(await rest.post("/mcp", json=CALL, headers=JSON | headers), 403)


async def test_a_page_of_this_machine_may_call(rest: httpx.AsyncClient) -> None:
    page = {"origin": "http://localhost:6274"}
    asked = page | {
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type, mcp-protocol-version",
    }
    allowed = await rest.options("/mcp", headers=asked)
    assert allowed.status_code == 204
    assert "mcp-protocol-version" in allowed.headers["access-control-allow-headers"]
    response = await rest.post("/mcp", json=CALL, headers=JSON | page)
    assert response.headers["access-control-allow-origin"] == page["origin"]


@pytest.mark.parametrize("version", [None, "2025-11-25"])
async def test_an_answer_that_does_not_come_in_time_is_given_up(
    settings: ServeSettings, open_services: Open, engine: Engine, version: str | None
) -> None:
    given_up = asyncio.Event()

    async def never(*_: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    hasty = settings.model_copy(update={"request_timeout_s": 1.0})
    headers = JSON if version is None else JSON | {"mcp-protocol-version": version}
    async with running(build_app(hasty, open_services=open_services, anonymous_allowed=True)) as rest:
        await fill(rest, "docs", ["a"])
        call = message("tools/call", name="search", arguments={"collection": "docs", "text": "a"})
        with patch.object(engine, "search", never):
            response = await rest.post("/mcp", json=call, headers=headers)
    assert_mcp_error(response, 503, -32603)
    assert given_up.is_set()


async def test_more_than_may_be_at_a_time_is_refused(
    settings: ServeSettings, open_services: Open, engine: Engine
) -> None:
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def slow(*_: object) -> Any:
        inside.set()
        await go_on.wait()
        raise ZeroDivisionError

    one = settings.model_copy(update={"max_concurrent_requests": 1})
    async with running(build_app(one, open_services=open_services, anonymous_allowed=True)) as rest:
        await fill(rest, "docs", ["a"])
        call = message("tools/call", name="search", arguments={"collection": "docs", "text": "a"})
        with patch.object(engine, "search", slow):
            first = asyncio.create_task(rest.post("/mcp", json=call, headers=JSON))
            await inside.wait()
            assert_mcp_error(await rest.post("/mcp", json=CALL, headers=JSON), 503, -32603)
            go_on.set()
            assert (await first).json()["result"]["isError"] is True
        assert (await rest.post("/mcp", json=CALL, headers=JSON)).status_code == 200
