"""Every error of the Vectorizer API: the documented code, the family's envelope, and nothing changed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any
from unittest.mock import patch

import httpx
import pytest

from cluster.engine import Engine
from serve.app import build_app
from serve.services import Services
from serve.settings import ServeSettings
from tests.contract.conftest import MAX_BATCH_POINTS, MAX_BODY_BYTES, running
from tests.contract.envelopes import assert_vectorizer_error
from vectoray.core.errors import CorruptData, ShardUnavailable, StorageFull

API = "/api/v1"
DOCS = f"{API}/collections/docs"
JSON = {"content-type": "application/json"}
DEEP = "[" * 100_000 + "]" * 100_000
DEEP_ENOUGH_TO_PARSE = '{"a":' * 500 + "1" + "}" * 500
LONG_ID = "é" * 257


@pytest.fixture
async def docs(client: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose collection ``docs`` (cosine, 3) must be unchanged in the end."""
    await client.post(f"{API}/collections", json={"name": "docs", "dimension": 3, "metric": "cosine"})
    body = {"vectors": [{"id": "a", "vector": [1, 2, 3], "payload": {"k": "v"}}]}
    await client.post(f"{DOCS}/vectors", json=body)
    before = await contents(client)
    yield client
    assert await contents(client) == before


async def contents(client: httpx.AsyncClient) -> tuple[Any, ...]:
    paths = (f"{API}/collections", DOCS, f"{DOCS}/vectors/a")
    return tuple([(await client.get(path)).json() for path in paths])


def item(vector: str = "[1, 2, 3]", point_id: str = '"new"', payload: str = "{}") -> str:
    """A body with a good row and this one."""
    good = '{"id": "a", "vector": [3, 2, 1]}'
    return f'{{"vectors": [{good}, {{"id": {point_id}, "vector": {vector}, "payload": {payload}}}]}}'


