"""Every error of the kiss-vdb API: the documented code, the family's envelope, and nothing changed."""

from collections.abc import AsyncIterator, MutableMapping
from typing import Any
from unittest.mock import patch

import httpx
import pytest

from cluster.engine import Engine
from tests.contract.conftest import MAX_BATCH_POINTS, MAX_BODY_BYTES
from tests.contract.envelopes import assert_kissvdb_error
from vectoray.core.errors import CorruptData, ShardUnavailable, StorageFull

API = "/v1/vector"
DOCS = f"{API}/docs"
JSON = {"content-type": "application/json"}
DEEP = "[" * 30_000 + "]" * 30_000
LONG_ID = "é" * 257


@pytest.fixture
async def docs(client: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose collection ``docs`` (cosine, 3) must be unchanged in the end."""
    await client.post(DOCS, json={"dim": 3, "metric": "cosine"})
    await client.post(f"{DOCS}/upsert", json={"id": "a", "vector": [1, 2, 3], "meta": {"k": "v"}})
    before = await contents(client)
    yield client
    assert await contents(client) == before


async def contents(client: httpx.AsyncClient) -> list[Any]:
    return [(await client.get(path)).json() for path in (API, DOCS, f"{DOCS}/get?id=a")]


BAD_BODIES = {
    "no JSON": ("{", "invalid_argument"),
    "empty": ("", "invalid_argument"),
    "a list": ("[]", "invalid_argument"),
    "deep": (DEEP, "invalid_argument"),
    "deep meta": (
        '{"id": "b", "vector": [1, 2, 3], "meta": {"a": ' + DEEP[29_000:31_000] + "}}",
        "invalid_argument",
    ),
    "no id": ('{"vector": [1, 2, 3]}', "invalid_argument"),
    "id is a number": ('{"id": 1, "vector": [1, 2, 3]}', "invalid_argument"),
    "empty id": ('{"id": "", "vector": [1, 2, 3]}', "invalid_argument"),
    "long id": (f'{{"id": "{LONG_ID}", "vector": [1, 2, 3]}}', "invalid_argument"),
    "no vector": ('{"id": "b"}', "invalid_argument"),
    "vector is text": ('{"id": "b", "vector": "1"}', "invalid_argument"),
    "a string in it": ('{"id": "b", "vector": [1, "2", 3]}', "invalid_argument"),
    "nested": ('{"id": "b", "vector": [[1, 2, 3]]}', "invalid_argument"),
    "NaN": ('{"id": "b", "vector": [1, NaN, 3]}', "invalid_argument"),
    "1e39": ('{"id": "b", "vector": [1, 1e39, 3]}', "invalid_argument"),
    "zero": ('{"id": "b", "vector": [0, 0, 0]}', "invalid_argument"),
    "too short": ('{"id": "b", "vector": [1, 2]}', "dim_mismatch"),
    "too long": ('{"id": "b", "vector": [1, 2, 3, 4]}', "dim_mismatch"),
    "empty vector": ('{"id": "b", "vector": []}', "dim_mismatch"),
    "meta is a list": ('{"id": "b", "vector": [1, 2, 3], "meta": []}', "invalid_argument"),
}


@pytest.mark.parametrize(("body", "code"), BAD_BODIES.values(), ids=BAD_BODIES)
async def test_a_bad_vector_is_refused(docs: httpx.AsyncClient, body: str, code: str) -> None:
    for way in ("add", "upsert"):
        response = await docs.post(f"{DOCS}/{way}", content=body, headers=JSON)
        assert_kissvdb_error(response, 400, code)
        assert "vectors[" not in response.text


async def test_a_bad_change_is_refused(docs: httpx.AsyncClient) -> None:
    async def update(**body: Any) -> httpx.Response:
        return await docs.post(f"{DOCS}/update", json=body)

    assert_kissvdb_error(await update(id="a"), 400, "invalid_argument")
    assert_kissvdb_error(await update(id="a", vector=None, meta=None), 400, "invalid_argument")
    assert_kissvdb_error(await update(id="a", vector=[1, 2]), 400, "dim_mismatch")
    assert_kissvdb_error(await update(id="a", meta=7), 400, "invalid_argument")
    assert_kissvdb_error(await update(vector=[1, 2, 3]), 400, "invalid_argument")
    assert_kissvdb_error(await update(id="b", vector=[1, 2, 3]), 404, "not_found")


async def test_what_is_there_cannot_be_added(docs: httpx.AsyncClient) -> None:
    response = await docs.post(f"{DOCS}/add", json={"id": "a", "vector": [3, 2, 1]})
    assert_kissvdb_error(response, 409, "already_exists")
    again = await docs.post(DOCS, json={"dim": 3, "metric": "cosine"})
    assert_kissvdb_error(again, 409, "already_exists")


@pytest.mark.parametrize(
    "body",
    [
        {"dim": 0, "metric": "dot"},
        {"dim": 65, "metric": "dot"},
        {"dim": "3", "metric": "dot"},
        {"dim": 3.5, "metric": "dot"},
        {"dim": True, "metric": "dot"},
        {"metric": "dot"},
        {"dim": 3},
        {"dim": 3, "metric": "euclidean"},
        {"dim": 3, "metric": "Cosine"},
    ],
)
async def test_a_bad_collection_is_refused(docs: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert_kissvdb_error(await docs.post(f"{API}/new", json=body), 400, "invalid_argument")


@pytest.mark.parametrize("name", [".hidden", "a b", "é", "x" * 256, "%2E%2E"])
async def test_a_bad_name_is_refused(docs: httpx.AsyncClient, name: str) -> None:
    response = await docs.post(f"{API}/{name}", json={"dim": 3, "metric": "dot"})
    assert_kissvdb_error(response, 400, "invalid_argument")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"k": 5}, "invalid_argument"),
        ({"vector": [1, 2, 3]}, "invalid_argument"),
        ({"vector": [1, 2, 3], "k": 0}, "invalid_argument"),
        ({"vector": [1, 2, 3], "k": 1001}, "invalid_argument"),
        ({"vector": [1, 2, 3], "k": "5"}, "invalid_argument"),
        ({"vector": [1, 2, 3], "k": 5.0}, "invalid_argument"),
        ({"vector": [1, 2], "k": 5}, "dim_mismatch"),
        ({"vector": [0, 0, 0], "k": 5}, "invalid_argument"),
        ({"vector": [1, 2, 3], "k": 5, "include_meta": "yes"}, "invalid_argument"),
        ({"vector": [1, 2, 3], "k": 5, "filters": []}, "invalid_argument"),
        ({"vector": [1, 2, 3], "k": 5, "filters": {"k": {"$gt": 1}}}, "invalid_argument"),
        ({"vector": [1, 2, 3], "k": 5, "filters": {"k": ["v"]}}, "invalid_argument"),
        ({"vector": [1, 2, 3], "k": 5, "filters": {f"{n}": n for n in range(1001)}}, "invalid_argument"),
    ],
)
async def test_a_bad_question_is_refused(docs: httpx.AsyncClient, body: dict[str, Any], code: str) -> None:
    assert_kissvdb_error(await docs.post(f"{DOCS}/search", json=body), 400, code)


@pytest.mark.parametrize("path", ["upsert_batch", "delete_batch"])
@pytest.mark.parametrize("items", [None, 7, {}, "text"])
async def test_a_batch_is_a_list(docs: httpx.AsyncClient, path: str, items: object) -> None:
    for body in ({"items": items, "ids": items}, {}):
        assert_kissvdb_error(await docs.post(f"{DOCS}/{path}", json=body), 400, "invalid_argument")


async def test_a_batch_of_too_many_is_refused_whole(docs: httpx.AsyncClient) -> None:
    items = [{"id": f"{n}", "vector": [1, 2, 3]} for n in range(MAX_BATCH_POINTS + 1)]
    response = await docs.post(f"{DOCS}/upsert_batch", json={"items": items})
    assert_kissvdb_error(response, 400, "invalid_argument")
    response = await docs.post(f"{DOCS}/delete_batch", json={"ids": [item["id"] for item in items]})
    assert_kissvdb_error(response, 400, "invalid_argument")


@pytest.mark.parametrize("field", ["items", "ids"])
async def test_of_very_many_unreadable_items_only_the_first_is_described(
    docs: httpx.AsyncClient, field: str
) -> None:
    path = {"items": "upsert_batch", "ids": "delete_batch"}[field]
    body = f'{{"{field}": [1{",1" * 10_000}]}}'
    response = await docs.post(f"{DOCS}/{path}", content=body, headers=JSON)
    assert_kissvdb_error(response, 400, "invalid_argument")
    assert "More than 10000 items" in response.json()["message"]


REQUESTS: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("DELETE", "", None),
    ("GET", "/get?id=a", None),
    ("POST", "/add", {"id": "a", "vector": [1, 2, 3]}),
    ("POST", "/upsert", {"id": "a", "vector": [1, 2, 3]}),
    ("POST", "/update", {"id": "a", "vector": [1, 2, 3]}),
    ("POST", "/upsert_batch", {"items": [{"id": "a", "vector": [1, 2, 3]}]}),
    ("POST", "/delete", {"id": "a"}),
    ("POST", "/delete_batch", {"ids": ["a"]}),
    ("POST", "/search", {"vector": [1, 2, 3], "k": 1}),
]


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
async def test_a_collection_that_is_not_there(
    docs: httpx.AsyncClient, method: str, path: str, body: object
) -> None:
    assert_kissvdb_error(await docs.request(method, f"{API}/other{path}", json=body), 404, "not_found")
    bad_name = await docs.request(method, f"{API}/%2E%2E{path}", json=body)
    assert_kissvdb_error(bad_name, 400, "invalid_argument")


async def test_a_vector_that_is_not_there(docs: httpx.AsyncClient) -> None:
    assert_kissvdb_error(await docs.get(f"{DOCS}/get?id=b"), 404, "not_found")
    assert_kissvdb_error(await docs.post(f"{DOCS}/delete", json={"id": "b"}), 404, "not_found")
    for query in ("", "?id=", f"?id={LONG_ID}"):
        assert_kissvdb_error(await docs.get(f"{DOCS}/get{query}"), 400, "invalid_argument")


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/state", "/v1/doc/a", "/v1/sql", f"{DOCS}/x", f"{API}/"])
async def test_a_path_that_is_not_there(docs: httpx.AsyncClient, path: str) -> None:
    for method in ("GET", "POST", "DELETE", "PUT"):
        assert_kissvdb_error(await docs.request(method, path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", API),
        ("PUT", DOCS),
        ("GET", f"{DOCS}/search"),
        ("DELETE", f"{DOCS}/get"),
        ("POST", "/v1/health"),
    ],
)
async def test_a_method_that_is_not_there(docs: httpx.AsyncClient, method: str, path: str) -> None:
    response = await docs.request(method, path)
    assert_kissvdb_error(response, 405, "method_not_allowed")
    assert method not in response.headers["allow"]


ENDPOINTS = [
    ("GET", "/v1/health"),
    ("GET", "/v1/metrics"),
    ("GET", API),
    ("POST", DOCS),
    *((method, f"{DOCS}{path}") for method, path, _ in REQUESTS),
]


async def test_a_credential_that_is_sent_is_checked(docs: httpx.AsyncClient) -> None:
    ways: list[dict[str, Any]] = [
        {"headers": {"authorization": "Bearer secret"}},
        {"headers": {"authorization": "Basic ZGV2"}},
        {"headers": {"x-api-key": "vy_secret"}},
        {"headers": {"x-api-key": ""}},
        {"headers": {"authorization": "Bearer secret", "x-api-key": "dev"}},
    ]
    for method, path in ENDPOINTS:
        for way in ways:
            response = await docs.request(method, path, content=b"not even JSON", **way)
            assert_kissvdb_error(response, 401, "unauthorized")
        url = f"{path}{'&' if '?' in path else '?'}api_key=secret"
        assert_kissvdb_error(await docs.request(method, url), 401, "unauthorized")


async def test_without_a_credential_and_with_dev_nobody_is_let_in_where_the_profile_says_so(
    strict_client: httpx.AsyncClient,
) -> None:
    for method, path in ENDPOINTS:
        assert_kissvdb_error(await strict_client.request(method, path), 401, "unauthorized")
        dev = await strict_client.request(method, path, headers={"authorization": "Bearer dev"})
        assert_kissvdb_error(dev, 401, "unauthorized")
        url = f"{path}{'&' if '?' in path else '?'}api_key=dev"
        assert_kissvdb_error(await strict_client.request(method, url), 401, "unauthorized")


async def test_a_key_of_another_family_is_not_dev(docs: httpx.AsyncClient) -> None:
    response = await docs.get("/api/v1/collections", headers={"authorization": "Bearer dev"})
    assert response.status_code == 401


async def test_a_key_in_the_query_is_in_no_log_and_no_answer(
    docs: httpx.AsyncClient, engine: Engine, logs: list[MutableMapping[str, Any]]
) -> None:
    url = f"{DOCS}/get?api_key=vy_s3cret&id=a"
    assert "s3cret" not in (await docs.get(url)).text
    with (
        patch("serve.authenticator.Authenticator.authenticate", side_effect=RuntimeError("boom")),
        patch("serve.metrics.REQUEST_SECONDS.observe") as measured,
    ):
        response = await docs.get(url)
    assert_kissvdb_error(response, 500, "internal")
    assert any(line["event"] == "request_crashed" for line in logs)
    assert "s3cret" not in f"{response.text}{response.headers}{logs}{measured.call_args_list}"
    assert measured.called


async def test_hosts_and_pages_of_others_are_refused(docs: httpx.AsyncClient) -> None:
    assert_kissvdb_error(await docs.get(DOCS, headers={"host": "evil.example"}), 403, "forbidden")
    assert_kissvdb_error(await docs.get(DOCS, headers={"origin": "https://evil.example"}), 403, "forbidden")


async def test_a_body_over_the_limit_is_refused(docs: httpx.AsyncClient) -> None:
    body = b" " * (MAX_BODY_BYTES + 1)
    response = await docs.post(f"{DOCS}/upsert", content=body, headers=JSON)
    assert_kissvdb_error(response, 413, "payload_too_large")


@pytest.mark.parametrize(
    ("call", "method", "path", "body"),
    [
        ("stats", "GET", "/v1/health", None),
        ("stats", "GET", "/v1/metrics", None),
        ("get", "GET", f"{DOCS}/get?id=a", None),
        ("write", "POST", f"{DOCS}/upsert", {"id": "b", "vector": [1, 2, 3]}),
        ("write", "POST", f"{DOCS}/upsert_batch", {"items": [{"id": "b", "vector": [1, 2, 3]}]}),
        ("delete", "POST", f"{DOCS}/delete_batch", {"ids": ["a"]}),
        ("search", "POST", f"{DOCS}/search", {"vector": [1, 2, 3], "k": 1}),
        ("create", "POST", f"{API}/new", {"dim": 3, "metric": "dot"}),
    ],
)
async def test_what_the_engine_fails_at_is_named(  # noqa: PLR0917
    docs: httpx.AsyncClient, engine: Engine, call: str, method: str, path: str, body: object
) -> None:
    failures = [
        (ShardUnavailable("A shard did not answer."), 503, "unavailable"),
        (StorageFull("The disk is full."), 503, "unavailable"),
        (CorruptData("/data/secret.arrow is damaged.", {"file": "/data/secret.arrow"}), 500, "internal"),
        (ZeroDivisionError("secret"), 500, "internal"),
    ]
    for failure, status, code in failures:
        with patch.object(engine, call, side_effect=failure):
            response = await docs.request(method, path, json=body)
        assert_kissvdb_error(response, status, code)


async def test_a_list_goes_on_without_the_figures_of_a_shard_that_does_not_answer(
    docs: httpx.AsyncClient, engine: Engine
) -> None:
    with patch.object(engine, "stats", return_value=[None]):
        [row] = (await docs.get(API)).json()["collections"]
        assert_kissvdb_error(await docs.get(DOCS), 503, "unavailable")
        assert (await docs.get("/v1/health")).json()["status"] == "degraded"
    figures = ("live_count", "total_records", "upsert_count", "file_len", "applied_offset")
    assert [row[name] for name in figures] == [None] * 5
