"""The client over a transport that records what is sent and answers what a test says."""

from collections.abc import Callable, Mapping
from typing import Any

import httpx
import numpy as np
import orjson
import pytest

import vectoray.client
from vectoray.client import Client, CollectionInfo
from vectoray.core.errors import (
    BodyTooLarge,
    CollectionExists,
    CollectionNotFound,
    Conflict,
    DeadlineExceeded,
    DimensionMismatch,
    InternalError,
    InvalidName,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    PointNotFound,
    RateLimited,
    Unauthenticated,
    Unavailable,
    VectorayError,
)
from vectoray.core.model import Metric

URL = "http://vectoray.test:8000"
DOCS = {
    "id": "0b7e6a3c-6f0e-4f0e-9a53-2f7d3a1c0001",
    "name": "docs",
    "dimension": 3,
    "distance_metric": "dot_product",
    "embedding_model": "all-MiniLM-L6-v2",
    "vector_count": 2,
}


class Server:
    """Answers every request from a table, and remembers the requests."""

    def __init__(self, answers: Mapping[str, object]) -> None:
        self.answers = answers
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers[f"{request.method} {request.url.raw_path.decode()}"]
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        return httpx.Response(status, content=body if isinstance(body, bytes) else orjson.dumps(body))

    def body(self) -> Any:
        return orjson.loads(self.requests[-1].content)


def client_of(handler: Callable[[httpx.Request], httpx.Response], **options: Any) -> Client:
    return Client(URL, transport=httpx.MockTransport(handler), **options)


def one_page(*collections: Mapping[str, object]) -> dict[str, object]:
    """Answers to the list of collections, to each one's name, and to the name "absent"."""
    named = {str(collection["name"]): [collection] for collection in collections}
    answers: dict[str, object] = {
        f"GET /api/collections?name={name}": {"items": items, "total": len(items)}
        for name, items in {"absent": [], **named}.items()
    }
    answers["GET /api/collections?skip=0&limit=100"] = {"items": list(collections), "total": len(collections)}
    return answers


def test_the_package_exports_exactly_its_client_and_values() -> None:
    assert vectoray.client.__all__ == [
        "Client",
        "CollectionInfo",
        "EmbeddingModel",
        "ExplainedDocument",
        "ExplainedShard",
        "ExplainedStep",
        "JobInfo",
        "JobPage",
        "QueryAnswer",
        "QueryHit",
        "ServerHealth",
        "StoredVector",
    ]


def test_health_reads_the_documented_answer() -> None:
    answer = {"status": "healthy", "version": "0.1.0", "uptime": 12.5, "collections": 2, "total_vectors": 7}
    with client_of(Server({"GET /api/v1/health": answer})) as client:
        health = client.health()
    assert (health.status, health.uptime_s, health.collections, health.total_vectors) == (
        "healthy",
        12.5,
        2,
        7,
    )


@pytest.mark.parametrize(
    ("metric", "spelling"),
    [(Metric.COSINE, "cosine"), (Metric.DOT, "dotproduct"), (Metric.EUCLIDEAN, "euclidean")],
)
def test_create_collection_spells_the_metric_as_the_family_does(metric: Metric, spelling: str) -> None:
    server = Server({"POST /api/v1/collections": (201, {"message": "ok", "collection": "docs"})})
    with client_of(server) as client:
        client.create_collection("docs", 3, metric)
    assert server.body() == {"name": "docs", "dimension": 3, "metric": spelling}
    assert server.requests[-1].headers["Content-Type"] == "application/json"


def test_an_api_key_is_sent_with_every_request() -> None:
    server = Server(one_page())
    with client_of(server, api_key="vy_secret") as client:
        client.collections()
    assert server.requests[-1].headers["X-API-Key"] == "vy_secret"


def test_collections_follows_the_pages_to_the_end() -> None:
    pages: dict[str, object] = {
        "GET /api/collections?skip=0&limit=100": {"items": [DOCS, {**DOCS, "name": "b"}], "total": 3},
        "GET /api/collections?skip=2&limit=100": {"items": [{**DOCS, "name": "c"}], "total": 3},
    }
    with client_of(Server(pages)) as client:
        assert [collection.name for collection in client.collections()] == ["docs", "b", "c"]


def test_collections_ends_when_the_list_shrinks_meanwhile() -> None:
    pages: dict[str, object] = {
        "GET /api/collections?skip=0&limit=100": {"items": [DOCS], "total": 2},
        "GET /api/collections?skip=1&limit=100": {"items": [], "total": 2},
    }
    with client_of(Server(pages)) as client:
        assert len(client.collections()) == 1


def test_collection_is_found_by_name() -> None:
    with client_of(Server(one_page({**DOCS, "name": "other"}, DOCS))) as client:
        found = client.collection("docs")
    assert found == CollectionInfo(
        id=str(DOCS["id"]),
        name="docs",
        dimension=3,
        metric=Metric.DOT,
        embedding_model="all-MiniLM-L6-v2",
        vector_count=2,
    )


