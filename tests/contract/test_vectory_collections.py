"""Collections in the Vectory API: made, changed, dropped, optimized, and what is refused."""

from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import httpx
import pytest

from cluster.engine import Engine
from tests.contract.conftest import LetterEmbedder
from tests.contract.envelopes import assert_vectory_error
from tests.contract.vectory_client import COLLECTIONS, User, sign_in

FIELDS = [
    "id",
    "name",
    "description",
    "embedding_model",
    "dimension",
    "distance_metric",
    "index_type",
    "vector_count",
    "index_size_bytes",
    "config",
    "created_by",
    "created_at",
    "updated_at",
]


async def test_the_documented_request_makes_a_collection(user: User) -> None:
    body = {
        "name": "my-collection",
        "description": "A test collection",
        "embedding_model": "text-embedding-3-small",
        "dimension": 64,
        "distance_metric": "cosine",
        "index_type": "hnsw",
    }
    response = await user.send("POST", COLLECTIONS, body)
    assert response.status_code == 201
    made = response.json()
    assert list(made) == FIELDS
    assert UUID(made["id"])
    assert {key: made[key] for key in body} == body
    assert (made["vector_count"], made["index_size_bytes"], made["config"]) == (0, 0, None)
    assert made["created_by"] == (await user.send("GET", "/api/auth/me")).json()["id"]
    assert made["created_at"] == made["updated_at"]
    assert (await user.send("GET", f"{COLLECTIONS}/{made['id']}")).json() == made


async def test_what_is_left_out_has_a_default(user: User) -> None:
    made = (await user.send("POST", COLLECTIONS, {"name": "docs", "dimension": 3})).json()
    assert (made["distance_metric"], made["index_type"], made["description"]) == ("cosine", "hnsw", "")
    assert made["embedding_model"] == "letters-3"
    other = (await user.send("POST", COLLECTIONS, {"name": "wide", "dimension": 4})).json()
    assert other["embedding_model"] is None


async def test_a_config_is_kept_and_shapes_the_graph(user: User, engine: Engine) -> None:
    config = {"m": 8, "purpose": {"is": ["tests"]}}
    with patch.object(engine, "create", wraps=engine.create) as create:
        path = await user.collection(config=config)
    assert (await user.send("GET", path)).json()["config"] == config
    [[collection]] = [call.args for call in create.await_args_list]
    assert (collection.index.m, collection.index.ef_search) == (8, 64)


@pytest.mark.parametrize("index_type", ["hnsw", "ivfflat", "flat"])
async def test_every_index_type_is_kept_and_answers(user: User, index_type: str) -> None:
    path = await user.collection(index_type=index_type)
    assert (await user.send("GET", path)).json()["index_type"] == index_type
    await user.insert(path, {"id": "x", "vector": [1, 0, 0]}, {"id": "y", "vector": [0, 1, 0]})
    results = (await user.send("POST", f"{path}/query", {"vector": [1, 0, 0]})).json()["results"]
    assert [result["id"] for result in results] == ["x", "y"]


BAD_COLLECTIONS: dict[str, dict[str, Any]] = {
    "no name": {"name": None},
    "odd name": {"name": "a b"},
    "dimension 0": {"dimension": 0},
    "dimension above the limit": {"dimension": 65},
    "dimension is text": {"dimension": "3"},
    "unknown metric": {"distance_metric": "l1"},
    "unknown index": {"index_type": "lsh"},
    "model of another dimension": {"embedding_model": "letters-3", "dimension": 4},
    "empty model": {"embedding_model": " "},
    "long model": {"embedding_model": "m" * 256},
    "long description": {"description": "d" * 4001},
    "NUL in the description": {"description": "a\0b"},
    "config is a list": {"config": []},
    "m is text": {"config": {"m": "8"}},
    "large config": {"config": {"a": "x" * 16_384}},
}


@pytest.mark.parametrize("body", BAD_COLLECTIONS.values(), ids=BAD_COLLECTIONS)
async def test_a_bad_collection_is_refused(user: User, body: dict[str, Any]) -> None:
    response = await user.send("POST", COLLECTIONS, {"name": "docs", "dimension": 3, **body})
    assert_vectory_error(response, 400)
    assert (await user.send("GET", COLLECTIONS)).json()["total"] == 0


async def test_texts_cannot_search_vectors_of_a_model_that_is_not_here(user: User) -> None:
    path = await user.collection(embedding_model="text-embedding-3-small")
    for question in ("query", "hybrid-search"):
        response = await user.send("POST", f"{path}/{question}", {"text": "a"})
        assert_vectory_error(response, 400)
        assert "does not have" in response.json()["detail"]
    assert (await user.send("POST", f"{path}/query", {"vector": [1, 0, 0]})).status_code == 200


async def test_a_duplicate_name_is_a_conflict(user: User) -> None:
    path = await user.collection("docs")
    assert_vectory_error(await user.send("POST", COLLECTIONS, {"name": "docs", "dimension": 3}), 409)
    await user.collection("other")
    assert_vectory_error(await user.send("PATCH", path, {"name": "other"}), 409)
    assert (await user.send("GET", path)).json()["name"] == "docs"