BAD_INSERTS = {
    "too short": (item("[1, 2]"), "INVALID_DIMENSION"),
    "too long": (item("[1, 2, 3, 4]"), "INVALID_DIMENSION"),
    "empty vector": (item("[]"), "INVALID_DIMENSION"),
    "NaN literal": (item("[NaN, 2, 3]"), "VALIDATION_ERROR"),
    "Infinity literal": (item("[1, Infinity, 3]"), "VALIDATION_ERROR"),
    "1e39": (item("[1, 1e39, 3]"), "VALIDATION_ERROR"),
    "1e400": (item("[1, 1e400, 3]"), "VALIDATION_ERROR"),
    "zero under cosine": (item("[0, 0, 0.0]"), "VALIDATION_ERROR"),
    "string element": (item('[1, "2", 3]'), "VALIDATION_ERROR"),
    "bool element": (item("[1, true, 3]"), "VALIDATION_ERROR"),
    "null element": (item("[1, null, 3]"), "VALIDATION_ERROR"),
    "nested": (item("[[1, 2, 3]]"), "VALIDATION_ERROR"),
    "vector is an object": (item("{}"), "VALIDATION_ERROR"),
    "vector is null": (item("null"), "VALIDATION_ERROR"),
    "empty id": (item(point_id='""'), "VALIDATION_ERROR"),
    "id over 512 bytes": (item(point_id=f'"{LONG_ID}"'), "VALIDATION_ERROR"),
    "id is a number": (item(point_id="7"), "VALIDATION_ERROR"),
    "id is half a character": (item(point_id='"\\ud800"'), "VALIDATION_ERROR"),
    "payload is a list": (item(payload="[]"), "VALIDATION_ERROR"),
    "payload is a string": (item(payload='"x"'), "VALIDATION_ERROR"),
    "payload too deep": (item(payload=DEEP_ENOUGH_TO_PARSE), "VALIDATION_ERROR"),
    "no id": ('{"vectors": [{"vector": [1, 2, 3]}]}', "VALIDATION_ERROR"),
    "no vector": ('{"vectors": [{"id": "new"}]}', "VALIDATION_ERROR"),
    "spellings differ": (
        '{"vectors": [{"id": "a", "vector": [1, 2, 3], "data": [1, 2, 4]}]}',
        "VALIDATION_ERROR",
    ),
    "payload spellings differ": (
        '{"vectors": [{"id": "a", "vector": [1, 2, 3], "payload": {}, "metadata": {"k": 1}}]}',
        "VALIDATION_ERROR",
    ),
    "row is no object": ('{"vectors": [[1, 2, 3]]}', "VALIDATION_ERROR"),
    "no vectors": ("{}", "VALIDATION_ERROR"),
    "empty vectors": ('{"vectors": []}', "VALIDATION_ERROR"),
    "vectors is null": ('{"vectors": null}', "VALIDATION_ERROR"),
    "body is a list": ("[]", "VALIDATION_ERROR"),
    "body is null": ("null", "VALIDATION_ERROR"),
    "empty body": ("", "VALIDATION_ERROR"),
    "half a body": ('{"vectors": [', "VALIDATION_ERROR"),
    "deep body": (DEEP[: MAX_BODY_BYTES // 2], "VALIDATION_ERROR"),
    "too many rows": (
        '{"vectors": [' + ", ".join(['{"id": "a", "vector": [1, 1, 1]}'] * (MAX_BATCH_POINTS + 1)) + "]}",
        "VALIDATION_ERROR",
    ),
}


@pytest.mark.parametrize(("body", "code"), BAD_INSERTS.values(), ids=BAD_INSERTS)
async def test_a_bad_insert_is_refused_whole(docs: httpx.AsyncClient, body: str, code: str) -> None:
    response = await docs.post(f"{DOCS}/vectors", content=body, headers=JSON)
    assert_vectorizer_error(response, 400, code)
    assert_vectorizer_error(await docs.get(f"{DOCS}/vectors/new"), 404, "VECTOR_NOT_FOUND")


async def test_a_body_in_broken_utf8_is_refused(docs: httpx.AsyncClient) -> None:
    response = await docs.post(f"{DOCS}/vectors", content=b'{"vectors": "\xff"}', headers=JSON)
    assert_vectorizer_error(response, 400, "VALIDATION_ERROR")


async def test_a_body_nested_100_000_deep_is_refused(
    settings: ServeSettings, open_services: Callable[[], Awaitable[Services]]
) -> None:
    roomy = settings.model_copy(update={"max_body_bytes": 1_000_000})
    app = build_app(roomy, open_services=open_services, anonymous_allowed=True)
    async with running(app) as client:
        for path in (f"{API}/collections", f"{DOCS}/vectors", f"{DOCS}/search"):
            response = await client.post(path, content=DEEP, headers=JSON)
            assert_vectorizer_error(response, 400, "VALIDATION_ERROR")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "text/json"])
async def test_a_body_that_says_it_is_something_else_is_refused(
    docs: httpx.AsyncClient, content_type: str
) -> None:
    response = await docs.post(f"{DOCS}/vectors", content=item(), headers={"content-type": content_type})
    assert_vectorizer_error(response, 400, "VALIDATION_ERROR")


async def test_the_first_bad_row_is_named(docs: httpx.AsyncClient) -> None:
    body = (await docs.post(f"{DOCS}/vectors", content=item("[1, 1e39, 3]"), headers=JSON)).json()
    assert body["details"]["at"] == "vectors[1].vector[1]"
    body = (await docs.post(f"{DOCS}/vectors", content=item("[1]"), headers=JSON)).json()
    assert body["details"] == {"expected": 3, "actual": 1, "at": "vectors[1].vector"}
    body = (await docs.post(f"{DOCS}/vectors", content=item(point_id="7"), headers=JSON)).json()
    assert body["details"]["errors"][0]["at"] == "vectors[1].id"
    assert body["error"].startswith("vectors[1].id: ")


