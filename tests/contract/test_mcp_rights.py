"""Whose collections the tools reach: those of the caller's own credential, as in every API."""

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import httpx2
import pytest
from mcp.shared.exceptions import MCPError
from starlette.types import ASGIApp

from serve.app import build_app
from serve.services import Services
from serve.settings import ServeSettings
from tests.contract.conftest import running
from tests.contract.envelopes import assert_mcp_error
from tests.contract.mcp_client import called, connected, fill, message, refusal
from tests.contract.test_accounts import bearer, log_in, make_key

TEXTS = ("aab", "abb", "bbb")
JSON = {"accept": "application/json", "content-type": "application/json"}


@pytest.fixture
def app(settings: ServeSettings, open_services: Callable[[], Awaitable[Services]]) -> ASGIApp:
    return build_app(settings, open_services=open_services, anonymous_allowed=True)


@pytest.fixture
async def rest(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    async with running(app) as opened:
        yield opened


@pytest.fixture
async def ann(rest: httpx.AsyncClient) -> dict[str, str]:
    """Headers of a user with the collection 'plans'."""
    headers = bearer((await log_in(rest))["access_token"])
    await fill(rest, "plans", TEXTS, **headers)
    return headers


async def names(app: ASGIApp, headers: dict[str, str] | None = None) -> list[str]:
    """What a caller sees."""
    async with connected(app, headers=headers) as client:
        return [one["name"] for one in (await called(client, "list_collections"))["collections"]]


async def test_a_caller_without_a_credential_is_the_local_user_where_the_profile_allows_it(
    app: ASGIApp, rest: httpx.AsyncClient, ann: dict[str, str]
) -> None:
    await fill(rest, "notes", TEXTS)
    assert await names(app) == ["notes"]
    assert sorted(await names(app, ann)) == ["notes", "plans"]


async def test_a_caller_without_a_credential_is_refused_elsewhere(strict_client: httpx.AsyncClient) -> None:
    for body in (message("tools/list"), message("initialize"), message("ping")):
        response = await strict_client.post("/mcp", json=body, headers=JSON)
        assert_mcp_error(response, 401)
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.json()["error"]["data"]["code"] == "unauthenticated"


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer wrong"},
        {"authorization": "Basic YTpi"},
        {"authorization": "Bearer vy_0123456789abcdef_wrong"},
        {"x-api-key": "vy_wrong"},
        {"x-api-key": ""},
    ],
)
async def test_a_wrong_credential_is_refused_in_every_profile(
    rest: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    assert_mcp_error(await rest.post("/mcp", json=message("tools/list"), headers=JSON | headers), 401)


async def test_the_official_client_is_told_that_its_credential_is_wrong(
    app: ASGIApp, ann: dict[str, str]
) -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(MCPError, match="not valid"), flatten_subgroups=True):
        async with connected(app, headers=bearer("wrong")):
            pytest.fail("Connected.")


async def test_a_token_or_a_key_reaches_what_its_user_has(
    rest: httpx.AsyncClient, app: ASGIApp, ann: dict[str, str]
) -> None:
    key = (await make_key(rest, ann))["raw_key"]
    for headers in (ann, bearer(key), {"x-api-key": key}):
        async with connected(app, headers=headers) as client:
            found = await called(client, "search", collection="plans", text="aab", top_k=1)
            assert found["results"][0]["id"] == "plans-0"
            read = await called(client, "read_chunk", collection="plans", id="plans-1")
            assert read["chunk"]["text"] == "abb"


async def test_a_collection_of_somebody_else_is_not_there(
    rest: httpx.AsyncClient, app: ASGIApp, ann: dict[str, str]
) -> None:
    plans = (await rest.get("/api/collections", headers=ann)).json()["items"][0]["id"]
    bob = bearer((await log_in(rest, "bob@example.com"))["access_token"])
    for headers in (bob, None):
        assert await names(app, headers) == []
        async with connected(app, headers=headers) as client:
            for told in ("plans", plans):
                gone = f"Collection '{told}' does not exist."
                assert await refusal(client, "search", collection=told, text="a") == gone
                assert await refusal(client, "read_chunk", collection=told, id="plans-1") == gone


async def test_a_key_for_reading_is_enough(
    rest: httpx.AsyncClient, app: ASGIApp, ann: dict[str, str]
) -> None:
    key = (await make_key(rest, ann, permissions={"scopes": ["read"]}))["raw_key"]
    async with connected(app, headers=bearer(key)) as client:
        assert (await called(client, "list_collections"))["total"] == 1
        assert (await called(client, "search", collection="plans", text="a"))["results"]
        assert await called(client, "read_chunk", collection="plans", id="plans-0", neighbours=1)


async def test_a_key_for_certain_collections_reaches_no_other(
    rest: httpx.AsyncClient, app: ASGIApp, ann: dict[str, str]
) -> None:
    shown = await fill(rest, "shown", TEXTS, **ann)
    key = (await make_key(rest, ann, permissions={"collections": [shown]}))["raw_key"]
    assert await names(app, bearer(key)) == ["shown"]
    async with connected(app, headers=bearer(key)) as client:
        assert (await called(client, "search", collection="shown", text="a"))["results"]
        told = await refusal(client, "search", collection="plans", text="a")
        assert told == "Collection 'plans' does not exist."


async def test_a_revoked_key_reaches_nothing(
    rest: httpx.AsyncClient, app: ASGIApp, ann: dict[str, str]
) -> None:
    key = await make_key(rest, ann)
    async with connected(app, headers=bearer(key["raw_key"])) as client:
        assert (await called(client, "list_collections"))["total"] == 1
    await rest.delete(f"/api/keys/{key['id']}", headers=ann)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app)) as http:
        response = await http.post(
            "http://localhost:8000/mcp",
            json=message("tools/list"),
            headers=JSON | bearer(key["raw_key"]),
        )
    assert response.status_code == 401


async def test_a_key_is_limited_as_everywhere(rest: httpx.AsyncClient, ann: dict[str, str]) -> None:
    key = (await make_key(rest, ann, rate_limit=1))["raw_key"]
    headers = JSON | bearer(key)
    assert (await rest.post("/mcp", json=message("ping"), headers=headers)).status_code == 200
    assert_mcp_error(await rest.post("/mcp", json=message("ping"), headers=headers), 429)
