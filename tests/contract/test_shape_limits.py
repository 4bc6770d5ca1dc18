"""How large the parts of a request may be, in each family that has them: too large changes nothing."""

from typing import Any

import httpx
import orjson
import pytest

from serve.settings import ServeSettings
from tests.contract.conftest import MAX_BATCH_POINTS, MAX_BODY_BYTES
from tests.contract.envelopes import assert_vectorizer_error, assert_vectory_error
from tests.contract.test_accounts import AUTH, KEYS, PASSWORD, bearer, log_in

MAX_PAYLOAD_BYTES = 2048
JSON = {"content-type": "application/json"}
DOCS = "/api/v1/collections/docs"


@pytest.fixture
def settings(settings: ServeSettings) -> ServeSettings:
    return settings.model_copy(update={"max_payload_bytes": MAX_PAYLOAD_BYTES})


@pytest.fixture
async def docs(client: httpx.AsyncClient) -> str:
    """The path of a collection in the Vectory family."""
    await client.post("/api/v1/collections", json={"name": "docs", "dimension": 3, "metric": "cosine"})
    await client.post(f"{DOCS}/vectors", json={"vectors": [{"id": "a", "vector": [1, 0, 0]}]})
    [listed] = (await client.get("/api/collections")).json()["items"]
    return f"/api/collections/{listed['id']}"


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"k": 1}
    for _ in range(depth - 1):
        value = {"k": value}
    return value


def row(**payload: Any) -> dict[str, Any]:
    return {"id": "new", "vector": [1, 2, 3], "payload": payload}


BAD_INSERTS: dict[str, list[dict[str, Any]]] = {
    "too many vectors": [row()] * (MAX_BATCH_POINTS + 1),
    "too much metadata": [row(), row(k="x" * MAX_PAYLOAD_BYTES)],
    "metadata too deep": [row(**nested(300))],
    "id too long": [{**row(), "id": "x" * 513}],
    "vector too long": [{**row(), "vector": [1.0] * 65}],
}


@pytest.mark.parametrize("rows", BAD_INSERTS.values(), ids=BAD_INSERTS)
async def test_a_vectorizer_insert_that_is_too_large_is_refused(
    client: httpx.AsyncClient, docs: str, rows: list[dict[str, Any]]
) -> None:
    assert docs
    response = await client.post(f"{DOCS}/vectors", json={"vectors": rows})
    assert response.status_code == 400
    assert_vectorizer_error(response, 400, response.json()["code"])
    assert (await client.get(f"{DOCS}/vectors/new")).status_code == 404


async def test_as_much_metadata_as_there_may_be_is_stored(client: httpx.AsyncClient, docs: str) -> None:
    assert docs
    payload = {"k": "x" * (MAX_PAYLOAD_BYTES - len('{"k":""}'))}
    body = {"vectors": [row(**payload)]}
    assert (await client.post(f"{DOCS}/vectors", json=body)).status_code == 201
    assert (await client.get(f"{DOCS}/vectors/new")).json()["payload"] == payload


async def test_what_is_refused_says_which_row_and_how_much_there_may_be(
    client: httpx.AsyncClient, docs: str
) -> None:
    assert docs
    body = {"vectors": BAD_INSERTS["too much metadata"]}
    error = (await client.post(f"{DOCS}/vectors", json=body)).json()
    assert error["error"] == "vectors[1] has metadata of 2056 bytes, at most 2048 are allowed."
    assert error["details"] == {"at": "vectors[1]", "limit": MAX_PAYLOAD_BYTES}


@pytest.mark.parametrize("limit", [0, 101, -1])
async def test_a_vectorizer_search_has_so_many_results_at_most(
    client: httpx.AsyncClient, docs: str, limit: int
) -> None:
    assert docs
    response = await client.post(f"{DOCS}/search", json={"vector": [1, 0, 0], "limit": limit})
    assert_vectorizer_error(response, 400, "VALIDATION_ERROR")


