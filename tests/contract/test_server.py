"""What belongs to no family: start and end, dispatch, documentation, pages of other origins."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from starlette.types import Message

from serve.app import SURFACES, build_app
from serve.services import Services
from serve.settings import ServeSettings
from tests.contract.conftest import lifespan, running
from tests.contract.envelopes import assert_vectorizer_error, assert_vectory_error
from vectoray.core.errors import Unavailable

Open = Callable[[], Awaitable[Services]]

# What a family's document has instead of its envelope.
OTHER_ENVELOPES = {("POST", "/api/v1/projects/{project_id}/urls", "409"): "DuplicateUrl"}


class Opening:
    """Counts how often services are opened, and fails the first ``failures`` times."""

    def __init__(self, open_services: Open, failures: list[Exception]) -> None:
        self.count = 0
        self._open = open_services
        self._failures = failures

    async def __call__(self) -> Services:
        self.count += 1
        if self._failures:
            raise self._failures.pop()
        return await self._open()


async def test_services_open_once_at_the_start(settings: ServeSettings, open_services: Open) -> None:
    opening = Opening(open_services, [])
    app = build_app(settings, open_services=opening, anonymous_allowed=True)
    answers = await lifespan(app, "lifespan.startup", "lifespan.shutdown")
    assert answers == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert opening.count == 1


async def test_services_open_once_at_first_use_without_a_start(
    settings: ServeSettings, open_services: Open
) -> None:
    opening = Opening(open_services, [])
    async with running(build_app(settings, open_services=opening, anonymous_allowed=True)) as client:
        assert (await client.get("/healthz")).json() == {"status": "alive"}
        assert (await client.get("/docs")).status_code == 200
        assert opening.count == 0
        for _ in range(3):
            assert (await client.get("/api/v1/health")).status_code == 200
        assert opening.count == 1


@pytest.mark.parametrize("failure", [Unavailable("The catalog cannot be reached."), OSError("secret")])
async def test_a_server_without_services_says_so_until_it_has_them(
    settings: ServeSettings, open_services: Open, failure: Exception
) -> None:
    opening = Opening(open_services, [failure, failure])
    async with running(build_app(settings, open_services=opening, anonymous_allowed=True)) as client:
        assert_vectorizer_error(await client.get("/api/v1/health"), 503, "SERVICE_UNAVAILABLE")
        assert_vectory_error(await client.get("/api/health"), 503)
        assert (await client.get("/api/health")).status_code == 200


async def test_a_server_starts_even_when_its_services_do_not(
    settings: ServeSettings, open_services: Open
) -> None:
    opening = Opening(open_services, [OSError("secret")])
    app = build_app(settings, open_services=opening, anonymous_allowed=True)
    answers = await lifespan(app, "lifespan.startup", "lifespan.shutdown")
    assert answers == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_collections_survive_a_restart(
    settings: ServeSettings, open_services: Open, client: httpx.AsyncClient
) -> None:
    body = {"name": "docs", "dimension": 3, "metric": "cosine"}
    assert (await client.post("/api/v1/collections", json=body)).status_code == 201
    async with running(build_app(settings, open_services=open_services, anonymous_allowed=True)) as again:
        [collection] = (await again.get("/api/v1/collections")).json()
        assert collection["name"] == "docs"


@pytest.mark.parametrize(
    "path", ["/nothing", "/apix", "/v2/vector/docs", "/docs/", "/docs/assets/%2E%2E%2Fx"]
)
async def test_a_path_of_no_family_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert (response.status_code, response.json()) == (404, {"error": "Not Found."})


async def test_a_family_has_the_paths_below_its_prefix_only(client: httpx.AsyncClient) -> None:
    assert_vectorizer_error(await client.get("/api/v1/nothing"), 404, "NOT_FOUND")
    assert_vectory_error(await client.get("/api/v1x"), 404)
    assert_vectory_error(await client.get("/api/v2/nothing"), 404)


async def test_the_landing_page_leads_to_the_documentation(client: httpx.AsyncClient) -> None:
    response = await client.get("/")
    assert (response.status_code, response.headers["location"]) == (307, "/docs")


async def test_the_documentation_loads_everything_from_this_server(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "//" not in page.text.replace("<!DOCTYPE html>", "")
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) == 5
    for path in loaded:
        asset = await client.get(path)
        assert asset.status_code == 200, path
        assert asset.headers["x-content-type-options"] == "nosniff"
        assert len(asset.content) > 100
    start = (await client.get("/docs/start.js")).text
    assert "//" not in start
    urls = re.findall(r'"url":"([^"]+)"', start)
    assert urls == [f"/openapi/{surface.name}.json" for surface in SURFACES]
    for url in urls:
        assert (await client.get(url)).status_code == 200


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
async def test_the_openapi_document_names_every_route_and_envelope(
    client: httpx.AsyncClient, surface: Any
) -> None:
    document = (await client.get(f"/openapi/{surface.name}.json")).json()
    assert document["openapi"] == "3.0.3"
    envelope = {"$ref": "#/components/schemas/ErrorBody"}
    described = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            described.add((method.upper(), path))
            assert "422" not in operation["responses"]
            for status in ("400", "401", "403", "404", "409", "413", "429", "500", "503"):
                schema = operation["responses"][status]["content"]["application/json"]["schema"]
                other = OTHER_ENVELOPES.get((method.upper(), path, status))
                assert schema == (envelope if other is None else {"$ref": f"#/components/schemas/{other}"})
    routes = {
        (method, route.path.replace(":path}", "}"))
        for route in surface.router.routes
        for method in route.methods
    }
    assert described == routes
    _assert_openapi_3_0(document)


def _assert_openapi_3_0(node: Any) -> None:
    """Nothing that only OpenAPI 3.1 knows, and every reference leads somewhere."""
    for part in _parts(node):
        assert part.get("type") != "null"
        assert "const" not in part
        assert isinstance(part.get("exclusiveMinimum", False), bool)
        if "$ref" in part:
            assert part["$ref"].rpartition("/")[2] in node["components"]["schemas"]


def _parts(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [part for item in node for part in _parts(item)]
    if isinstance(node, dict):
        return [node, *(part for item in node.values() for part in _parts(item))]
    return []


async def test_vectors_are_arrays_of_numbers_in_the_openapi_document(client: httpx.AsyncClient) -> None:
    schemas = (await client.get("/openapi/vectorizer.json")).json()["components"]["schemas"]
    for name in ("NewVector", "Search", "StoredVector"):
        vector = schemas[name]["properties"]["vector"]
        assert (vector["type"], vector["items"]["type"]) == ("array", "number")
        assert "vector" in schemas[name]["required"]


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost",
        "http://localhost:3000",
        "https://127.0.0.1:5173",
        "http://[::1]:9",
        "http://my.host:80",
    ],
)
async def test_pages_of_this_machine_and_this_server_may_call(
    settings: ServeSettings, open_services: Open, origin: str
) -> None:
    open_to_my_host = settings.model_copy(update={"allowed_hosts": ("My.Host",)})
    async with running(
        build_app(open_to_my_host, open_services=open_services, anonymous_allowed=True)
    ) as client:
        headers = {"origin": origin, "host": "my.host:80"}
        response = await client.get("/api/v1/health", headers=headers)
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == origin
        assert "Origin" in response.headers["vary"]
        asked = {"access-control-request-method": "DELETE", "access-control-request-headers": "x-api-key"}
        preflight = await client.options("/api/v1/health", headers=headers | asked)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == origin
        assert "DELETE" in preflight.headers["access-control-allow-methods"]
        assert preflight.headers["access-control-allow-headers"] == "x-api-key"
        refused = await client.get("/api/v1/nothing", headers=headers)
        assert refused.headers["access-control-allow-origin"] == origin


@pytest.mark.parametrize("host", ["LOCALHOST:1", "127.0.0.1", "[::1]:8000", "localhost.", "10.1.2.3:80"])
async def test_requests_for_this_server_are_answered(
    settings: ServeSettings, open_services: Open, host: str
) -> None:
    listening = settings.model_copy(update={"host": "10.1.2.3"})
    async with running(build_app(listening, open_services=open_services, anonymous_allowed=True)) as client:
        assert (await client.get("/healthz", headers={"host": host})).status_code == 200


async def test_a_star_answers_to_every_name(settings: ServeSettings, open_services: Open) -> None:
    starred = settings.model_copy(update={"allowed_hosts": ("*",)})
    async with running(build_app(starred, open_services=open_services, anonymous_allowed=True)) as client:
        assert (await client.get("/healthz", headers={"host": "any.example"})).status_code == 200


async def test_the_house_checks_host_and_origin_too(client: httpx.AsyncClient) -> None:
    for headers in ({"host": "evil.example"}, {"origin": "https://evil.example"}):
        for path in ("/docs", "/openapi/vectorizer.json", "/healthz", "/nothing"):
            assert (await client.get(path, headers=headers)).status_code == 403


async def test_a_websocket_is_closed(settings: ServeSettings, open_services: Open) -> None:
    app = build_app(settings, open_services=open_services, anonymous_allowed=True)
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app({"type": "websocket", "path": "/api/v1"}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]