async def test_of_a_thousand_bad_rows_the_first_is_described(docs: httpx.AsyncClient) -> None:
    response = await docs.post(f"{DOCS}/vectors", json={"vectors": [{}] * 1000})
    assert_vectorizer_error(response, 400, "VALIDATION_ERROR")
    faults = [fault["at"] for fault in response.json()["details"]["errors"]]
    assert faults == ["vectors[0].id", "vectors[0].vector"]


NEW = {"name": "new", "dimension": 3, "metric": "cosine"}
BAD_COLLECTIONS = {
    "taken": ({"name": "docs"}, 409, "COLLECTION_ALREADY_EXISTS"),
    "parent": ({"name": "../docs"}, 400, "INVALID_COLLECTION_NAME"),
    "encoded parent": ({"name": "..%2Fdocs"}, 400, "INVALID_COLLECTION_NAME"),
    "dots": ({"name": ".."}, 400, "INVALID_COLLECTION_NAME"),
    "empty": ({"name": ""}, 400, "INVALID_COLLECTION_NAME"),
    "too long": ({"name": "n" * 256}, 400, "INVALID_COLLECTION_NAME"),
    "newline": ({"name": "docs\n"}, 400, "INVALID_COLLECTION_NAME"),
    "foreign letters": ({"name": "döcs"}, 400, "INVALID_COLLECTION_NAME"),
    "name is null": ({"name": None}, 400, "VALIDATION_ERROR"),
    "dimension 0": ({"dimension": 0}, 400, "VALIDATION_ERROR"),
    "dimension above the limit": ({"dimension": 65}, 400, "VALIDATION_ERROR"),
    "dimension beyond 64 bits": ({"dimension": 2**80}, 400, "VALIDATION_ERROR"),
    "dimension is a string": ({"dimension": "3"}, 400, "VALIDATION_ERROR"),
    "dimension is a float": ({"dimension": 3.0}, 400, "VALIDATION_ERROR"),
    "dimension is true": ({"dimension": True}, 400, "VALIDATION_ERROR"),
    "metric of another family": ({"metric": "dot_product"}, 400, "VALIDATION_ERROR"),
    "metrics differ": ({"similarity_metric": "euclidean"}, 400, "VALIDATION_ERROR"),
    "m": ({"hnsw_config": {"m": 1}}, 400, "VALIDATION_ERROR"),
    "m too high": ({"hnsw_config": {"m": 129}}, 400, "VALIDATION_ERROR"),
    "ef_construction": ({"hnsw_config": {"ef_construction": 3}}, 400, "VALIDATION_ERROR"),
    "ef_construction too high": ({"hnsw_config": {"ef_construction": 4097}}, 400, "VALIDATION_ERROR"),
    "ef_search": ({"hnsw_config": {"ef_search": 0}}, 400, "VALIDATION_ERROR"),
    "ef_search too high": ({"hnsw_config": {"ef_search": 4097}}, 400, "VALIDATION_ERROR"),
    "seed": ({"hnsw_config": {"seed": -1}}, 400, "VALIDATION_ERROR"),
    "seed too high": ({"hnsw_config": {"seed": 2**63}}, 400, "VALIDATION_ERROR"),
    "hnsw_config is a list": ({"hnsw_config": []}, 400, "VALIDATION_ERROR"),
}


@pytest.mark.parametrize(("change", "status", "code"), BAD_COLLECTIONS.values(), ids=BAD_COLLECTIONS)
async def test_a_bad_collection_is_not_created(
    docs: httpx.AsyncClient, change: dict[str, Any], status: int, code: str
) -> None:
    assert_vectorizer_error(await docs.post(f"{API}/collections", json=NEW | change), status, code)


@pytest.mark.parametrize("missing", ["name", "dimension", "metric"])
async def test_a_collection_needs_all_its_fields(docs: httpx.AsyncClient, missing: str) -> None:
    body = {key: value for key, value in NEW.items() if key != missing}
    response = await docs.post(f"{API}/collections", json=body)
    assert_vectorizer_error(response, 400, "VALIDATION_ERROR")
    assert response.json()["error"].startswith(f"{missing}: ")