BAD_QUESTIONS: dict[str, dict[str, Any]] = {
    "no results": {"vector": [1, 0, 0], "top_k": 0},
    "too many results": {"vector": [1, 0, 0], "top_k": 1001},
    "long text": {"text": "a" * 32_769},
    "long vector": {"vector": [1.0] * 65},
    "deep filters": {"vector": [1, 0, 0], "filters": nested(900)},
    "many filters": {"vector": [1, 0, 0], "filters": {str(n): n for n in range(1001)}},
}


@pytest.mark.parametrize("question", BAD_QUESTIONS.values(), ids=BAD_QUESTIONS)
@pytest.mark.parametrize("kind", ["query", "hybrid-search"])
async def test_a_vectory_question_that_is_too_large_is_refused(
    client: httpx.AsyncClient, docs: str, kind: str, question: dict[str, Any]
) -> None:
    assert_vectory_error(await client.post(f"{docs}/{kind}", json=question), 400)


async def test_a_text_as_long_as_it_may_be_is_searched_for(client: httpx.AsyncClient, docs: str) -> None:
    for kind in ("query", "hybrid-search"):
        answer = await client.post(f"{docs}/{kind}", json={"text": "a" * 32_768})
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("page", [{"limit": 0}, {"limit": 1001}, {"skip": -1}, {"skip": 2**31}])
async def test_a_page_has_bounds(client: httpx.AsyncClient, page: dict[str, int]) -> None:
    assert_vectory_error(await client.get("/api/collections", params=page), 400)


@pytest.mark.parametrize("path", ["/api/auth/login", "/api/auth/register", "/api/auth/refresh", KEYS])
async def test_a_body_nested_without_end_is_refused(client: httpx.AsyncClient, path: str) -> None:
    ann = bearer((await log_in(client))["access_token"])
    deep = b'{"a":' * 15_000 + b"1" + b"}" * 15_000
    assert len(deep) < MAX_BODY_BYTES
    assert_vectory_error(await client.post(path, content=deep, headers={**JSON, **ann}), 400)


@pytest.mark.parametrize("path", [f"{DOCS}/search", "/api/v1/collections", f"{AUTH}/login", KEYS])
async def test_a_body_that_is_too_large_is_refused_in_every_family(
    client: httpx.AsyncClient, path: str
) -> None:
    ann = bearer((await log_in(client))["access_token"])
    large = orjson.dumps({"email": "x" * MAX_BODY_BYTES})

    async def unannounced() -> Any:
        for at in range(0, len(large), 10_000):
            yield large[at : at + 10_000]

    for content in (large, unannounced()):
        response = await client.post(path, content=content, headers={**JSON, **ann})
        if path.startswith("/api/v1"):
            assert_vectorizer_error(response, 413, response.json()["code"])
        else:
            assert_vectory_error(response, 413)


LONG = {
    "name of a key": (KEYS, {"name": "x" * 256}),
    "scopes of a key": (KEYS, {"name": "k", "permissions": {"scopes": ["read"] * 1001}}),
    "name of a user": (f"{AUTH}/register", {"email": "b@c.d", "password": PASSWORD, "name": "x" * 256}),
    "email": (f"{AUTH}/register", {"email": "b" * 255 + "@c.d", "password": PASSWORD}),
    "password": (f"{AUTH}/register", {"email": "b@c.d", "password": "x" * 1025}),
}


@pytest.mark.parametrize(("path", "body"), LONG.values(), ids=LONG)
async def test_a_string_or_list_that_is_too_long_is_refused(
    client: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    ann = bearer((await log_in(client))["access_token"])
    assert_vectory_error(await client.post(path, json=body, headers=ann), 400)


async def test_a_collections_name_has_bounds(client: httpx.AsyncClient) -> None:
    for name in ("", "x" * 256):
        body = {"name": name, "dimension": 3, "metric": "cosine"}
        response = await client.post("/api/v1/collections", json=body)
        assert_vectorizer_error(response, 400, response.json()["code"])
