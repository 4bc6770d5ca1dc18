"""The part of the Vectory API that is there: documented fields, filters, errors in its own envelope."""

from typing import Any
from unittest.mock import patch
from uuid import UUID

import httpx
import pytest

from cluster.engine import Engine
from tests.contract.conftest import MAX_BODY_BYTES
from tests.contract.envelopes import assert_vectory_error
from vectoray.core.errors import ShardUnavailable

API = "/api"
JSON = {"content-type": "application/json"}


async def create(client: httpx.AsyncClient, name: str, *, dimension: int = 3, metric: str = "cosine") -> str:
    """Make a collection through the other family; its UUID."""
    body = {"name": name, "dimension": dimension, "metric": metric}
    assert (await client.post("/api/v1/collections", json=body)).status_code == 201
    listed = (await client.get(f"{API}/collections", params={"limit": 1000})).json()["items"]
    return str(next(item["id"] for item in listed if item["name"] == name))


@pytest.fixture
async def docs(client: httpx.AsyncClient) -> str:
    collection_id = await create(client, "docs")
    rows = [
        {"id": "x", "vector": [1, 0, 0], "payload": {"category": "science", "year": 1, "text": "an x"}},
        {"id": "y", "vector": [0, 2, 0], "payload": {"category": "art", "by": {"name": "Ann"}, "n": None}},
    ]
    await client.post("/api/v1/collections/docs/vectors", json={"vectors": rows})
    return f"{API}/collections/{collection_id}"


async def query(client: httpx.AsyncClient, path: str, **question: Any) -> dict[str, Any]:
    response = await client.post(f"{path}/query", json={"vector": [1, 0.5, 0], **question})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def ids(client: httpx.AsyncClient, path: str, **question: Any) -> list[str]:
    return [result["id"] for result in (await query(client, path, **question))["results"]]


async def test_health(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"{API}/health")).json() == {
        "status": "healthy",
        "version": "0.1.0",
        "database": "connected",
        "redis": "not_configured",
    }


async def test_models(client: httpx.AsyncClient) -> None:
    models = (await client.get(f"{API}/models")).json()
    assert models == [{"name": "letters-3", "provider": "tests", "dimensions": 3}]


async def test_a_collection_has_the_documented_fields(client: httpx.AsyncClient, docs: str) -> None:
    answer = (await client.get(docs)).json()
    assert str(UUID(answer["id"])) == answer["id"]
    assert answer["created_at"].endswith("Z")
    assert answer["updated_at"] > answer["created_at"]
    assert {key: value for key, value in answer.items() if key not in ("id", "created_at", "updated_at")} == {
        "name": "docs",
        "description": "",
        "embedding_model": "letters-3",
        "dimension": 3,
        "distance_metric": "cosine",
        "index_type": "hnsw",
        "vector_count": 2,
        "index_size_bytes": 0,
        "config": None,
        "created_by": "local",
    }


async def test_a_collection_is_found_by_any_form_of_its_uuid(client: httpx.AsyncClient, docs: str) -> None:
    upper = docs.removeprefix(f"{API}/collections/").upper()
    assert (await client.get(f"{API}/collections/{upper}")).json()["name"] == "docs"


async def test_the_list_is_cut_into_pages(client: httpx.AsyncClient) -> None:
    for n in range(3):
        await create(client, f"c{n}")
    page = (await client.get(f"{API}/collections", params={"skip": 1, "limit": 1})).json()
    assert ([item["name"] for item in page["items"]], page["total"]) == (["c1"], 3)
    everything = (await client.get(f"{API}/collections")).json()
    assert [item["name"] for item in everything["items"]] == ["c0", "c1", "c2"]


async def test_a_query_has_the_documented_fields(client: httpx.AsyncClient, docs: str) -> None:
    answer = await query(client, docs, distance_metric="cosine", top_k=1)
    assert answer.pop("latency_ms") >= 0
    assert UUID(answer.pop("query_id"))
    assert answer == {
        "results": [
            {
                "id": "x",
                "score": pytest.approx(0.894427),
                "distance": pytest.approx(0.105573, rel=1e-5),
                "metadata": {"category": "science", "year": 1, "text": "an x"},
                "text_content": "an x",
            }
        ],
        "total": 1,
        "collection_id": docs.rpartition("/")[2],
        "distance_metric": "cosine",
    }


async def test_vectors_and_metadata_come_as_asked(client: httpx.AsyncClient, docs: str) -> None:
    [result] = (await query(client, docs, top_k=1, include_vectors=True, include_metadata=False))["results"]
    assert result["vector"] == [1, 0, 0]
    assert "metadata" not in result


async def test_a_text_is_embedded_with_the_collections_model(client: httpx.AsyncClient, docs: str) -> None:
    assert await ids(client, docs, vector=None, text="bbb a") == ["y", "x"]
    assert await ids(client, docs, vector=None, text="aaa b") == ["x", "y"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["x", "y"]),
        ({"category": "science"}, ["x"]),
        ({"category": "science", "year": 2}, []),
        ({"by": {"name": "Ann"}}, ["y"]),
        ({"n": None}, ["y"]),
        ({"year": True}, []),
        ({"by.name": "Ann"}, []),
    ],
)
async def test_filters_keep_what_contains_them(
    client: httpx.AsyncClient, docs: str, filters: dict[str, Any], expected: list[str]
) -> None:
    assert await ids(client, docs, filters=filters) == expected