def test_collection_that_is_not_listed_is_not_found() -> None:
    with client_of(Server(one_page(DOCS))) as client, pytest.raises(CollectionNotFound, match="'absent'"):
        client.collection("absent")


def test_insert_sends_float32_and_returns_the_count() -> None:
    server = Server({"POST /api/v1/collections/docs/vectors": (201, {"message": "ok", "inserted": 2})})
    vectors = np.array([[0.1, 0.2, 0.3], [1, 2, 3]], dtype=np.float64)
    with client_of(server) as client:
        assert client.insert("docs", ["a", "b"], vectors, [{"title": "A"}, {}]) == 2
    assert server.body() == {
        "vectors": [
            {"id": "a", "vector": [0.1, 0.2, 0.3], "payload": {"title": "A"}},
            {"id": "b", "vector": [1.0, 2.0, 3.0], "payload": {}},
        ]
    }


@pytest.mark.parametrize(
    ("ids", "vectors", "payloads", "message"),
    [
        (["a"], [[1.0], [2.0]], None, "1 ids, 2 vectors;"),
        (["a"], [[1.0]], [{}, {}], "1 ids, 1 vectors and 2 payloads;"),
        (["a", "b"], [[1.0], [1.0, 2.0]], None, "all rows of one length"),
        (["a"], [1.0], None, "vectors has 1 axes, 2"),
        (["a", "b"], [[1.0], [float("nan")]], None, r"vectors\[1\]\[0\] is not a finite"),
        (["a"], [[1e39]], None, r"vectors\[0\]\[0\] is not a finite"),
        ([""], [[1.0]], None, r"ids\[0\] is empty"),
        (["a"], [[1.0]], [{"x": object()}], "does not fit into JSON"),
    ],
)
def test_insert_refuses_what_json_cannot_carry(
    ids: list[str], vectors: list[Any], payloads: list[dict[str, Any]] | None, message: str
) -> None:
    server = Server({})
    with client_of(server) as client, pytest.raises(InvalidRequest, match=message):
        client.insert("docs", ids, vectors, payloads)
    assert not server.requests


def test_get_returns_float32_and_the_payload() -> None:
    stored = {"id": "a/b", "vector": [0.5, 1.5], "payload": {"n": 1}}
    with client_of(Server({"GET /api/v1/collections/docs/vectors/a%2Fb": stored})) as client:
        point = client.get("docs", "a/b")
    assert point.vector.dtype == np.float32
    assert point.vector.tolist() == [0.5, 1.5]
    assert point.payload == {"n": 1}


@pytest.mark.parametrize(
    ("point_id", "segment"),
    [
        ("..", "%2E%2E"),
        (".", "%2E"),
        ("../../x", "..%2F..%2Fx"),
        ("a?b#c%2F d", "a%3Fb%23c%252F%20d"),
        ("ü", "%C3%BC"),
    ],
)
def test_an_id_never_leaves_its_path_segment(point_id: str, segment: str) -> None:
    path = f"DELETE /api/v1/collections/docs/vectors/{segment}"
    server = Server({path: {"message": "ok"}})
    with client_of(server) as client:
        client.delete("docs", point_id)
    assert len(server.requests) == 1


def test_a_bad_collection_name_is_refused_before_it_is_sent() -> None:
    server = Server({})
    with client_of(server) as client, pytest.raises(InvalidName):
        client.delete_collection("../secrets")
    assert not server.requests


def test_query_by_name_looks_up_the_id_and_reads_the_hits() -> None:
    hit = {"id": "a", "score": 0.9, "distance": 0.1, "metadata": {"title": "A"}, "text_content": "hello"}
    path = f"POST /api/collections/{DOCS['id']}/query"
    answer = {"results": [hit], "total": 1, "latency_ms": 2.5, "query_id": "q1"}
    server = Server({**one_page(DOCS), path: answer})
    with client_of(server) as client:
        found = client.query("docs", text="greeting", top_k=3)
    assert server.body() == {"text": "greeting", "top_k": 3}
    assert [(each.id, each.score, each.payload, each.text) for each in found.hits] == [
        ("a", 0.9, {"title": "A"}, "hello")
    ]
    assert (found.latency_ms, found.query_id) == (2.5, "q1")


def test_query_of_a_known_collection_takes_one_request() -> None:
    path = f"POST /api/collections/{DOCS['id']}/query"
    server = Server({**one_page(DOCS), path: {"results": [], "latency_ms": 1, "query_id": "q"}})
    with client_of(server) as client:
        target = client.collection("docs")
        server.requests.clear()
        client.query(target, vector=[1, 2, 3])
    assert [request.method for request in server.requests] == ["POST"]
    assert server.body() == {"vector": [1.0, 2.0, 3.0], "top_k": 10}


