"""A model behind an endpoint: what is sent, what is believed, what is tried again, and what is never told."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import structlog

from tests.unit.embedding.endpoint import (
    DIMENSION,
    Endpoint,
    Reply,
    Request,
    endpoint,
    good,
    unit_vectors,
    vector_of,
)
from vectoray.core.errors import InternalError, InvalidRequest, Overloaded, Unavailable, VectorayError
from vectoray.embedding import ModelInfo
from vectoray.embedding.http_model import HttpModel
from vectoray.embedding.settings import HttpModelSettings

KEY = "sk-of-nobody-else"
TEXTS = ["one", "two", "three", "four", "five"]


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vectoray.embedding.retries._FIRST_WAIT_S", 0.01)


@pytest.fixture
def served() -> Iterator[Endpoint]:
    with endpoint() as one:
        yield one


@pytest.fixture
def models() -> Iterator[list[HttpModel]]:
    made: list[HttpModel] = []
    yield made
    for model in made:
        model.close()


@pytest.fixture
def model(served: Endpoint, models: list[HttpModel]) -> HttpModel:
    return model_at(served.url, models)


def model_at(url: str, models: list[HttpModel], *, give_up_s: float = 30, **more: Any) -> HttpModel:
    given = {"name": "far", "provider": "openai", "url": url, "model": "m-1", "dimension": DIMENSION}
    settings = HttpModelSettings.model_validate({**given, "api_key": KEY, **more})
    models.append(HttpModel(ModelInfo("far", "openai", DIMENSION, 512), settings, give_up_s=give_up_s))
    return models[-1]


@pytest.mark.parametrize("encoding", ["base64", "float"])
def test_vectors_come_in_the_order_of_the_texts_and_of_unit_length(
    served: Endpoint, models: list[HttpModel], encoding: str
) -> None:
    model = model_at(served.url, models, encoding=encoding)
    vectors = model.embed(TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, unit_vectors(TEXTS), rtol=1e-6)
    [request] = served.requests
    assert request.body == {"model": "m-1", "input": TEXTS, "encoding_format": encoding}
    assert request.headers["Authorization"] == f"Bearer {KEY}"


def test_numbers_are_understood_where_base64_was_asked_for(served: Endpoint, model: HttpModel) -> None:
    served.replies = [lambda request: good(Request({}, {**request.body, "encoding_format": "float"}))]
    np.testing.assert_allclose(model.embed(TEXTS), unit_vectors(TEXTS), rtol=1e-6)


def test_many_texts_go_in_several_requests(served: Endpoint, models: list[HttpModel]) -> None:
    model = model_at(served.url, models, batch_texts=3, in_flight=2, send_dimension=True)
    texts = [f"text {'x' * number}" for number in range(20)]
    np.testing.assert_allclose(model.embed(texts), unit_vectors(texts), rtol=1e-6)
    assert sorted(len(request.body["input"]) for request in served.requests) == [2, 3, 3, 3, 3, 3, 3]
    assert {request.body["dimensions"] for request in served.requests} == {DIMENSION}


def test_no_texts_ask_nobody(served: Endpoint, model: HttpModel) -> None:
    assert model.embed([]).shape == (0, DIMENSION)
    assert served.requests == []


def test_a_long_text_is_cut(served: Endpoint, models: list[HttpModel]) -> None:
    model_at(served.url, models, max_chars=8).embed(["123456789"])
    assert served.requests[0].body["input"] == ["12345678"]


def test_text_that_is_not_unicode_is_not_sent(served: Endpoint, model: HttpModel) -> None:
    with pytest.raises(InvalidRequest, match=r"texts\[1\]"):
        model.embed(["fine", "\ud800"])
    assert served.requests == []


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(served: Endpoint, model: HttpModel, status: int) -> None:
    served.replies = [Reply(status, body={}), Reply(status, body={}, headers={"Retry-After": "0"})]
    np.testing.assert_allclose(model.embed(TEXTS), unit_vectors(TEXTS), rtol=1e-6)
    assert len(served.requests) == 3


def test_a_broken_connection_is_tried_again(served: Endpoint, model: HttpModel) -> None:
    served.replies = [Reply(body=b'{"data"', headers={"Content-Length": "5000", "Connection": "close"})]
    np.testing.assert_allclose(model.embed(TEXTS), unit_vectors(TEXTS), rtol=1e-6)


def test_a_wait_that_is_asked_for_and_too_long_is_not_waited(served: Endpoint, model: HttpModel) -> None:
    served.replies = [Reply(429, body={}, headers={"Retry-After": "3600"})]
    with pytest.raises(Overloaded, match="allows no more requests"):
        model.embed(TEXTS)
    assert len(served.requests) == 1


def test_an_endpoint_that_stays_broken_is_given_up(served: Endpoint, models: list[HttpModel]) -> None:
    served.replies = [Reply(503, body={}) for _ in range(1000)]
    with pytest.raises(Unavailable, match=r"does not answer \(status 503\)"):
        model_at(served.url, models, give_up_s=0.1).embed(TEXTS)
    assert len(served.requests) > 1


def test_an_endpoint_that_is_not_there_is_given_up(models: list[HttpModel]) -> None:
    with pytest.raises(Unavailable, match=r"does not answer \(ConnectError\)"):
        model_at("http://127.0.0.1:1/v1/embeddings", models, give_up_s=0.1).embed(TEXTS)


def test_an_answer_that_drips_without_end_is_given_up(served: Endpoint, models: list[HttpModel]) -> None:
    end = threading.Event()
    served.replies = [Reply(body=b" " * 5000, drip=end)]
    try:
        with pytest.raises(Unavailable, match="SlowAnswer"):
            model_at(served.url, models, timeout_s=0.2, give_up_s=0.0001).embed(TEXTS)
    finally:
        end.set()


def test_after_an_error_the_remaining_requests_are_not_sent(
    served: Endpoint, models: list[HttpModel]
) -> None:
    served.replies = [Reply(400, body={}), *(Reply(503, body={}) for _ in range(1000))]
    with pytest.raises(InvalidRequest):
        model_at(served.url, models, batch_texts=1, in_flight=2, give_up_s=3600).embed(["text"] * 200)
    assert len(served.requests) < 100


def test_an_error_is_told_while_a_request_before_it_is_still_tried(
    served: Endpoint, models: list[HttpModel]
) -> None:
    def reply(request: Request) -> Reply:
        return Reply(503 if request.body["input"] == ["first"] else 400, body={})

    served.replies = [reply] * 1000
    with pytest.raises(InvalidRequest):
        model_at(served.url, models, batch_texts=1, in_flight=2, give_up_s=3600).embed(["first", "second"])


def _items(*vectors: Any) -> dict[str, Any]:
    return {"data": [{"index": index, "embedding": vector} for index, vector in enumerate(vectors)]}


FINE = [vector_of(text) for text in TEXTS]
UNUSABLE = {
    "not JSON": (b"<html>", "not in the format"),
    "not an object": ([1], "not in the format"),
    "an error with status 200": ({"error": {"message": "no"}}, "not in the format"),
    "a vector too few": (_items(*FINE[:-1]), "4 vectors for 5 texts"),
    "a vector too many": (_items(*FINE, FINE[0]), "not those of the texts"),
    "one twice, one missing": (
        {"data": [{"index": 0, "embedding": vector} for vector in FINE]},
        "not those of the texts",
    ),
    "a number that is no number": (
        {"data": [{"index": "0", "embedding": vector} for vector in FINE]},
        "not those of the texts",
    ),
    "another dimension": (_items(*([*vector, 1.0] for vector in FINE)), "have 5 dimensions, not 4"),
    "no vector": (_items(*FINE[:-1], None), "neither a list of numbers"),
    "words in a vector": (_items(*FINE[:-1], ["1", "2", "3", "4"]), "neither a list of numbers"),
    "bad base64": (_items(*FINE[:-1], "%%%"), "neither a list of numbers"),
    "half a number in base64": (_items(*FINE[:-1], "AAAAAAA="), "neither a list of numbers"),
    "a zero vector": (_items(*FINE[:-1], [0.0] * 4), "zero or not finite"),
    "an infinite vector": (_items(*FINE[:-1], [1e300, 0, 0, 0]), "zero or not finite"),
    "an endless body": (b" " * 200_000, "longer than the vectors can be"),
}


@pytest.mark.parametrize(("body", "reason"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_answer_that_is_not_as_it_should_be_is_refused(
    served: Endpoint, model: HttpModel, body: Any, reason: str
) -> None:
    served.replies = [Reply(body=body)]
    with pytest.raises(InternalError, match=reason):
        model.embed(TEXTS)
    assert len(served.requests) == 1


def test_a_compressed_answer_is_refused(served: Endpoint, model: HttpModel) -> None:
    served.replies = [Reply(body=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})]
    with pytest.raises(InternalError, match="compressed"):
        model.embed(TEXTS)
    assert served.requests[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        (400, InvalidRequest, "refused a text"),
        (401, InternalError, "'api_key'"),
        (404, InternalError, "'url' and 'model'"),
        (307, InternalError, "status 307"),
    ],
)
def test_what_does_not_pass_is_not_tried_again(
    served: Endpoint, model: HttpModel, status: int, error: type[VectorayError], says: str
) -> None:
    elsewhere = {"Location": served.url} if status == 307 else {}
    served.replies = [Reply(status, body={"error": f"bad key {KEY}"}, headers=elsewhere)]
    with pytest.raises(error, match=says):
        model.embed(TEXTS)
    assert len(served.requests) == 1


@pytest.mark.parametrize("reply", [Reply(401, body=f"{KEY} TEXT"), Reply(500, body=KEY), Reply(body=KEY)])
def test_neither_key_nor_text_nor_address_is_logged_or_told(
    served: Endpoint, models: list[HttpModel], reply: Reply
) -> None:
    model = model_at(served.url, models, give_up_s=0.05)
    served.replies = [reply] * 1000
    with structlog.testing.capture_logs() as logs, pytest.raises(VectorayError) as raised:
        model.embed(["TEXT of somebody"])
    told = json.dumps(logs) + raised.value.message + repr(raised.value.details)
    for secret in (KEY, "TEXT", "127.0.0.1"):
        assert secret not in told


def test_the_fingerprint_is_of_what_the_vectors_depend_on(models: list[HttpModel]) -> None:
    url = "http://127.0.0.1:1/v1/embeddings"
    one, same, other = (
        model_at(url, models),
        model_at(url, models, api_key="sk-other", batch_texts=7),
        model_at(url, models, model="m-2"),
    )
    assert one.fingerprint == same.fingerprint != other.fingerprint