BAD_SEARCHES = {
    "too short": ('{"vector": [1, 2]}', "INVALID_DIMENSION"),
    "empty vector": ('{"vector": []}', "INVALID_DIMENSION"),
    "NaN": ('{"vector": [NaN, 1, 2]}', "VALIDATION_ERROR"),
    "1e39": ('{"vector": [1e39, 1, 2]}', "VALIDATION_ERROR"),
    "zero": ('{"vector": [0, 0, 0]}', "VALIDATION_ERROR"),
    "no vector": ('{"limit": 1}', "VALIDATION_ERROR"),
    "limit 0": ('{"vector": [1, 2, 3], "limit": 0}', "VALIDATION_ERROR"),
    "limit 101": ('{"vector": [1, 2, 3], "limit": 101}', "VALIDATION_ERROR"),
    "limit is a string": ('{"vector": [1, 2, 3], "limit": "5"}', "VALIDATION_ERROR"),
    "limit is a float": ('{"vector": [1, 2, 3], "limit": 5.5}', "VALIDATION_ERROR"),
    "limit is true": ('{"vector": [1, 2, 3], "limit": true}', "VALIDATION_ERROR"),
    "threshold is a string": ('{"vector": [1, 2, 3], "score_threshold": "0.5"}', "VALIDATION_ERROR"),
}


@pytest.mark.parametrize(("body", "code"), BAD_SEARCHES.values(), ids=BAD_SEARCHES)
async def test_a_bad_question_is_refused(docs: httpx.AsyncClient, body: str, code: str) -> None:
    assert_vectorizer_error(await docs.post(f"{DOCS}/search", content=body, headers=JSON), 400, code)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("DELETE", "", None),
        ("POST", "/vectors", {"vectors": [{"id": "a", "vector": [1, 2, 3]}]}),
        ("GET", "/vectors/a", None),
        ("DELETE", "/vectors/a", None),
        ("POST", "/search", {"vector": [1, 2, 3]}),
    ],
)
@pytest.mark.parametrize(
    ("name", "status", "code"),
    [("other", 404, "COLLECTION_NOT_FOUND"), ("%2E%2E", 400, "INVALID_COLLECTION_NAME")],
)
async def test_a_collection_that_is_not_there(  # noqa: PLR0917
    docs: httpx.AsyncClient, method: str, path: str, body: object, name: str, status: int, code: str
) -> None:
    response = await docs.request(method, f"{API}/collections/{name}{path}", json=body)
    assert_vectorizer_error(response, status, code)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_vector_that_is_not_there(docs: httpx.AsyncClient, method: str) -> None:
    missing = await docs.request(method, f"{DOCS}/vectors/b")
    assert_vectorizer_error(missing, 404, "VECTOR_NOT_FOUND")
    long = await docs.request(method, f"{DOCS}/vectors/{LONG_ID}")
    assert_vectorizer_error(long, 400, "VALIDATION_ERROR")
    empty = await docs.request(method, f"{DOCS}/vectors/")
    assert_vectorizer_error(empty, 400, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    "path",
    [
        API,
        f"{API}/",
        f"{API}/nothing",
        f"{API}/collections/",
        f"{DOCS}/nothing",
        f"{API}/collections/%2E%2E%2Fdocs",
        f"{API}/collections/a%2Fb/search",
    ],
)
async def test_a_path_that_is_not_there(docs: httpx.AsyncClient, path: str) -> None:
    for method in ("GET", "POST", "DELETE", "PUT"):
        assert_vectorizer_error(await docs.request(method, path), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", f"{API}/collections"),
        ("PUT", DOCS),
        ("POST", f"{API}/health"),
        ("GET", f"{DOCS}/search"),
        ("GET", f"{DOCS}/vectors"),
        ("PATCH", f"{DOCS}/vectors/a"),
    ],
)
async def test_a_method_that_is_not_there(docs: httpx.AsyncClient, method: str, path: str) -> None:
    response = await docs.request(method, path)
    assert_vectorizer_error(response, 405, "METHOD_NOT_ALLOWED")
    assert method not in response.headers["allow"]