@pytest.mark.parametrize("question", [{}, {"text": "a", "vector": [1.0]}])
def test_query_takes_exactly_one_question(question: dict[str, Any]) -> None:
    with client_of(Server(one_page(DOCS))) as client, pytest.raises(InvalidRequest, match="either a text or"):
        client.query("docs", **question)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "COLLECTION_NOT_FOUND", CollectionNotFound),
        (404, "VECTOR_NOT_FOUND", PointNotFound),
        (400, "INVALID_DIMENSION", DimensionMismatch),
        (400, "INVALID_COLLECTION_NAME", InvalidName),
        (409, "COLLECTION_ALREADY_EXISTS", CollectionExists),
        (400, "VALIDATION_ERROR", InvalidRequest),
        (401, "UNAUTHORIZED", Unauthenticated),
        (429, "RATE_LIMITED", RateLimited),
        (400, "VECTOR_INSERTION_FAILED", InvalidRequest),
        (503, "VECTOR_INSERTION_FAILED", Unavailable),
        (500, "SEARCH_FAILED", InternalError),
        (413, "VALIDATION_ERROR", BodyTooLarge),
    ],
)
def test_a_vectorizer_error_keeps_its_kind_message_and_details(
    status: int, code: str, expected: type[VectorayError]
) -> None:
    envelope = {"error": "What was wrong.", "code": code, "details": {"at": "x"}}
    with (
        client_of(Server({"GET /api/v1/collections/docs/vectors/a": (status, envelope)})) as client,
        pytest.raises(VectorayError) as raised,
    ):
        client.get("docs", "a")
    assert type(raised.value) is expected
    assert raised.value.message == "What was wrong."
    assert raised.value.details == {"at": "x"}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, InvalidRequest),
        (401, Unauthenticated),
        (403, PermissionDenied),
        (404, NotFound),
        (409, Conflict),
        (500, InternalError),
        (503, Unavailable),
        (504, DeadlineExceeded),
    ],
)
def test_a_vectory_error_keeps_its_kind_and_message(status: int, expected: type[VectorayError]) -> None:
    with (
        client_of(Server({"GET /api/models": (status, {"detail": "What was wrong."})})) as client,
        pytest.raises(VectorayError) as raised,
    ):
        client.models()
    assert type(raised.value) is expected
    assert raised.value.message == "What was wrong."


def test_a_query_of_a_collection_that_has_gone_is_collection_not_found() -> None:
    path = f"POST /api/collections/{DOCS['id']}/query"
    server = Server({**one_page(DOCS), path: (404, {"detail": "Collection not found."})})
    with client_of(server) as client, pytest.raises(CollectionNotFound):
        client.query("docs", text="a")


@pytest.mark.parametrize("body", [b"<html>502</html>", b"[]", b"", b'{"detail": [{"loc": []}]}'])
def test_an_error_without_an_envelope_names_the_request_and_the_status(body: bytes) -> None:
    with (
        client_of(Server({"GET /api/models": (502, body)})) as client,
        pytest.raises(Unavailable, match="GET /api/models was answered with status 502"),
    ):
        client.models()


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[1]", b"null", b'{"items": [{}], "total": 1}'])
def test_an_answer_of_another_form_is_one_error(body: bytes) -> None:
    with (
        client_of(Server({"GET /api/collections?skip=0&limit=100": body})) as client,
        pytest.raises(InternalError, match="a form this client does not know"),
    ):
        client.collections()


def test_a_redirect_is_not_followed() -> None:
    server = Server({"GET /api/v1/health": (307, b"")})
    with client_of(server, api_key="vy_secret") as client, pytest.raises(InternalError):
        client.health()
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("failure", "expected", "message"),
    [
        (httpx.ConnectError, Unavailable, "Start one with 'vectoray up'"),
        (httpx.ConnectTimeout, Unavailable, "Start one with 'vectoray up'"),
        (httpx.ReadTimeout, DeadlineExceeded, "within 5 s"),
        (httpx.RemoteProtocolError, Unavailable, "broke before the answer came"),
    ],
)
def test_a_network_failure_says_what_to_do(
    failure: type[httpx.TransportError], expected: type[VectorayError], message: str
) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise failure("no", request=request)

    with client_of(fail, timeout_s=5) as client, pytest.raises(VectorayError, match=message) as raised:
        client.health()
    assert type(raised.value) is expected
    assert URL in raised.value.message


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://host", "http://", "http://h:port"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match="is not an address"):
        Client(url)


def test_a_proxy_of_the_environment_is_not_used_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.test:3128")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with Client("http://127.0.0.1:1") as client, pytest.raises(Unavailable) as raised:
        client.health()
    assert isinstance(raised.value.__cause__, httpx.ConnectError)
    assert "refused" in str(raised.value.__cause__)
