"""Hybrid search over REST: by vector, by words, by both, and what cannot be asked."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.contract.envelopes import assert_vectory_error
from tests.contract.test_vectory import create

API = "/api"


@pytest.fixture
async def docs(client: httpx.AsyncClient) -> str:
    collection_id = await create(client, "docs")
    rows = [
        {"id": "x", "vector": [1, 0, 0], "payload": {"kind": "far", "text": "zebra crossing"}},
        {"id": "y", "vector": [0, 1, 0], "payload": {"kind": "near", "text": "abc bbb"}},
        {"id": "z", "vector": [0, 1, 1], "payload": {"kind": "near"}},
    ]
    await client.post("/api/v1/collections/docs/vectors", json={"vectors": rows})
    return f"{API}/collections/{collection_id}"


async def hybrid(client: httpx.AsyncClient, path: str, **question: Any) -> dict[str, Any]:
    response = await client.post(f"{path}/hybrid-search", json=question)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def ids(client: httpx.AsyncClient, path: str, **question: Any) -> list[str]:
    return [result["id"] for result in (await hybrid(client, path, **question))["results"]]


async def test_an_answer_has_the_fields_of_a_query_and_both_scores(
    client: httpx.AsyncClient, docs: str
) -> None:
    answer = await hybrid(
        client, docs, text="zebra", vector=[0, 1, 0], top_k=2, vector_weight=0.3, text_weight=0.7
    )
    assert answer.pop("latency_ms") >= 0
    assert UUID(answer.pop("query_id"))
    first, second = answer.pop("results")
    assert answer == {
        "total": 2,
        "collection_id": docs.rpartition("/")[2],
        "distance_metric": "cosine",
    }
    assert first.pop("text_score") > 0
    assert first == {
        "id": "x",
        "score": pytest.approx(0.7),
        "distance": 1,
        "vector_score": 0,
        "metadata": {"kind": "far", "text": "zebra crossing"},
        "text_content": "zebra crossing",
    }
    assert second == {
        "id": "y",
        "score": pytest.approx(0.3),
        "distance": 0,
        "vector_score": 1,
        "text_score": 0,
        "metadata": {"kind": "near", "text": "abc bbb"},
        "text_content": "abc bbb",
    }


async def test_the_weights_decide(client: httpx.AsyncClient, docs: str) -> None:
    question = {"text": "zebra", "vector": [0, 1, 0]}
    assert await ids(client, docs, **question) == ["y", "z", "x"]
    assert (await ids(client, docs, **question, vector_weight=0.1, text_weight=10))[0] == "x"
    assert await ids(client, docs, **question, vector_weight=0) == ["x"]


async def test_a_text_alone_is_embedded_too(client: httpx.AsyncClient, docs: str) -> None:
    [first, *others] = (await hybrid(client, docs, text="abc bbb"))["results"]
    assert (first["id"], len(others)) == ("y", 2)
    assert first["vector_score"] > 0.9
    assert first["text_score"] > 0


async def test_a_text_alone_without_weight_for_vectors_is_words_alone(
    client: httpx.AsyncClient, docs: str
) -> None:
    [only] = (await hybrid(client, docs, text="zebra", vector_weight=0))["results"]
    assert (only["id"], only["distance"], only["vector_score"]) == ("x", None, None)


async def test_a_vector_alone_is_a_query(client: httpx.AsyncClient, docs: str) -> None:
    [first, *_] = (await hybrid(client, docs, vector=[0, 1, 0]))["results"]
    assert (first["id"], first["score"], first["text_score"]) == ("y", 1, None)


async def test_filters_vectors_and_metadata_come_as_asked(client: httpx.AsyncClient, docs: str) -> None:
    answer = await hybrid(
        client,
        docs,
        text="zebra",
        vector=[1, 0, 0],
        filters={"kind": "near"},
        include_vectors=True,
        include_metadata=False,
        top_k=1,
    )
    [result] = answer["results"]
    assert result["id"] in ("y", "z")
    assert len(result["vector"]) == 3
    assert "metadata" not in result


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ({}, "vector"),
        ({"text": "  "}, "text"),
        ({"vector": [1, 2]}, "dimensions"),
        ({"vector": [0, 0, 0]}, "zeros"),
        ({"text": "a", "vector_weight": 0, "text_weight": 0}, "weight"),
        ({"vector": [1, 0, 0], "vector_weight": 0}, "weight is 0"),
        ({"text": "a", "vector_weight": -1}, "vector_weight"),
        ({"text": "a", "text_weight": 1e300}, "text_weight"),
        ({"text": "a", "top_k": 0}, "top_k"),
        ({"text": "a", "top_k": 1001}, "top_k"),
        ({"text": "a", "filters": {"a": [1]}}, "filters.a"),
        ({"text": 1}, "text"),
    ],
)
async def test_what_cannot_be_asked_is_refused(
    client: httpx.AsyncClient, docs: str, question: dict[str, Any], says: str
) -> None:
    response = await client.post(f"{docs}/hybrid-search", json=question)
    assert_vectory_error(response, 400)
    assert says in response.json()["detail"]


async def test_a_text_needs_a_model_unless_vectors_have_no_weight(client: httpx.AsyncClient) -> None:
    other = f"{API}/collections/{await create(client, 'other', dimension=2)}"
    response = await client.post(f"{other}/hybrid-search", json={"text": "a"})
    assert_vectory_error(response, 400)
    assert "no embedding model" in response.json()["detail"]
    assert await ids(client, other, text="a", vector_weight=0) == []


async def test_a_collection_that_is_not_there_is_a_404(client: httpx.AsyncClient) -> None:
    missing = f"{API}/collections/00000000-0000-0000-0000-000000000000"
    assert_vectory_error(await client.post(f"{missing}/hybrid-search", json={"text": "a"}), 404)


async def test_a_caller_without_a_credential_is_refused(strict_client: httpx.AsyncClient) -> None:
    missing = f"{API}/collections/00000000-0000-0000-0000-000000000000"
    assert_vectory_error(await strict_client.post(f"{missing}/hybrid-search", json={"text": "a"}), 401)