ENDPOINTS = [
    ("GET", f"{API}/health"),
    ("GET", f"{API}/collections"),
    ("POST", f"{API}/collections"),
    ("GET", DOCS),
    ("DELETE", DOCS),
    ("POST", f"{DOCS}/vectors"),
    ("GET", f"{DOCS}/vectors/a"),
    ("DELETE", f"{DOCS}/vectors/a"),
    ("POST", f"{DOCS}/search"),
]


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer secret"},
        {"authorization": "Basic c2VjcmV0"},
        {"authorization": ""},
        {"x-api-key": "vy_secret"},
        {"x-api-key": ""},
    ],
)
async def test_a_credential_that_is_sent_is_checked(docs: httpx.AsyncClient, headers: dict[str, str]) -> None:
    for method, path in ENDPOINTS:
        response = await docs.request(method, path, headers=headers, content=b"not even JSON")
        assert_vectorizer_error(response, 401, "UNAUTHORIZED")


async def test_anonymous_callers_are_refused_where_the_profile_says_so(
    strict_client: httpx.AsyncClient,
) -> None:
    for method, path in ENDPOINTS:
        assert_vectorizer_error(await strict_client.request(method, path), 401, "UNAUTHORIZED")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost.evil.example", "", "[::2]"])
async def test_a_request_for_another_host_is_refused(docs: httpx.AsyncClient, host: str) -> None:
    for path in (DOCS, f"{API}/nothing"):
        assert_vectorizer_error(await docs.get(path, headers={"host": host}), 403, "FORBIDDEN")


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://localhost.evil.example",
        "http://localhost:8000@evil.example",
        "",
    ],
)
async def test_a_page_of_another_origin_is_refused(docs: httpx.AsyncClient, origin: str) -> None:
    headers = {"origin": origin}
    response = await docs.delete(DOCS, headers=headers)
    assert_vectorizer_error(response, 403, "FORBIDDEN")
    assert "access-control-allow-origin" not in response.headers
    preflight = await docs.options(DOCS, headers={**headers, "access-control-request-method": "DELETE"})
    assert_vectorizer_error(preflight, 403, "FORBIDDEN")


async def test_a_body_announced_over_the_limit_is_refused_unread(docs: httpx.AsyncClient) -> None:
    read = False

    async def unread() -> AsyncIterator[bytes]:
        nonlocal read
        read = True
        yield b" " * (MAX_BODY_BYTES + 1)

    announced = JSON | {"content-length": str(MAX_BODY_BYTES + 1)}
    response = await docs.post(f"{DOCS}/vectors", content=unread(), headers=announced)
    assert_vectorizer_error(response, 413, "PAYLOAD_TOO_LARGE")
    assert response.headers["connection"] == "close"
    assert not read


async def test_a_body_in_chunks_over_the_limit_is_refused_before_it_ends(docs: httpx.AsyncClient) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1000
            yield b" " * 1000

    response = await docs.post(f"{DOCS}/vectors", content=chunks(), headers=JSON)
    assert "content-length" not in response.request.headers
    assert_vectorizer_error(response, 413, "PAYLOAD_TOO_LARGE")
    assert sent <= MAX_BODY_BYTES + 2000


async def test_a_body_of_exactly_the_limit_is_read(docs: httpx.AsyncClient) -> None:
    body = b'{"vector": [1, 2, 3]}'.ljust(MAX_BODY_BYTES)
    assert (await docs.post(f"{DOCS}/search", content=body, headers=JSON)).status_code == 200


FAILING = [
    ("stats", "GET", f"{API}/health", None, "SERVICE_UNAVAILABLE", "INTERNAL_ERROR"),
    ("get", "GET", f"{DOCS}/vectors/a", None, "SERVICE_UNAVAILABLE", "INTERNAL_ERROR"),
    (
        "write",
        "POST",
        f"{DOCS}/vectors",
        {"vectors": [{"id": "a", "vector": [1, 1, 1]}]},
        "VECTOR_INSERTION_FAILED",
        "VECTOR_INSERTION_FAILED",
    ),
    ("search", "POST", f"{DOCS}/search", {"vector": [1, 1, 1]}, "SEARCH_FAILED", "SEARCH_FAILED"),
    ("create", "POST", f"{API}/collections", NEW, "SERVICE_UNAVAILABLE", "INTERNAL_ERROR"),
]


