"""MessagePack and Arrow bodies, MessagePack and compressed answers: the same API in other clothes."""

import gzip
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import msgpack
import numpy as np
import orjson
import pyarrow as pa
import pytest

from serve.app import build_app
from serve.services import Services
from serve.settings import ServeSettings
from tests.contract.conftest import MAX_BATCH_POINTS, MAX_BODY_BYTES, running
from tests.contract.envelopes import assert_vectorizer_error

API = "/api/v1"
DOCS = f"{API}/collections/docs"
MSGPACK = {"content-type": "application/msgpack"}
ARROW = {"content-type": "application/vnd.apache.arrow.stream"}


@pytest.fixture
async def docs(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A client with a collection ``docs``, cosine, dimension 3, with a point ``a`` in it."""
    await client.post(f"{API}/collections", json={"name": "docs", "dimension": 3, "metric": "cosine"})
    row = {"id": "a", "vector": [1, 2, 3], "payload": {"k": "v"}}
    assert (await client.post(f"{DOCS}/vectors", json={"vectors": [row]})).status_code == 201
    return client


async def stored(client: httpx.AsyncClient, point_id: str) -> tuple[Any, Any]:
    answer = (await client.get(f"{DOCS}/vectors/{point_id}")).json()
    return answer["vector"], answer["payload"]


def float32(*values: float) -> bytes:
    return np.array(values, dtype="<f4").tobytes()


async def post(client: httpx.AsyncClient, document: object, path: str = "/vectors") -> httpx.Response:
    return await client.post(f"{DOCS}{path}", content=msgpack.packb(document), headers=MSGPACK)


@pytest.mark.parametrize("vector", [float32(1, 0.5, 0), [1, 0.5, 0], [1.0, 0.5, 0.0]], ids=type)
async def test_messagepack_is_taken_for_json(docs: httpx.AsyncClient, vector: object) -> None:
    payload = {"text": "é", "n": [1, None, True, 1.5]}
    rows = [{"id": "m", "data": vector, "payload": payload}, {"id": "n", "vector": vector}]
    response = await post(docs, {"vectors": rows})
    assert (response.status_code, response.json()["inserted"]) == (201, 2)
    assert await stored(docs, "m") == ([1, 0.5, 0], payload)
    assert await stored(docs, "n") == ([1, 0.5, 0], {})
    found = (await post(docs, {"vector": vector, "limit": 1}, "/search")).json()["results"]
    assert found[0]["id"] == "m"


async def test_every_endpoint_with_a_body_takes_messagepack(docs: httpx.AsyncClient) -> None:
    made = {"name": "packed", "dimension": 3, "metric": "cosine"}
    response = await docs.post(f"{API}/collections", content=msgpack.packb(made), headers=MSGPACK)
    assert response.status_code == 201
    listed = (await docs.get("/api/collections")).json()["items"]
    collection_id = next(one["id"] for one in listed if one["name"] == "docs")
    question = {"vector": float32(1, 2, 3), "filters": {"k": "v"}}
    path = f"/api/collections/{collection_id}/query"
    response = await docs.post(path, content=msgpack.packb(question), headers=MSGPACK)
    assert [one["id"] for one in response.json()["results"]] == ["a"]


def row(**changes: object) -> object:
    return {"vectors": [{"id": "a", "vector": [3, 2, 1]}, {"id": "new", "vector": [1, 2, 3], **changes}]}


BAD_MESSAGEPACK = {
    "cut short": (msgpack.packb(row())[:-1], "VALIDATION_ERROR", ""),
    "two documents": (msgpack.packb(row()) * 2, "VALIDATION_ERROR", ""),
    "JSON": (orjson.dumps(row()), "VALIDATION_ERROR", ""),
    "empty": (b"", "VALIDATION_ERROR", ""),
    "a huge array announced": (b"\xdd\xff\xff\xff\xff", "VALIDATION_ERROR", ""),
    "too deep": (b"\x91" * 5000 + b"\xc0", "VALIDATION_ERROR", ""),
    "broken UTF-8": (b"\x81\xa1\xff\x01", "VALIDATION_ERROR", ""),
    "a key that is a number": (msgpack.packb({1: 2}), "VALIDATION_ERROR", ""),
    "bytes of 2 dimensions": (
        msgpack.packb(row(vector=float32(1, 2))),
        "INVALID_DIMENSION",
        "vectors[1].vector",
    ),
    "bytes of half a number": (msgpack.packb(row(vector=b"12345")), "VALIDATION_ERROR", "vectors[1].vector"),
    "NaN in bytes": (
        msgpack.packb(row(vector=float32(1, np.nan, 1))),
        "VALIDATION_ERROR",
        "vectors[1].vector[1]",
    ),
    "NaN in a list": (
        msgpack.packb(row(vector=[1.0, np.nan, 1.0])),
        "VALIDATION_ERROR",
        "vectors[1].vector[1]",
    ),
    "NaN in a payload": (
        msgpack.packb(row(payload={"x": [np.inf]})),
        "VALIDATION_ERROR",
        "vectors[1].payload.x[0]",
    ),
    "bytes in a payload": (
        msgpack.packb(row(payload={"x": b"1"})),
        "VALIDATION_ERROR",
        "vectors[1].payload.x",
    ),
    "a time": (msgpack.packb(row(payload=msgpack.Timestamp(1))), "VALIDATION_ERROR", "vectors[1].payload"),
    "an id of bytes": (msgpack.packb(row(id=b"new")), "VALIDATION_ERROR", "vectors[1].id"),
}


@pytest.mark.parametrize(("body", "code", "at"), BAD_MESSAGEPACK.values(), ids=BAD_MESSAGEPACK)
async def test_bad_messagepack_is_refused_whole(
    docs: httpx.AsyncClient, body: bytes, code: str, at: str
) -> None:
    response = await docs.post(f"{DOCS}/vectors", content=body, headers=MSGPACK)
    assert_vectorizer_error(response, 400, code)
    details = response.json()["details"]
    assert at in (details.get("at", ""), *(fault["at"] for fault in details.get("errors", [])))
    assert await stored(docs, "a") == ([1, 2, 3], {"k": "v"})


async def test_answers_are_messagepack_where_that_is_asked_for(docs: httpx.AsyncClient) -> None:
    headers = {"accept": "application/msgpack"}
    response = await docs.post(f"{DOCS}/search", json={"vector": [1, 2, 3]}, headers=headers)
    assert response.headers["content-type"] == "application/msgpack"
    assert response.headers["content-length"] == str(len(response.content))
    [found] = msgpack.unpackb(response.content)["results"]
    assert found == {"id": "a", "score": 1.0, "vector": float32(1, 2, 3), "payload": {"k": "v"}}
    described = msgpack.unpackb((await docs.get(DOCS, headers=headers)).content)
    assert described == (await docs.get(DOCS)).json()
    missing = await docs.get(f"{DOCS}/vectors/b", headers=headers)
    assert (missing.status_code, msgpack.unpackb(missing.content)["code"]) == (404, "VECTOR_NOT_FOUND")
    assert len(missing.headers["x-request-id"]) == 32
    refused = await docs.get(DOCS, headers={**headers, "x-api-key": "secret"})
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize(
    ("accept", "packed"),
    [
        ("application/msgpack", True),
        ("application/json, application/msgpack", True),
        ("Application/MsgPack; q=0.5, application/json;q=0.4", True),
        ("application/msgpack;q=0.5, application/json", False),
        ("application/msgpack;q=0", False),
        ("application/msgpack;q=x", False),
        ("*/*", False),
        ("", False),
    ],
)
async def test_json_is_sent_unless_messagepack_is_preferred(
    docs: httpx.AsyncClient,
    accept: str,
    packed: bool,  # noqa: FBT001
) -> None:
    response = await docs.get(f"{API}/health", headers={"accept": accept})
    assert (response.headers["content-type"] == "application/msgpack") is packed
    assert ("Accept" in response.headers.get("vary", "")) is packed


IDS = pa.array(["a", "b", "c"])
VALUES = np.arange(1, 10, dtype=np.float32).reshape(3, 3)


def stream(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, **options) as writer:
        writer.write_table(table)
    return sink.getvalue()


def fixed(values: Any = VALUES, kind: Any = None) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel(), kind or pa.float32()), values.shape[1])


def table(**columns: Any) -> pa.Table:
    return pa.table({"id": IDS, "vector": fixed(), **columns})


async def insert(client: httpx.AsyncClient, body: bytes) -> httpx.Response:
    return await client.post(f"{DOCS}/vectors", content=body, headers=ARROW)


VECTOR_COLUMNS = {
    "fixed float32": fixed(),
    "fixed float64": fixed(VALUES.astype(np.float64), pa.float64()),
    "fixed float16": fixed(VALUES.astype(np.float16), pa.float16()),
    "list": pa.array(VALUES.tolist(), pa.list_(pa.float32())),
    "large list": pa.array(VALUES.tolist(), pa.large_list(pa.float64())),
    "a slice": pa.concat_arrays([fixed(), fixed()])[3:],
    "a slice of lists": pa.array([[0.0], *VALUES.tolist()], pa.list_(pa.float32()))[1:],
}


@pytest.mark.parametrize("vectors", VECTOR_COLUMNS.values(), ids=VECTOR_COLUMNS)
async def test_vectors_come_in_arrow_columns(docs: httpx.AsyncClient, vectors: pa.Array) -> None:
    payloads = pa.array(['{"content": "x", "l": [1]}', None, " {} "])
    response = await insert(docs, stream(table(vector=vectors, payload=payloads)))
    assert (response.status_code, response.json()) == (
        201,
        {"message": "Vectors inserted successfully", "inserted": 3},
    )
    assert await stored(docs, "a") == ([1, 2, 3], {"content": "x", "l": [1]})
    assert await stored(docs, "b") == ([4, 5, 6], {})
    assert await stored(docs, "c") == ([7, 8, 9], {})


PAYLOAD_COLUMNS = {
    "strings": (pa.array(['{"n": 1}'] * 3), {"n": 1}),
    "large strings": (pa.array(['{"n": 1}'] * 3, pa.large_string()), {"n": 1}),
    "bytes": (pa.array([b'{"n": 1}'] * 3), {"n": 1}),
    "numbers beyond 64 bits": (
        pa.array(['{"n": 123456789012345678901234567890}'] * 3),
        {"n": 1.2345678901234568e29},
    ),
    "structs": (
        pa.array([{"n": 1, "s": "é", "l": [1.5], "o": {"b": True}}] * 3),
        {"n": 1, "s": "é", "l": [1.5], "o": {"b": True}},
    ),
}


@pytest.mark.parametrize(("payloads", "expected"), PAYLOAD_COLUMNS.values(), ids=PAYLOAD_COLUMNS)
async def test_payloads_come_as_json_or_structs(
    docs: httpx.AsyncClient, payloads: pa.Array, expected: object
) -> None:
    assert (await insert(docs, stream(table(payload=payloads)))).status_code == 201
    assert await stored(docs, "b") == ([4, 5, 6], expected)


async def test_texts_come_in_a_column_of_their_own(docs: httpx.AsyncClient) -> None:
    payloads, texts = pa.array(['{"content": "from the payload"}'] * 3), pa.array(["own", None, "own"])
    assert (await insert(docs, stream(table(payload=payloads, text=texts)))).status_code == 201
    listed = (await docs.get("/api/collections")).json()["items"]
    answer = await docs.post(f"/api/collections/{listed[0]['id']}/query", json={"vector": [1, 2, 3]})
    shown = {one["id"]: one["text_content"] for one in answer.json()["results"]}
    assert shown == {"a": "own", "b": None, "c": "own"}


async def test_a_stream_may_have_several_batches_and_other_columns(docs: httpx.AsyncClient) -> None:
    other = pa.array([1, 2, 3])
    halves = pa.Table.from_batches(table(other=other).to_batches(max_chunksize=2))
    assert (await insert(docs, stream(halves))).json()["inserted"] == 3


def nulls(*rows: int) -> pa.Array:
    return pa.array([None if row in rows else f"p{row}" for row in range(3)], pa.string())


def structs(kind: Any) -> pa.Array:
    return pa.array([{"x": None}] * 3, pa.struct([("x", kind)]))


def many_names() -> pa.Array:
    """Structs of a few kilobytes that would be gigabytes as JSON."""
    values = pa.array([True] * 1000)
    fields = [(f"{'n' * 60}{number}", pa.bool_()) for number in range(1000)]
    return pa.StructArray.from_arrays([values] * 1000, fields=[pa.field(*field) for field in fields])


WHOLE = stream(table())
BAD_ARROW: dict[str, tuple[bytes, str, str]] = {
    "not Arrow": (b'{"vectors": []}', "VALIDATION_ERROR", ""),
    "empty": (b"", "VALIDATION_ERROR", ""),
    "zeros": (bytes(1000), "VALIDATION_ERROR", ""),
    "no id": (stream(table().drop(["id"])), "VALIDATION_ERROR", "id"),
    "no vector": (stream(table().drop(["vector"])), "VALIDATION_ERROR", "vector"),
    "two ids": (
        stream(pa.table([IDS, IDS, fixed()], names=["id", "id", "vector"])),
        "VALIDATION_ERROR",
        "id",
    ),
    "ids are numbers": (stream(table(id=pa.array([1, 2, 3]))), "VALIDATION_ERROR", "id"),
    "an id is null": (stream(table(id=nulls(1))), "VALIDATION_ERROR", "vectors[1].id"),
    "an id is empty": (stream(table(id=pa.array(["x", "y", ""]))), "VALIDATION_ERROR", "vectors[2].id"),
    "ids are a dictionary": (stream(table(id=IDS.dictionary_encode())), "VALIDATION_ERROR", "id"),
    "vectors are strings": (stream(table(vector=IDS)), "VALIDATION_ERROR", "vector"),
    "vectors are integers": (
        stream(table(vector=fixed(VALUES.astype(np.int32), pa.int32()))),
        "VALIDATION_ERROR",
        "vector",
    ),
    "a vector is null": (
        stream(table(vector=pa.array([[1.0, 2, 3], None, [1, 2, 3]], pa.list_(pa.float32(), 3)))),
        "VALIDATION_ERROR",
        "vectors[1].vector",
    ),
    "an element is null": (
        stream(table(vector=pa.array([[1.0, 2, 3], [1], [1, None, 3]], pa.list_(pa.float32())))),
        "VALIDATION_ERROR",
        "vectors[2].vector",
    ),
    "a vector is short": (
        stream(table(vector=pa.array([[1.0, 2, 3], [1, 2], [1, 2, 3]], pa.list_(pa.float32())))),
        "INVALID_DIMENSION",
        "vectors[1].vector",
    ),
    "all vectors are short": (
        stream(table(vector=fixed(VALUES[:, :2]))),
        "INVALID_DIMENSION",
        "vectors[0].vector",
    ),
    "a vector is infinite": (
        stream(table(vector=fixed(np.array([[1, 2, 3], [1, 2, 1e39], [1, 2, 3]]), pa.float64()))),
        "VALIDATION_ERROR",
        "vectors[1].vector[2]",
    ),
    "a payload is no JSON": (
        stream(table(payload=pa.array(["{}", "{", "{}"]))),
        "VALIDATION_ERROR",
        "vectors[1].payload",
    ),
    "a payload is a list": (
        stream(table(payload=pa.array(["{}", "{}", "[]"]))),
        "VALIDATION_ERROR",
        "vectors[2].payload",
    ),
    "two payloads in one": (
        stream(table(payload=pa.array(["{},{}", "{}", "{}"]))),
        "VALIDATION_ERROR",
        "vectors[0].payload",
    ),
    "a payload is broken UTF-8": (
        stream(table(payload=pa.array([b"{}", b'{"a":"\xff"}', b"{}"]))),
        "VALIDATION_ERROR",
        "vectors[1].payload",
    ),
    "a payload is too deep": (
        stream(table(payload=pa.array(["{}", '{"a":' * 300 + "1" + "}" * 300, "{}"]))),
        "VALIDATION_ERROR",
        "vectors[1].payload",
    ),
    "payloads are numbers": (stream(table(payload=pa.array([1, 2, 3]))), "VALIDATION_ERROR", "payload"),
    "a struct has bytes": (stream(table(payload=structs(pa.binary()))), "VALIDATION_ERROR", "payload.x"),
    "a struct has nulls": (stream(table(payload=structs(pa.null()))), "VALIDATION_ERROR", "payload.x"),
    "a struct is NaN": (
        stream(table(payload=pa.array([{"x": 1.0}, {"x": float("nan")}, {"x": 1.0}]))),
        "VALIDATION_ERROR",
        "vectors[1].payload.x",
    ),
    "texts are numbers": (stream(table(text=pa.array([1, 2, 3]))), "VALIDATION_ERROR", "text"),
    "compressed": (
        stream(table(), options=pa.ipc.IpcWriteOptions(compression="zstd")),
        "VALIDATION_ERROR",
        "",
    ),
    "no rows": (stream(table()[:0]), "VALIDATION_ERROR", "vectors"),
    "too many rows": (
        stream(pa.concat_tables([table()] * MAX_BATCH_POINTS)),
        "VALIDATION_ERROR",
        "vectors",
    ),
}


@pytest.mark.parametrize(("body", "code", "at"), BAD_ARROW.values(), ids=BAD_ARROW)
async def test_bad_arrow_is_refused_whole(docs: httpx.AsyncClient, body: bytes, code: str, at: str) -> None:
    assert len(body) < MAX_BODY_BYTES
    response = await insert(docs, body)
    assert_vectorizer_error(response, 400, code)
    assert response.json()["details"].get("at", "") == at
    assert await stored(docs, "a") == ([1, 2, 3], {"k": "v"})


async def test_structs_that_would_grow_beyond_bounds_are_refused(
    settings: ServeSettings, open_services: Callable[[], Awaitable[Services]]
) -> None:
    roomy = settings.model_copy(update={"max_body_bytes": 10_000_000})
    rows = pa.table(
        {"id": pa.array(["x"] * 1000), "vector": fixed(np.ones((1000, 3))), "payload": many_names()}
    )
    app = build_app(roomy, open_services=open_services, anonymous_allowed=True)
    async with running(app) as client:
        assert_vectorizer_error(await insert(client, stream(rows)), 400, "VALIDATION_ERROR")


async def test_a_stream_cut_short_anywhere_is_refused(docs: httpx.AsyncClient) -> None:
    whole = stream(pa.Table.from_batches(table().to_batches(max_chunksize=1)))
    for length in {*range(0, len(whole), 8), len(whole) - 1}:
        response = await insert(docs, whole[:length])
        assert response.status_code == 400, length
    assert (await insert(docs, whole + b"x")).status_code == 400
    assert (await insert(docs, whole)).status_code == 201


async def test_a_stream_with_any_byte_changed_breaks_nothing(docs: httpx.AsyncClient) -> None:
    for place in range(0, len(WHOLE), 3):
        changed = bytearray(WHOLE)
        changed[place] ^= 0xFF
        assert (await insert(docs, bytes(changed))).status_code in (201, 400), place


async def test_only_inserts_take_arrow(docs: httpx.AsyncClient) -> None:
    response = await docs.post(f"{DOCS}/search", content=WHOLE, headers=ARROW)
    assert_vectorizer_error(response, 400, "VALIDATION_ERROR")


async def test_the_openapi_document_names_the_content_types(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi/vectorizer.json")).json()["paths"]
    content = paths[f"{API}/collections/{{collection_name}}/vectors"]["post"]["requestBody"]["content"]
    assert content.keys() == {"application/json", *MSGPACK.values(), *ARROW.values()}
    assert content["application/msgpack"]["schema"] == content["application/json"]["schema"]
    search = paths[f"{API}/collections/{{collection_name}}/search"]["post"]
    assert search["requestBody"]["content"].keys() == {"application/json", "application/msgpack"}
    assert search["responses"]["200"]["content"].keys() == {"application/json", "application/msgpack"}


@pytest.fixture
async def wide(
    settings: ServeSettings, open_services: Callable[[], Awaitable[Services]]
) -> AsyncIterator[httpx.AsyncClient]:
    """A server that compresses answers from 512 bytes on."""
    small = settings.model_copy(update={"compress_min_bytes": 512})
    async with running(build_app(small, open_services=open_services, anonymous_allowed=True)) as client:
        await client.post(f"{API}/collections", json={"name": "docs", "dimension": 3, "metric": "cosine"})
        rows = [{"id": f"p{n}", "vector": [1, n, 0], "payload": {"t": "x" * 100}} for n in range(15)]
        await client.post(f"{DOCS}/vectors", json={"vectors": rows})
        yield client


async def found(client: httpx.AsyncClient, limit: int, **headers: str) -> tuple[httpx.Headers, bytes]:
    """Headers, and the body as it was sent."""
    request = {"vector": [1, 0, 0], "limit": limit}
    async with client.stream("POST", f"{DOCS}/search", json=request, headers=headers) as response:
        return response.headers, b"".join([part async for part in response.aiter_raw()])


@pytest.mark.parametrize("encoding", ["gzip", "br, GZIP;q=0.5", "*"])
async def test_a_large_answer_is_compressed_when_asked(wide: httpx.AsyncClient, encoding: str) -> None:
    headers, body = await found(wide, 15, **{"accept-encoding": encoding})
    assert (headers["content-encoding"], headers["content-length"]) == ("gzip", str(len(body)))
    assert "Accept-Encoding" in headers["vary"]
    assert len(orjson.loads(gzip.decompress(body))["results"]) == 15


@pytest.mark.parametrize("encoding", ["identity", "br", "gzip;q=0", "gzip; q=0.0", ""])
async def test_it_is_not_when_not_asked(wide: httpx.AsyncClient, encoding: str) -> None:
    headers, body = await found(wide, 15, **{"accept-encoding": encoding})
    assert "content-encoding" not in headers
    assert "Accept-Encoding" in headers["vary"]
    assert len(orjson.loads(body)["results"]) == 15


async def test_a_small_answer_is_sent_as_it_is(wide: httpx.AsyncClient) -> None:
    headers, body = await found(wide, 1, **{"accept-encoding": "gzip"})
    assert len(body) < 512
    assert not {"content-encoding", "vary"} & headers.keys()


async def test_a_file_is_sent_as_it_is(wide: httpx.AsyncClient) -> None:
    response = await wide.get("/docs/assets/favicon-32x32.png", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in response.headers
