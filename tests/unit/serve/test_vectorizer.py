"""The Vectorizer API's error table and translations."""

import numpy as np
import orjson
import pytest

from serve.point_columns import text_of
from serve.surfaces.vectorizer import translate, wire
from serve.surfaces.vectorizer.errors import (
    FAILED_OPERATION,
    STATUS_AND_CODE,
    render_error,
    render_http_error,
)
from serve.surfaces.vectorizer.router import router
from vectoray.core.errors import ErrorCode, InvalidRequest, Overloaded
from vectoray.core.model import IndexOptions, Metric


def test_every_error_has_a_status_and_a_code() -> None:
    assert STATUS_AND_CODE.keys() == set(ErrorCode)


def test_operations_that_have_names_for_failing_exist() -> None:
    assert FAILED_OPERATION.keys() <= {route.name for route in router.routes if hasattr(route, "name")}


def test_only_failures_are_named_after_their_operation() -> None:
    for operation, code in FAILED_OPERATION.items():
        assert orjson.loads(render_error(Overloaded("Full."), operation).body)["code"] == code
        bad = orjson.loads(render_error(InvalidRequest("Bad."), operation).body)
        assert bad["code"] == "VALIDATION_ERROR"


@pytest.mark.parametrize(
    ("status", "code"), [(418, "VALIDATION_ERROR"), (500, "INTERNAL_ERROR"), (404, "NOT_FOUND")]
)
def test_errors_of_http_have_codes(status: int, code: str) -> None:
    response = render_http_error(status, "Message.")
    assert response.status_code == status
    assert orjson.loads(response.body) == {"error": "Message.", "code": code, "details": {}}


def test_every_metric_has_a_name() -> None:
    assert set(translate.METRICS.values()) == set(Metric)


def test_index_options_default_to_the_documented_ones() -> None:
    body = wire.CreateCollection(name="a", dimension=1, metric="cosine")
    assert translate.new_collection(body).index == IndexOptions(ef_construction=200)
    assert wire.HnswConfig().model_dump() == {"m": 16, "ef_construction": 200, "ef_search": 64, "seed": 42}


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({"content": "c", "text": "t"}, "c"),
        ({"text": "t"}, "t"),
        ({"content": 1, "text": "t"}, "t"),
        ({"content": ""}, ""),
        ({"content": None}, None),
        ({}, None),
    ],
)
def test_the_text_is_content_or_else_text(payload: dict[str, object], text: str | None) -> None:
    assert text_of(payload, wire.ROWS.text) == text


def test_points_come_in_columns() -> None:
    body = wire.InsertVectors.model_validate(
        {"vectors": [{"id": "a", "vector": [1], "payload": {"text": "é"}}, {"id": "b", "vector": [2]}]}
    )
    points = body.vectors
    assert (points.ids, points.payloads, points.texts) == (
        ["a", "b"],
        ['{"text":"é"}'.encode(), b"{}"],
        ["é", None],
    )
    np.testing.assert_array_equal(points.vectors, np.array([[1], [2]], dtype=np.float32))
