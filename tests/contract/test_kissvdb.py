"""The kiss-vdb API when all goes well, field by field as documented."""

import time
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import httpx
import msgpack
import numpy as np
import pytest

from cluster.engine import Engine
from tests.contract.test_accounts import ann, bearer, log_in, make_key

__all__ = ["ann"]

API = "/v1/vector"
DOCS = f"{API}/docs"
DEV = {"authorization": "Bearer dev"}


@pytest.fixture
async def docs(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A client with a collection ``docs``, cosine, dimension 3, with two vectors in it."""
    await post(client, DOCS, {"dim": 3, "metric": "cosine"})
    meta = {"autor": "Jairo", "año": 2024, "publicado": True}
    await post(client, f"{DOCS}/upsert", {"id": "doc_123", "vector": [1, 0, 0], "meta": meta})
    await post(client, f"{DOCS}/upsert", {"id": "doc_456", "vector": [0.6, 0.8, 0]})
    return client


async def post(client: httpx.AsyncClient, path: str, body: object, **more: Any) -> Any:
    response = await client.post(path, json=body, **more)
    assert response.status_code == 200, response.text
    return response.json()


async def row(client: httpx.AsyncClient) -> dict[str, Any]:
    """The only collection, as the list has it."""
    answer = (await client.get(API)).json()
    assert answer.keys() == {"collections"}
    [found] = answer["collections"]
    return dict(found)


async def test_a_collection_is_created_as_documented(client: httpx.AsyncClient) -> None:
    body = {"dim": 64, "metric": "cosine"}
    response = await client.post(f"{API}/mis_embeddings", json=body, headers=DEV)
    assert (response.status_code, response.json()) == (200, {"collection": "mis_embeddings", **body})


async def test_a_new_collection_is_listed_as_documented(client: httpx.AsyncClient) -> None:
    before_ms = int(time.time() * 1000)
    await post(client, DOCS, {"dim": 3, "metric": "dot"})
    listed = await row(client)
    assert before_ms <= listed["created_at_ms"] == listed.pop("updated_at_ms") <= int(time.time() * 1000) + 1
    assert listed == {
        "collection": "docs",
        "dim": 3,
        "metric": "dot",
        "live_count": 0,
        "total_records": 0,
        "upsert_count": 0,
        "file_len": 0,
        "applied_offset": 1,
        "created_at_ms": listed["created_at_ms"],
    }


async def test_the_figures_of_a_collection_follow_its_writes(docs: httpx.AsyncClient) -> None:
    def figures(row: dict[str, Any]) -> list[int]:
        return [row[name] for name in ("live_count", "total_records", "upsert_count", "applied_offset")]

    assert figures(await row(docs)) == [2, 2, 2, 3]
    await post(docs, f"{DOCS}/upsert", {"id": "doc_123", "vector": [1, 1, 1]})
    await post(docs, f"{DOCS}/delete", {"id": "doc_456"})
    listed = await row(docs)
    assert figures(listed) == [1, 3, 4, 5]
    assert listed["updated_at_ms"] >= listed["created_at_ms"]
    info = (await docs.get(DOCS)).json()
    assert info == {
        "collection": "docs",
        "dim": 3,
        "metric": "cosine",
        "count": 1,
        "created_at_ms": listed["created_at_ms"],
        "updated_at_ms": listed["updated_at_ms"],
    }


async def test_a_dropped_collection_is_gone_and_its_name_is_free(docs: httpx.AsyncClient) -> None:
    response = await docs.delete(DOCS)
    assert (response.status_code, response.json()) == (200, {"deleted": True})
    assert (await docs.get(DOCS)).status_code == 404
    await post(docs, DOCS, {"dim": 2, "metric": "dot"})
    assert (await row(docs))["live_count"] == 0


async def test_every_write_answers_ok(docs: httpx.AsyncClient) -> None:
    item = {"id": "new", "vector": [0, 0, 1], "meta": {"a": [1, {"b": None}]}}
    for way in ("add", "upsert", "update"):
        assert await post(docs, f"{DOCS}/{way}", item) == {"ok": True}
    assert (await docs.get(f"{DOCS}/get", params={"id": "new"})).json() == item
    assert await post(docs, f"{DOCS}/delete", {"id": "new"}) == {"deleted": True}
    assert (await docs.get(f"{DOCS}/get", params={"id": "new"})).status_code == 404


@pytest.mark.parametrize("meta", [{}, {"meta": None}, {"meta": {}}])
async def test_no_meta_reads_back_as_an_empty_one(docs: httpx.AsyncClient, meta: dict[str, Any]) -> None:
    await post(docs, f"{DOCS}/upsert", {"id": "m", "vector": [1, 1, 1], **meta})
    answer = (await docs.get(f"{DOCS}/get", params={"id": "m"})).json()
    assert answer == {"id": "m", "vector": [1, 1, 1], "meta": {}}


async def test_an_update_changes_what_is_given_and_nothing_else(docs: httpx.AsyncClient) -> None:
    async def stored() -> Any:
        answer = (await docs.get(f"{DOCS}/get", params={"id": "doc_456"})).json()
        return answer["vector"], answer["meta"]

    await post(docs, f"{DOCS}/update", {"id": "doc_456", "meta": {"k": 1}})
    assert await stored() == (pytest.approx([0.6, 0.8, 0]), {"k": 1})
    await post(docs, f"{DOCS}/update", {"id": "doc_456", "vector": [0, 0, 1], "meta": None})
    assert await stored() == ([0, 0, 1], {"k": 1})
    await post(docs, f"{DOCS}/update", {"id": "doc_456", "meta": {"other": [1]}})
    assert await stored() == ([0, 0, 1], {"other": [1]})


@pytest.mark.parametrize("point_id", ["a/b/c", "..", "a b?c#d&e", "naïve 🦆", "+", "["])
async def test_an_id_may_hold_anything(docs: httpx.AsyncClient, point_id: str) -> None:
    await post(docs, f"{DOCS}/add", {"id": point_id, "vector": [1, 2, 3], "meta": {"[": "["}})
    answer = (await docs.get(f"{DOCS}/get", params={"id": point_id})).json()
    assert answer == {"id": point_id, "vector": [1, 2, 3], "meta": {"[": "["}}
    assert await post(docs, f"{DOCS}/delete", {"id": point_id}) == {"deleted": True}


async def test_a_search_answers_as_documented(docs: httpx.AsyncClient) -> None:
    question: dict[str, Any] = {"vector": [1, 0, 0], "k": 5, "include_meta": True}
    meta = {"autor": "Jairo", "año": 2024, "publicado": True}
    assert await post(docs, f"{DOCS}/search", question) == {
        "hits": [
            {"id": "doc_123", "score": 1.0, "meta": meta},
            {"id": "doc_456", "score": pytest.approx(0.6), "meta": {}},
        ]
    }
    question["filters"] = {"publicado": True, "autor": "Jairo"}
    assert await post(docs, f"{DOCS}/search", question) == {
        "hits": [{"id": "doc_123", "score": 1.0, "meta": meta}]
    }


async def test_hits_have_no_meta_unless_asked_for(docs: httpx.AsyncClient) -> None:
    answer = await post(docs, f"{DOCS}/search", {"vector": [1, 0, 0], "k": 1})
    assert answer == {"hits": [{"id": "doc_123", "score": 1.0}]}


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"año": 2024}, ["doc_123"]),
        ({"año": 2024.0}, ["doc_123"]),
        ({"año": "2024"}, []),
        ({"publicado": 1}, []),
        ({"publicado": True, "autor": "Ana"}, []),
        ({"absent": None}, []),
        ({}, ["doc_123", "doc_456"]),
        (None, ["doc_123", "doc_456"]),
    ],
)
async def test_filters_match_exactly(
    docs: httpx.AsyncClient, filters: dict[str, Any] | None, found: list[str]
) -> None:
    answer = await post(docs, f"{DOCS}/search", {"vector": [1, 0, 0], "k": 1000, "filters": filters})
    assert [hit["id"] for hit in answer["hits"]] == found


async def test_the_inner_product_is_the_score_under_dot(client: httpx.AsyncClient) -> None:
    await post(client, DOCS, {"dim": 2, "metric": "dot"})
    await post(client, f"{DOCS}/upsert", {"id": "a", "vector": [1, 2]})
    assert await post(client, f"{DOCS}/search", {"vector": [3, 4], "k": 1}) == {
        "hits": [{"id": "a", "score": 11.0}]
    }


def error(code: str, message: str) -> dict[str, str]:
    return {"error": code, "message": message}


async def test_a_bad_item_does_not_stop_the_others(docs: httpx.AsyncClient) -> None:
    items = [
        {"id": "one", "vector": [1, 2, 3], "meta": {"n": 1}},
        {"id": "short", "vector": [1, 2]},
        {"vector": [1, 2, 3]},
        {"id": "", "vector": [1, 2, 3]},
        {"id": "meta", "vector": [1, 2, 3], "meta": "text"},
        7,
        {"id": "zero", "vector": [0, 0, 0]},
        {"id": "two", "vector": [3, 2, 1]},
    ]
    answer = await post(docs, f"{DOCS}/upsert_batch", {"items": items})
    statuses = [(result["status"], result["id"]) for result in answer["results"]]
    assert statuses == [
        ("upserted", "one"),
        ("error", "short"),
        ("error", None),
        ("error", ""),
        ("error", "meta"),
        ("error", None),
        ("error", "zero"),
        ("upserted", "two"),
    ]
    assert answer["results"][0] == {"status": "upserted", "id": "one"}
    assert [result.get("error") for result in answer["results"]] == [
        None,
        error("dim_mismatch", "vector has 2 dimensions, the collection has 3."),
        error("invalid_argument", "id: Field required."),
        error("invalid_argument", "id is empty; every vector needs an id."),
        error("invalid_argument", "meta: Input should be a valid dictionary."),
        error(
            "invalid_argument",
            "Input should be a valid dictionary or object to extract fields from.",
        ),
        error(
            "invalid_argument",
            "vector is all zeros, which has no direction to compare under the cosine metric.",
        ),
        None,
    ]
    assert (await row(docs))["live_count"] == 4
    assert (await docs.get(f"{DOCS}/get", params={"id": "one"})).json()["meta"] == {"n": 1}


async def test_the_later_of_two_items_with_one_id_wins(docs: httpx.AsyncClient) -> None:
    items = [{"id": "same", "vector": [1, 2, 3]}, {"id": "same", "vector": [3, 2, 1], "meta": {"n": 2}}]
    answer = await post(docs, f"{DOCS}/upsert_batch", {"items": items})
    assert answer == {"results": [{"status": "upserted", "id": "same"}] * 2}
    assert (await docs.get(f"{DOCS}/get", params={"id": "same"})).json() == items[1]


async def test_a_batch_goes_to_the_engine_as_one(docs: httpx.AsyncClient, engine: Engine) -> None:
    items = [{"id": f"{n}", "vector": [n % 5, 1, 2] if n % 5 else [1]} for n in range(20)]
    with patch.object(engine, "write", wraps=engine.write) as write:
        await post(docs, f"{DOCS}/upsert_batch", {"items": items})
    assert [len(call.args[1]) for call in write.call_args_list] == [16]
    with patch.object(engine, "delete", wraps=engine.delete) as delete:
        await post(docs, f"{DOCS}/delete_batch", {"ids": [f"{n}" for n in range(20)]})
    assert delete.call_count == 1


async def test_ids_are_deleted_each_by_itself_and_in_order(docs: httpx.AsyncClient) -> None:
    ids = ["absent", "doc_123", 7, "doc_123", "", "doc_456"]
    answer = await post(docs, f"{DOCS}/delete_batch", {"ids": ids})
    missing = "Vector '{}' does not exist in collection 'docs'."
    assert answer["results"] == [
        {"status": "error", "id": "absent", "error": error("not_found", missing.format("absent"))},
        {"status": "deleted", "id": "doc_123"},
        {"status": "error", "id": None, "error": error("invalid_argument", "An id must be a string.")},
        {"status": "error", "id": "doc_123", "error": error("not_found", missing.format("doc_123"))},
        {
            "status": "error",
            "id": "",
            "error": error("invalid_argument", "id is empty; every vector needs an id."),
        },
        {"status": "deleted", "id": "doc_456"},
    ]
    assert (await row(docs))["live_count"] == 0


async def test_an_empty_batch_has_no_results(docs: httpx.AsyncClient) -> None:
    assert await post(docs, f"{DOCS}/upsert_batch", {"items": []}) == {"results": []}
    assert await post(docs, f"{DOCS}/delete_batch", {"ids": []}) == {"results": []}


async def test_health_says_how_things_are(docs: httpx.AsyncClient) -> None:
    answer = (await docs.get("/v1/health")).json()
    assert answer.pop("uptime_s") >= 0
    assert answer == {"status": "ok", "version": "0.1.0", "collections": 1, "vectors": 2}


async def test_metrics_are_for_prometheus(docs: httpx.AsyncClient) -> None:
    response = await docs.get("/v1/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = response.text.splitlines()
    assert "# TYPE vectoray_collections gauge" in lines
    values = dict(line.split() for line in lines if not line.startswith("#"))
    assert values.keys() == {
        "vectoray_uptime_seconds",
        "vectoray_collections",
        "vectoray_collections_unavailable",
        "vectoray_vectors",
    }
    assert (values["vectoray_collections"], values["vectoray_vectors"]) == ("1", "2")


async def test_bodies_and_answers_may_be_messagepack(docs: httpx.AsyncClient) -> None:
    body = msgpack.packb({"vector": np.array([0.6, 0.8, 0], "<f4").tobytes(), "k": 1, "include_meta": True})
    headers = {"content-type": "application/msgpack", "accept": "application/msgpack"}
    response = await docs.post(f"{DOCS}/search", content=body, headers=headers)
    assert msgpack.unpackb(response.content) == {
        "hits": [{"id": "doc_456", "score": pytest.approx(1.0), "meta": {}}]
    }


async def test_a_collection_is_the_same_in_every_family(docs: httpx.AsyncClient) -> None:
    await post(docs, f"{DOCS}/upsert", {"id": "t", "vector": [0, 0, 1], "meta": {"text": "words", "n": 1}})
    await post(docs, f"{DOCS}/update", {"id": "doc_456", "meta": {"content": "changed", "text": "other"}})
    other = (await docs.get("/api/v1/collections/docs/vectors/t")).json()
    assert (other["vector"], other["payload"]) == ([0, 0, 1], {"text": "words", "n": 1})
    [listed] = (await docs.get("/api/collections")).json()["items"]
    body = {"vector": [0, 0.1, 1], "top_k": 2}
    found = (await docs.post(f"/api/collections/{listed['id']}/query", json=body)).json()["results"]
    assert [(one["id"], one["text_content"]) for one in found] == [("t", "words"), ("doc_456", "changed")]

    created = {"name": "far", "dimension": 2, "metric": "euclidean"}
    await docs.post("/api/v1/collections", json=created)
    rows = {"vectors": [{"id": "a", "vector": [0, 3], "payload": {"k": "v"}}]}
    await docs.post("/api/v1/collections/far/vectors", json=rows)
    assert (await docs.get(f"{API}/far")).json()["metric"] == "euclidean"
    answer = await post(docs, f"{API}/far/search", {"vector": [0, 0], "k": 1, "include_meta": True})
    assert answer == {"hits": [{"id": "a", "score": 0.25, "meta": {"k": "v"}}]}


def in_query(key: str) -> dict[str, Any]:
    return {"params": {"api_key": key}}


WAYS: dict[str, Callable[[str], dict[str, Any]]] = {
    "bearer": lambda key: {"headers": bearer(key)},
    "header": lambda key: {"headers": {"x-api-key": key}},
    "query": in_query,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_a_key_may_be_sent_in_three_ways(
    client: httpx.AsyncClient, ann: dict[str, str], way: Callable[[str], dict[str, Any]]
) -> None:
    await post(client, f"{API}/anns", {"dim": 2, "metric": "dot"}, headers=ann)
    raw = (await make_key(client, ann))["raw_key"]
    assert (await client.get(f"{API}/anns", **way(raw))).status_code == 200
    assert (await client.get(f"{API}/anns", **way("dev"))).status_code == 404
    assert (await client.get(f"{API}/anns")).status_code == 404


async def test_the_key_dev_is_who_has_no_credential(docs: httpx.AsyncClient) -> None:
    for way in WAYS.values():
        assert (await docs.get(DOCS, **way("dev"))).status_code == 200


async def test_somebody_elses_collection_is_not_there(client: httpx.AsyncClient, ann: dict[str, str]) -> None:
    await post(client, DOCS, {"dim": 2, "metric": "dot"}, headers=ann)
    await post(client, f"{DOCS}/upsert", {"id": "a", "vector": [1, 2]}, headers=ann)
    bob = bearer((await log_in(client, "bob@example.com"))["access_token"])
    requests: list[tuple[str, str, object]] = [
        ("GET", "", None),
        ("DELETE", "", None),
        ("GET", "/get?id=a", None),
        *(
            ("POST", f"/{way}", {"id": "a", "vector": [1, 2]})
            for way in ("add", "upsert", "update", "delete")
        ),
        ("POST", "/upsert_batch", {"items": [{"id": "a", "vector": [1, 2]}]}),
        ("POST", "/upsert_batch", {"items": []}),
        ("POST", "/delete_batch", {"ids": ["a"]}),
        ("POST", "/search", {"vector": [1, 2], "k": 1}),
    ]
    for method, path, body in requests:
        response = await client.request(method, f"{DOCS}{path}", json=body, headers=bob)
        assert (response.status_code, response.json()["error"]) == (404, "not_found"), path
    assert (await client.get(API, headers=bob)).json() == {"collections": []}
    assert (await client.get(f"{DOCS}/get?id=a", headers=ann)).json()["vector"] == [1, 2]


async def test_a_key_for_reading_reads_and_writes_nothing(
    client: httpx.AsyncClient, ann: dict[str, str]
) -> None:
    await post(client, DOCS, {"dim": 2, "metric": "dot"}, headers=ann)
    await post(client, f"{DOCS}/upsert", {"id": "a", "vector": [1, 2]}, headers=ann)
    reader = {"x-api-key": (await make_key(client, ann, permissions={"scopes": ["read"]}))["raw_key"]}
    for path in (API, DOCS, f"{DOCS}/get?id=a", "/v1/health", "/v1/metrics"):
        assert (await client.get(path, headers=reader)).status_code == 200
    await post(client, f"{DOCS}/search", {"vector": [1, 2], "k": 1}, headers=reader)
    item = {"id": "a", "vector": [1, 2]}
    writes: list[tuple[str, str, object]] = [
        ("POST", f"{API}/new", {"dim": 2, "metric": "dot"}),
        ("DELETE", DOCS, None),
        *(("POST", f"{DOCS}/{way}", item) for way in ("add", "upsert", "update", "delete")),
        ("POST", f"{DOCS}/upsert_batch", {"items": [item]}),
        ("POST", f"{DOCS}/delete_batch", {"ids": ["a"]}),
    ]
    for method, path, body in writes:
        response = await client.request(method, path, json=body, headers=reader)
        assert (response.status_code, response.json()["error"]) == (403, "forbidden"), path