async def test_a_change_keeps_what_it_does_not_name(user: User) -> None:
    path = await user.collection("docs", description="first")
    made = (await user.send("GET", path)).json()
    response = await user.send("PATCH", path, {"name": "papers", "description": None})
    assert response.status_code == 200
    changed = response.json()
    assert list(changed) == FIELDS
    assert (changed["name"], changed["description"]) == ("papers", "first")
    assert changed["updated_at"] > made["updated_at"]
    assert (await user.send("PATCH", path, {"description": ""})).json()["description"] == ""
    assert_vectory_error(await user.send("PATCH", path, {"name": "a b"}), 400)
    assert_vectory_error(await user.send("PATCH", path, {"description": "d" * 4001}), 400)


async def test_a_deleted_collection_is_gone_with_its_vectors(user: User) -> None:
    path = await user.collection()
    await user.insert(path, {"vector": [1, 0, 0]})
    response = await user.send("DELETE", path)
    assert (response.status_code, response.content) == (204, b"")
    assert_vectory_error(await user.send("DELETE", path), 404)
    assert_vectory_error(await user.send("GET", f"{path}/stats"), 404)
    again = await user.collection()
    assert (await user.send("GET", again)).json()["vector_count"] == 0


async def test_optimize_answers_with_the_collection(user: User, engine: Engine) -> None:
    path = await user.collection()
    with patch.object(engine, "optimize", wraps=engine.optimize) as optimize:
        response = await user.send("POST", f"{path}/optimize")
    assert (response.status_code, list(response.json())) == (200, FIELDS)
    optimize.assert_awaited_once()


CHANGES = [
    ("POST", "", {"name": "new", "dimension": 3}),
    ("PATCH", "/{id}", {"name": "new"}),
    ("DELETE", "/{id}", None),
    ("POST", "/{id}/optimize", None),
    ("PATCH", "/{id}/vectors/x", {"metadata": {}}),
    ("DELETE", "/{id}/vectors/x", None),
    ("POST", "/{id}/vectors/batch-delete", ["x"]),
    ("DELETE", "/{id}/vectors/by-source/a.pdf", None),
    ("PATCH", "/{id}/vectors/by-source/a.pdf", {"a": 1}),
]
READS = [
    ("GET", "/{id}", None),
    ("GET", "/{id}/stats", None),
    ("POST", "/{id}/export", None),
    ("GET", "/{id}/vectors", None),
    ("GET", "/{id}/vectors/x", None),
    ("POST", "/{id}/query", {"vector": [1, 0, 0]}),
]
INSERT = ("POST", "/{id}/vectors", {"vector": [1, 0, 0]})


@pytest.fixture
async def docs(user: User) -> str:
    path = await user.collection()
    await user.insert(path, {"id": "x", "vector": [1, 0, 0], "source_file": "a.pdf"})
    return path


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_a_change_needs_a_credential_in_every_profile(
    client: httpx.AsyncClient, docs: str, method: str, path: str, body: Any
) -> None:
    url = COLLECTIONS + path.format(id=docs.rpartition("/")[2])
    assert_vectory_error(await client.request(method, url, json=body), 401)


@pytest.mark.parametrize(("method", "path", "body"), [*CHANGES, INSERT])
async def test_a_key_for_reading_changes_nothing(
    user: User, docs: str, method: str, path: str, body: Any
) -> None:
    reader = await user.key("read")
    url = COLLECTIONS + path.format(id=docs.rpartition("/")[2])
    assert_vectory_error(await reader.send(method, url, body), 403)
    assert (await user.send("GET", docs)).json()["vector_count"] == 1


@pytest.mark.parametrize(("method", "path", "body"), READS)
async def test_a_key_for_reading_reads(user: User, docs: str, method: str, path: str, body: Any) -> None:
    reader = await user.key("read")
    url = COLLECTIONS + path.format(id=docs.rpartition("/")[2])
    assert (await reader.send(method, url, body)).status_code == 200


@pytest.mark.parametrize(("method", "path", "body"), [*CHANGES[1:], INSERT, *READS])
async def test_what_is_somebody_elses_is_not_there(
    client: httpx.AsyncClient, docs: str, method: str, path: str, body: Any
) -> None:
    other = await sign_in(client, "bob@example.com")
    url = COLLECTIONS + path.format(id=docs.rpartition("/")[2])
    for_them = await other.send(method, url, body)
    assert_vectory_error(for_them, 404)
    missing = str(uuid4())
    for_nobody = await other.send(method, COLLECTIONS + path.format(id=missing), body)
    assert for_nobody.text == for_them.text.replace(docs.rpartition("/")[2], missing)


async def test_a_model_of_the_server_embeds_texts(user: User) -> None:
    path = await user.collection(embedding_model="letters-3")
    await user.insert(path, {"id": "x", "vector": [1, 0, 0]}, {"id": "y", "vector": [0, 1, 0]})
    with patch.object(LetterEmbedder, "embed", autospec=True, side_effect=LetterEmbedder.embed) as embed:
        results = (await user.send("POST", f"{path}/query", {"text": "bbb"})).json()["results"]
    assert [result["id"] for result in results] == ["y", "x"]
    embed.assert_called_once()