@pytest.mark.parametrize(
    ("metric", "name", "score", "distance"),
    [("euclidean", "euclidean", 1 / 6, 5.0), ("dotproduct", "dot_product", 25.0, -25.0)],
)
async def test_scores_and_distances_of_the_other_metrics(
    client: httpx.AsyncClient, metric: str, name: str, score: float, distance: float
) -> None:
    path = f"{API}/collections/{await create(client, 'other', dimension=2, metric=metric)}"
    origin = [3, 4] if metric == "dotproduct" else [0, 0]
    rows = {"vectors": [{"id": "p", "vector": [3, 4]}]}
    await client.post("/api/v1/collections/other/vectors", json=rows)
    answer = await query(client, path, vector=origin)
    assert answer["distance_metric"] == name
    assert answer["results"][0]["score"] == pytest.approx(score)
    assert answer["results"][0]["distance"] == pytest.approx(distance)


BAD_QUERIES = {
    "nothing": "{}",
    "both": '{"vector": [1, 2, 3], "text": "a"}',
    "dimension": '{"vector": [1, 2]}',
    "NaN": '{"vector": [NaN, 1, 2]}',
    "1e39": '{"vector": [1e39, 1, 2]}',
    "zero": '{"vector": [0, 0, 0]}',
    "empty text": '{"text": "  "}',
    "text without meaning": '{"text": "zzz"}',
    "top_k 0": '{"vector": [1, 2, 3], "top_k": 0}',
    "top_k 1001": '{"vector": [1, 2, 3], "top_k": 1001}',
    "other metric": '{"vector": [1, 2, 3], "distance_metric": "euclidean"}',
    "unknown metric": '{"vector": [1, 2, 3], "distance_metric": "l1"}',
    "list in filters": '{"vector": [1, 2, 3], "filters": {"tags": ["a"]}}',
    "empty object in filters": '{"vector": [1, 2, 3], "filters": {"a": {}}}',
    "deep filters": '{"vector": [1, 2, 3], "filters": ' + '{"a":' * 900 + "1" + "}" * 901,
    "filters is a list": '{"vector": [1, 2, 3], "filters": []}',
    "deep body": "[" * 50_000,
    "no JSON": "vector=1",
}


@pytest.mark.parametrize("body", BAD_QUERIES.values(), ids=BAD_QUERIES)
async def test_a_bad_query_is_refused(client: httpx.AsyncClient, docs: str, body: str) -> None:
    assert_vectory_error(await client.post(f"{docs}/query", content=body, headers=JSON), 400)


async def test_a_text_needs_a_model(client: httpx.AsyncClient) -> None:
    collection_id = await create(client, "wide", dimension=5)
    response = await client.post(f"{API}/collections/{collection_id}/query", json={"text": "a"})
    assert_vectory_error(response, 400)
    assert response.json()["detail"] == "Collection 'wide' has no embedding model; search it with a vector."


@pytest.mark.parametrize("skip_limit", ["skip=-1", "limit=0", "limit=1001", "limit=x", "skip=99999999999999"])
async def test_a_bad_page_is_refused(client: httpx.AsyncClient, skip_limit: str) -> None:
    assert_vectory_error(await client.get(f"{API}/collections?{skip_limit}"), 400)


@pytest.mark.parametrize(
    "collection_id", ["0a6f5a1e-6f0e-4b52-9a37-4c1d1b7f2c11", "docs", "%2E%2E", "x" * 300]
)
async def test_a_collection_that_is_not_there(
    client: httpx.AsyncClient, docs: str, collection_id: str
) -> None:
    path = f"{API}/collections/{collection_id}"
    assert_vectory_error(await client.get(path), 404)
    assert_vectory_error(await client.post(f"{path}/query", json={"vector": [1, 2, 3]}), 404)


async def test_errors_around_the_handlers_have_the_familys_envelope(
    client: httpx.AsyncClient, strict_client: httpx.AsyncClient, engine: Engine, docs: str
) -> None:
    assert_vectory_error(await client.get(f"{API}/nothing"), 404)
    assert_vectory_error(await client.get("/api"), 404)
    assert_vectory_error(await client.delete(f"{API}/health"), 405)
    assert_vectory_error(await client.get(docs, headers={"x-api-key": "secret"}), 401)
    assert_vectory_error(await strict_client.get(f"{API}/collections"), 401)
    assert_vectory_error(await client.get(docs, headers={"host": "evil.example"}), 403)
    assert_vectory_error(await client.get(docs, headers={"origin": "https://evil.example"}), 403)
    big = b" " * (MAX_BODY_BYTES + 1)
    assert_vectory_error(await client.post(f"{docs}/query", content=big, headers=JSON), 413)
    with patch.object(engine, "stats", side_effect=ShardUnavailable("A shard did not answer.")):
        assert_vectory_error(await client.get(docs), 503)
        assert (await client.get(f"{API}/health")).json()["status"] == "degraded"
    with patch.object(engine, "stats", side_effect=ZeroDivisionError("secret")):
        assert_vectory_error(await client.get(docs), 500)