@pytest.mark.parametrize(("call", "method", "path", "body", "unavailable", "internal"), FAILING)
async def test_what_the_engine_fails_at_is_named(  # noqa: PLR0917
    docs: httpx.AsyncClient,
    engine: Engine,
    call: str,
    method: str,
    path: str,
    body: object,
    unavailable: str,
    internal: str,
) -> None:
    failures = [
        (ShardUnavailable("A shard did not answer."), 503, unavailable),
        (StorageFull("The disk is full."), 503, unavailable),
        (CorruptData("/data/secret.arrow is damaged.", {"file": "/data/secret.arrow"}), 500, internal),
        (ZeroDivisionError("secret"), 500, internal),
    ]
    for failure, status, code in failures:
        with patch.object(engine, call, side_effect=failure):
            response = await docs.request(method, path, json=body)
        assert_vectorizer_error(response, status, code)


async def test_a_fault_of_ours_is_answered_with_the_number_to_find_it_by(
    docs: httpx.AsyncClient, engine: Engine, logs: list[MutableMapping[str, Any]]
) -> None:
    with patch.object(engine, "get", side_effect=RuntimeError("secret")):
        response = await docs.get(f"{DOCS}/vectors/a")
    assert_vectorizer_error(response, 500, "INTERNAL_ERROR")
    assert response.json()["details"] == {"request_id": response.headers["x-request-id"]}
    [line] = [line for line in logs if line["log_level"] == "error"]
    declared = "/api/v1/collections/{collection_name}/vectors/{vector_id:path}"
    assert (line["event"], line["path"]) == ("request_crashed", declared)


async def test_what_a_fault_of_ours_says_is_only_in_the_log(
    docs: httpx.AsyncClient, engine: Engine, logs: list[MutableMapping[str, Any]]
) -> None:
    with patch.object(engine, "get", side_effect=CorruptData("/data/secret.arrow is damaged.")):
        response = await docs.get(f"{DOCS}/vectors/a")
    assert_vectorizer_error(response, 500, "INTERNAL_ERROR")
    assert [line["reason"] for line in logs if line["log_level"] == "error"] == [
        "/data/secret.arrow is damaged."
    ]


async def test_an_answer_that_does_not_come_in_time_is_given_up(
    settings: ServeSettings, open_services: Callable[[], Awaitable[Services]], engine: Engine
) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    # Long enough to create the collection, which takes two synced commits.
    hasty = settings.model_copy(update={"request_timeout_s": 1.0})
    app = build_app(hasty, open_services=open_services, anonymous_allowed=True)
    async with running(app) as client:
        await client.post(f"{API}/collections", json=NEW)
        with patch.object(engine, "search", never), patch.object(engine, "stats", never):
            late = await asyncio.gather(
                client.post(f"{API}/collections/new/search", json={"vector": [1, 2, 3]}),
                client.get(f"{API}/health"),
            )
    assert_vectorizer_error(late[0], 503, "SEARCH_FAILED")
    assert_vectorizer_error(late[1], 503, "SERVICE_UNAVAILABLE")


async def test_a_creation_that_failed_leaves_the_name_free(docs: httpx.AsyncClient, engine: Engine) -> None:
    with patch.object(engine, "create", side_effect=StorageFull("The disk is full.")):
        failed = await docs.post(f"{API}/collections", json=NEW)
    assert_vectorizer_error(failed, 503, "SERVICE_UNAVAILABLE")
    assert (await docs.post(f"{API}/collections", json=NEW)).status_code == 201
    assert (await docs.delete(f"{API}/collections/new")).status_code == 200
