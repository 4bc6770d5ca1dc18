"""The Vectorizer API when all goes well, field by field as documented."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest

API = "/api/v1"
DOCS = {"name": "docs", "dimension": 3, "metric": "cosine"}


def vector(point_id: str, *values: float, **payload: Any) -> dict[str, Any]:
    return {"id": point_id, "vector": list(values), "payload": payload}


@pytest.fixture
async def docs(client: httpx.AsyncClient) -> str:
    assert (await client.post(f"{API}/collections", json=DOCS)).status_code == 201
    body = {"vectors": [vector("x", 1, 0, 0, title="X", content="an x"), vector("y", 0, 2, 0)]}
    assert (await client.post(f"{API}/collections/docs/vectors", json=body)).status_code == 201
    return f"{API}/collections/docs"


async def test_health_counts_collections_and_vectors(client: httpx.AsyncClient, docs: str) -> None:
    answer = (await client.get(f"{API}/health")).json()
    assert answer.pop("uptime") >= 0
    assert answer == {"status": "healthy", "version": "0.1.0", "collections": 1, "total_vectors": 2}


async def test_create_answers_201_with_the_documented_body(client: httpx.AsyncClient) -> None:
    config = {"m": 16, "ef_construction": 200, "ef_search": 64, "seed": 42}
    response = await client.post(f"{API}/collections", json={**DOCS, "hnsw_config": config})
    assert response.status_code == 201
    assert response.json() == {"message": "Collection created successfully", "collection": "docs"}


async def test_a_new_collection_is_empty_and_unchanged_since_its_creation(client: httpx.AsyncClient) -> None:
    await client.post(f"{API}/collections", json=DOCS)
    answer = (await client.get(f"{API}/collections/docs")).json()
    created, updated = answer.pop("created_at"), answer.pop("updated_at")
    assert answer == {**DOCS, "vector_count": 0}
    assert created == updated
    assert created.endswith("Z")


async def test_a_write_moves_updated_at(client: httpx.AsyncClient, docs: str) -> None:
    answer = (await client.get(docs)).json()
    assert answer["vector_count"] == 2
    assert answer["updated_at"] > answer["created_at"]
    assert answer["updated_at"].endswith("Z")


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "dotproduct"])
async def test_the_list_shows_what_get_shows(client: httpx.AsyncClient, metric: str) -> None:
    await client.post(f"{API}/collections", json={**DOCS, "metric": metric})
    listed = (await client.get(f"{API}/collections")).json()
    assert listed == [(await client.get(f"{API}/collections/docs")).json()]
    assert listed[0]["metric"] == metric


async def test_a_dropped_collection_is_gone_and_its_name_is_free(
    client: httpx.AsyncClient, docs: str
) -> None:
    response = await client.delete(docs)
    assert (response.status_code, response.json()) == (
        200,
        {"message": "Collection deleted successfully", "collection": "docs"},
    )
    assert (await client.get(docs)).status_code == 404
    assert (await client.post(f"{API}/collections", json=DOCS)).status_code == 201
    assert (await client.get(docs)).json()["vector_count"] == 0


async def test_insert_answers_how_many_rows_were_sent(client: httpx.AsyncClient, docs: str) -> None:
    body = {"vectors": [vector("z", 0, 0, 1, n=1), vector("z", 0, 1, 1, n=2)]}
    response = await client.post(f"{docs}/vectors", json=body)
    assert (response.status_code, response.json()) == (
        201,
        {"message": "Vectors inserted successfully", "inserted": 2},
    )
    assert (await client.get(f"{docs}/vectors/z")).json() == {
        "id": "z",
        "vector": [0.0, 1.0, 1.0],
        "payload": {"n": 2},
    }


async def test_inserting_an_existing_id_replaces_it_whole(client: httpx.AsyncClient, docs: str) -> None:
    await client.post(f"{docs}/vectors", json={"vectors": [{"id": "x", "vector": [0, 0, 5]}]})
    assert (await client.get(f"{docs}/vectors/x")).json() == {"id": "x", "vector": [0, 0, 5], "payload": {}}
    assert (await client.get(docs)).json()["vector_count"] == 2


async def test_a_payload_reads_back_as_it_was_sent(client: httpx.AsyncClient, docs: str) -> None:
    payload = {"ключ": "значение", "nested": {"a": [1, None, True, 1.5, "\u0000"]}, "": {}, "big": 2**64 - 1}
    await client.post(f"{docs}/vectors", json={"vectors": [vector("p", 1, 1, 1) | {"payload": payload}]})
    assert (await client.get(f"{docs}/vectors/p")).json()["payload"] == payload


@pytest.mark.parametrize("payload", [{}, {"payload": None}, {"payload": {}}])
async def test_no_payload_reads_back_as_an_empty_one(
    client: httpx.AsyncClient, docs: str, payload: dict[str, Any]
) -> None:
    await client.post(f"{docs}/vectors", json={"vectors": [{"id": "p", "vector": [1, 1, 1], **payload}]})
    assert (await client.get(f"{docs}/vectors/p")).json()["payload"] == {}


async def test_vectors_read_back_as_float32(client: httpx.AsyncClient, docs: str) -> None:
    await client.post(f"{docs}/vectors", json={"vectors": [vector("f", 0.1, 1e-40, 3.4e38)]})
    assert (await client.get(f"{docs}/vectors/f")).json()["vector"] == pytest.approx(
        [0.1, 1e-40, 3.4e38], rel=1e-4
    )


@pytest.mark.parametrize(
    "point_id", ["a/b/c", "/", "a//b/", "..", "../x", "a%2Fb", "a b?c#d&e", "naïve 🦆", ".", "vectors/x", "+"]
)
async def test_ids_in_paths_may_hold_anything(client: httpx.AsyncClient, docs: str, point_id: str) -> None:
    await client.post(f"{docs}/vectors", json={"vectors": [vector(point_id, 1, 2, 3)]})
    url = f"{docs}/vectors/{quote(point_id, safe='').replace('.', '%2E')}"
    assert (await client.get(url)).json()["id"] == point_id
    deleted = await client.delete(url)
    assert (deleted.status_code, deleted.json()) == (
        200,
        {"message": "Vector deleted successfully", "collection": "docs", "vector_id": point_id},
    )
    assert (await client.get(url)).status_code == 404


async def test_search_ranks_and_carries_vector_and_payload(client: httpx.AsyncClient, docs: str) -> None:
    response = await client.post(f"{docs}/search", json={"vector": [1, 0.5, 0]})
    answer = response.json()
    assert response.status_code == 200
    assert answer["query_time_ms"] >= 0
    best, second = answer["results"]
    assert best == {
        "id": "x",
        "score": pytest.approx(2 / 5**0.5),
        "vector": [1.0, 0.0, 0.0],
        "payload": {"title": "X", "content": "an x"},
    }
    assert (second["id"], second["payload"]) == ("y", {})
    assert answer.keys() == {"results", "query_time_ms"}


async def test_search_limits_and_cuts_below_the_threshold(client: httpx.AsyncClient, docs: str) -> None:
    async def ids(**question: Any) -> list[str]:
        answer = await client.post(f"{docs}/search", json={"vector": [1, 0.5, 0], **question})
        return [result["id"] for result in answer.json()["results"]]

    assert await ids(limit=100) == ["x", "y"]
    assert await ids(limit=1) == ["x"]
    assert await ids(score_threshold=0.7) == ["x"]
    assert await ids(score_threshold=1) == []
    assert await ids(score_threshold=None) == ["x", "y"]


async def test_search_answers_ten_results_unless_told_otherwise(client: httpx.AsyncClient, docs: str) -> None:
    many = [vector(f"m{n:02}", 1, n, 0) for n in range(15)]
    await client.post(f"{docs}/vectors", json={"vectors": many})
    assert len((await client.post(f"{docs}/search", json={"vector": [1, 0, 0]})).json()["results"]) == 10


async def test_the_spellings_of_the_existing_sdk_are_understood(client: httpx.AsyncClient) -> None:
    body: dict[str, Any] = {"name": "sdk", "dimension": 2, "similarity_metric": "dotproduct"}
    assert (await client.post(f"{API}/collections", json=body)).status_code == 201
    body = {"vectors": [{"id": "a", "data": [1, 2], "metadata": {"k": "v"}}]}
    assert (await client.post(f"{API}/collections/sdk/vectors", json=body)).status_code == 201
    assert (await client.get(f"{API}/collections/sdk")).json()["metric"] == "dotproduct"
    assert (await client.get(f"{API}/collections/sdk/vectors/a")).json() == {
        "id": "a",
        "vector": [1, 2],
        "payload": {"k": "v"},
    }
    found = await client.post(f"{API}/collections/sdk/search", json={"data": [3, 4]})
    assert found.json()["results"][0]["score"] == 11


async def test_both_spellings_may_be_given_when_they_agree(client: httpx.AsyncClient, docs: str) -> None:
    item = {"id": "s", "vector": [1, 2, 3], "data": [1, 2, 3], "payload": {"k": 1}, "metadata": None}
    assert (await client.post(f"{docs}/vectors", json={"vectors": [item]})).status_code == 201
    assert (await client.get(f"{docs}/vectors/s")).json()["payload"] == {"k": 1}


async def test_unknown_keys_are_ignored(client: httpx.AsyncClient) -> None:
    body = {**DOCS, "quantization": {"type": "none"}, "hnsw_config": {"m": 8, "extra": 1}}
    assert (await client.post(f"{API}/collections", json=body)).status_code == 201


async def test_a_body_needs_no_content_type(client: httpx.AsyncClient, docs: str) -> None:
    response = await client.post(f"{docs}/search", content=b'{"vector": [1, 0, 0]}')
    assert "content-type" not in response.request.headers
    assert response.status_code == 200


async def test_every_answer_has_a_number_of_its_own(client: httpx.AsyncClient) -> None:
    forged = {"x-request-id": "mine"}
    numbers = {(await client.get(f"{API}/health", headers=forged)).headers["x-request-id"] for _ in range(3)}
    assert len(numbers) == 3
    assert "mine" not in numbers
