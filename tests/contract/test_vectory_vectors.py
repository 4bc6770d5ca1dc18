"""Vectors in the Vectory API: inserted, listed, read, changed, deleted; by their document as well."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from urllib.parse import quote
from uuid import UUID

import msgpack
import numpy as np
import pytest

from cluster.engine import Engine
from tests.contract.conftest import MAX_BATCH_POINTS
from tests.contract.envelopes import assert_vectory_error
from tests.contract.vectory_client import User
from vectoray.core.errors import ShardUnavailable

ITEM = ["id", "collection_id", "metadata", "text_content", "source_file", "chunk_index", "created_at"]
ROW = {
    "vector": [1, 0, 0],
    "metadata": {"category": "science"},
    "text_content": "Original text content",
    "source_file": "document.pdf",
    "chunk_index": 0,
}


@pytest.fixture
async def docs(user: User) -> str:
    return await user.collection()


async def stored(user: User, path: str, point_id: str) -> dict[str, Any]:
    response = await user.send("GET", f"{path}/vectors/{quote(point_id, safe='')}")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def test_one_vector_is_answered_with_one_object(user: User, docs: str) -> None:
    response = await user.send("POST", f"{docs}/vectors", ROW)
    assert response.status_code == 201
    made = response.json()
    assert list(made) == ["id", "status"]
    assert made["status"] == "created"
    assert str(UUID(made["id"])) == made["id"]
    found = await stored(user, docs, made["id"])
    assert list(found) == [*ITEM, "vector"]
    assert {key: found[key] for key in ROW} == ROW
    assert found["collection_id"] == docs.rpartition("/")[2]
    age = datetime.now(UTC) - datetime.fromisoformat(found["created_at"])
    assert timedelta(0) <= age < timedelta(minutes=1)


async def test_an_array_is_answered_with_an_array_in_the_same_order(user: User, docs: str) -> None:
    rows = [{"vector": [1, 0, 0], "id": "b"}, {"vector": [0, 1, 0], "text_content": "chunk 2"}]
    response = await user.send("POST", f"{docs}/vectors", rows)
    assert response.status_code == 201
    first, second = response.json()
    assert first == {"id": "b", "status": "created"}
    assert (await stored(user, docs, second["id"]))["text_content"] == "chunk 2"
    assert (await stored(user, docs, "b"))["metadata"] == {}
    assert len((await user.send("POST", f"{docs}/vectors", [{"vector": [1, 0, 0]}])).json()) == 1


async def test_an_anonymous_caller_inserts_into_what_is_local(user: User) -> None:
    client = user.client
    body = {"name": "shared", "dimension": 3, "metric": "cosine"}
    assert (await client.post("/api/v1/collections", json=body)).status_code == 201
    [shared] = (await client.get("/api/collections", params={"name": "shared"})).json()["items"]
    path = f"/api/collections/{shared['id']}"
    assert (await client.post(f"{path}/vectors", json=ROW)).status_code == 201
    assert (await user.send("GET", f"{path}/vectors")).json()["total"] == 1


async def test_vectors_may_come_in_messagepack(user: User, docs: str) -> None:
    packed = msgpack.packb([{"id": "x", "vector": np.array([1, 2, 3], dtype="<f4").tobytes()}])
    headers = {**user.headers, "content-type": "application/msgpack"}
    response = await user.client.post(f"{docs}/vectors", content=packed, headers=headers)
    assert response.status_code == 201
    assert (await stored(user, docs, "x"))["vector"] == [1, 2, 3]


BAD_ROWS: dict[str, Any] = {
    "no vector": {"metadata": {}},
    "null": None,
    "text": "x",
    "dimension": {"vector": [1, 2]},
    "zero": {"vector": [0, 0, 0]},
    "nested vector": {"vector": [[1, 2, 3]]},
    "empty id": {"vector": [1, 2, 3], "id": ""},
    "long id": {"vector": [1, 2, 3], "id": "i" * 513},
    "id is a number": {"vector": [1, 2, 3], "id": 1},
    "metadata is a list": {"vector": [1, 2, 3], "metadata": []},
    "negative chunk": {"vector": [1, 2, 3], "chunk_index": -1},
    "chunk too large": {"vector": [1, 2, 3], "chunk_index": 2**31},
    "chunk is a boolean": {"vector": [1, 2, 3], "chunk_index": True},
    "long source": {"vector": [1, 2, 3], "source_file": "s" * 1025},
}


@pytest.mark.parametrize("row", BAD_ROWS.values(), ids=BAD_ROWS)
async def test_one_bad_vector_and_none_is_written(user: User, docs: str, row: Any) -> None:
    assert_vectory_error(await user.send("POST", f"{docs}/vectors", [ROW, row]), 400)
    if row is not None:
        assert_vectory_error(await user.send("POST", f"{docs}/vectors", row), 400)
    assert (await user.send("GET", f"{docs}/vectors")).json() == {"items": [], "total": 0}


async def test_there_may_be_so_many_vectors_and_no_more(user: User, docs: str) -> None:
    assert_vectory_error(await user.send("POST", f"{docs}/vectors", [ROW] * (MAX_BATCH_POINTS + 1)), 400)
    assert_vectory_error(await user.send("POST", f"{docs}/vectors", []), 400)
    assert (await user.send("POST", f"{docs}/vectors", [ROW] * MAX_BATCH_POINTS)).status_code == 201


async def test_an_id_that_is_there_is_a_conflict_and_nothing_is_written(user: User, docs: str) -> None:
    await user.insert(docs, {"id": "x", "vector": [1, 0, 0]})
    rows = [{"id": "y", "vector": [0, 1, 0]}, {"id": "x", "vector": [0, 1, 0]}]
    assert_vectory_error(await user.send("POST", f"{docs}/vectors", rows), 409)
    twice = [{"id": "z", "vector": [0, 1, 0]}, {"id": "z", "vector": [0, 1, 0]}]
    assert_vectory_error(await user.send("POST", f"{docs}/vectors", twice), 409)
    assert (await user.send("GET", f"{docs}/vectors")).json()["total"] == 1
    assert (await stored(user, docs, "x"))["vector"] == [1, 0, 0]


async def test_a_list_is_cut_into_pages(user: User, docs: str) -> None:
    await user.insert(docs, *({"id": f"{n}", "vector": [1, 0, 0]} for n in range(5)))
    first = (await user.send("GET", f"{docs}/vectors?limit=2")).json()
    assert list(first) == ["items", "total"]
    assert (len(first["items"]), first["total"]) == (2, 5)
    assert all(list(item) == ITEM for item in first["items"])
    rest = (await user.send("GET", f"{docs}/vectors?skip=2")).json()["items"]
    assert {item["id"] for item in [*first["items"], *rest]} == set("01234")


async def test_a_list_begins_with_the_newest(user: User, docs: str) -> None:
    with patch("storage.changes.time_ns") as clock:
        for second, point_id in enumerate(["old", "middle", "new"]):
            clock.return_value = 1_700_000_000_123_000_000 + second * 1_000_000_000
            await user.insert(docs, {"id": point_id, "vector": [1, 0, 0]})
        clock.return_value += 1_000_000_000
        await user.send("PATCH", f"{docs}/vectors/old", {"metadata": {"a": 1}})
    items = (await user.send("GET", f"{docs}/vectors")).json()["items"]
    assert [item["id"] for item in items] == ["new", "middle", "old"]
    assert items[-1]["created_at"] == "2023-11-14T22:13:20.123Z"


@pytest.mark.parametrize("query", ["skip=-1", "skip=100001", "limit=0", "limit=1001", "limit=x"])
async def test_a_bad_page_is_refused(user: User, docs: str, query: str) -> None:
    assert_vectory_error(await user.send("GET", f"{docs}/vectors?{query}"), 400)


@pytest.mark.parametrize("point_id", ["a/b", "batch-delete", "ü?#%/..", "a b", "vectors"])
async def test_an_id_may_hold_any_character(user: User, docs: str, point_id: str) -> None:
    await user.insert(docs, {"id": point_id, "vector": [1, 0, 0]})
    path = f"{docs}/vectors/{quote(point_id, safe='')}"
    assert (await user.send("GET", path)).json()["id"] == point_id
    changed = await user.send("PATCH", path, {"text_content": "new"})
    assert (changed.json()["id"], changed.json()["text_content"]) == (point_id, "new")
    response = await user.send("DELETE", path)
    assert (response.status_code, response.content) == (204, b"")
    for method in ("GET", "DELETE"):
        assert_vectory_error(await user.send(method, path), 404)
    assert_vectory_error(await user.send("PATCH", path, {}), 404)


@pytest.mark.parametrize(
    "change",
    [
        {"vector": [0, 2, 0]},
        {"metadata": {"other": None}},
        {"metadata": {}},
        {"text_content": "changed"},
        {"text_content": ""},
        {"vector": None, "metadata": None, "text_content": None},
        {},
    ],
)
async def test_a_change_of_a_vector_keeps_what_it_does_not_name(
    user: User, docs: str, change: dict[str, Any]
) -> None:
    await user.insert(docs, {"id": "x", **ROW})
    before = await stored(user, docs, "x")
    response = await user.send("PATCH", f"{docs}/vectors/x", change)
    assert response.status_code == 200
    given = {key: value for key, value in change.items() if value is not None}
    assert response.json() == {**before, **given}
    assert await stored(user, docs, "x") == {**before, **given}


@pytest.mark.parametrize(
    "change", [{"vector": [1, 2]}, {"vector": [0, 0, 0]}, {"metadata": []}, {"text_content": 1}, []]
)
async def test_a_bad_change_changes_nothing(user: User, docs: str, change: Any) -> None:
    await user.insert(docs, {"id": "x", **ROW})
    before = await stored(user, docs, "x")
    assert_vectory_error(await user.send("PATCH", f"{docs}/vectors/x", change), 400)
    assert await stored(user, docs, "x") == before


@pytest.mark.parametrize("wrap", [lambda ids: ids, lambda ids: {"ids": ids}], ids=["bare", "object"])
async def test_many_vectors_are_deleted_by_id(user: User, docs: str, wrap: Any) -> None:
    await user.insert(docs, *({"id": name, "vector": [1, 0, 0]} for name in "abc"))
    response = await user.send("POST", f"{docs}/vectors/batch-delete", wrap(["a", "c", "missing"]))
    assert (response.status_code, response.json()) == (200, {"deleted": 2})
    assert (await user.send("GET", f"{docs}/vectors")).json()["items"][0]["id"] == "b"


@pytest.mark.parametrize("body", [[], {}, {"ids": "a"}, [1], ["a"] * (MAX_BATCH_POINTS + 1), [""]])
async def test_a_bad_list_of_ids_deletes_nothing(user: User, docs: str, body: Any) -> None:
    await user.insert(docs, {"id": "a", "vector": [1, 0, 0]})
    assert_vectory_error(await user.send("POST", f"{docs}/vectors/batch-delete", body), 400)
    assert (await user.send("GET", f"{docs}/vectors")).json()["total"] == 1


@pytest.fixture
async def sources(user: User, docs: str) -> str:
    """Six vectors of one document, and one each of another and of none."""
    rows = [
        {"id": f"{n}", "vector": [1, 0, 0], "source_file": "reports/a b.pdf", "metadata": {"n": n, "old": 1}}
        for n in range(6)
    ]
    other = {"id": "other", "vector": [1, 0, 0], "source_file": "reports/a", "metadata": {"old": 1}}
    await user.insert(docs, *rows, other, {"id": "none", "vector": [1, 0, 0], "metadata": {"old": 1}})
    return docs


SOURCE = "vectors/by-source/reports%2Fa%20b.pdf"


async def test_the_vectors_of_a_document_are_deleted(user: User, sources: str) -> None:
    expected = {"collection_id": sources.rpartition("/")[2], "source_file": "reports/a b.pdf"}
    response = await user.send("DELETE", f"{sources}/{SOURCE}")
    assert (response.status_code, response.json()) == (200, {"deleted": 6, **expected})
    assert (await user.send("DELETE", f"{sources}/{SOURCE}")).json() == {"deleted": 0, **expected}
    left = (await user.send("GET", f"{sources}/vectors")).json()["items"]
    assert {item["id"] for item in left} == {"other", "none"}


@pytest.mark.parametrize("wrap", [lambda it: it, lambda it: {"metadata": it}], ids=["bare", "wrapped"])
async def test_metadata_is_merged_into_the_vectors_of_a_document(user: User, sources: str, wrap: Any) -> None:
    response = await user.send("PATCH", f"{sources}/{SOURCE}", wrap({"old": 2, "new": {"a": None}}))
    assert response.status_code == 200
    assert response.json() == {
        "updated": 6,
        "collection_id": sources.rpartition("/")[2],
        "source_file": "reports/a b.pdf",
    }
    for n in range(6):
        found = await stored(user, sources, f"{n}")
        assert found["metadata"] == {"n": n, "old": 2, "new": {"a": None}}
        assert found["source_file"] == "reports/a b.pdf"
    for point_id in ("other", "none"):
        assert (await stored(user, sources, point_id))["metadata"] == {"old": 1}


async def test_metadata_with_a_key_of_that_name_and_others_is_merged_as_it_is(
    user: User, sources: str
) -> None:
    await user.send("PATCH", f"{sources}/{SOURCE}", {"metadata": {"a": 1}, "b": 2})
    assert (await stored(user, sources, "0"))["metadata"] == {"n": 0, "old": 1, "metadata": {"a": 1}, "b": 2}


@pytest.mark.parametrize("body", [[], "a", None, 1])
async def test_metadata_that_is_no_object_is_refused(user: User, sources: str, body: Any) -> None:
    assert_vectory_error(await user.send("PATCH", f"{sources}/{SOURCE}", body), 400)


async def test_a_document_of_an_impossible_name_is_refused(user: User, docs: str) -> None:
    path = f"{docs}/vectors/by-source/{'s' * 1025}"
    assert_vectory_error(await user.send("DELETE", path), 400)
    assert_vectory_error(await user.send("PATCH", path, {}), 400)


async def test_an_export_is_the_collection_and_all_its_vectors(user: User, docs: str) -> None:
    empty = await user.send("POST", f"{docs}/export")
    assert (empty.status_code, empty.headers["content-type"]) == (200, "application/json")
    assert empty.json() == {**(await user.send("GET", docs)).json(), "vectors": []}
    ids = [f"{n}" for n in range(MAX_BATCH_POINTS)]
    await user.insert(docs, *({**ROW, "id": one, "metadata": {"n": one}} for one in ids))
    with patch("serve.service.points._EXPORT_ROWS", 3), patch("serve.surfaces.vectory.export._NUMBERS", 6):
        exported = (await user.send("POST", f"{docs}/export")).json()
    vectors = exported.pop("vectors")
    assert exported == (await user.send("GET", docs)).json()
    assert sorted(vectors, key=lambda one: int(one["id"])) == [await stored(user, docs, one) for one in ids]


async def test_an_export_that_cannot_begin_is_an_error(user: User, docs: str, engine: Engine) -> None:
    await user.insert(docs, ROW)
    with patch.object(engine, "stats", return_value=[None]):
        assert_vectory_error(await user.send("POST", f"{docs}/export"), 503)

    class Refusing:
        async def __anext__(self) -> object:
            raise ShardUnavailable("A shard did not answer.")

    with patch.object(engine, "scan", return_value=Refusing()):
        assert_vectory_error(await user.send("POST", f"{docs}/export"), 503)


async def test_concurrent_changes_of_single_vectors_and_of_their_document_are_all_kept(
    user: User, sources: str
) -> None:
    changes = [user.send("PATCH", f"{sources}/vectors/{n}", {"text_content": f"t{n}"}) for n in range(6)]
    merge = user.send("PATCH", f"{sources}/{SOURCE}", {"new": True})
    answers = await asyncio.gather(*changes, merge)
    assert {answer.status_code for answer in answers} == {200}
    for n in range(6):
        found = await stored(user, sources, f"{n}")
        assert (found["text_content"], found["metadata"]["new"]) == (f"t{n}", True)
