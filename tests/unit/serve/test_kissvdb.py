"""The kiss-vdb API's error table, and what it makes of bodies."""

from typing import Any

import orjson
import pytest

from serve.surfaces.kissvdb import translate, wire
from serve.surfaces.kissvdb.errors import STATUS_AND_CODE, render_http_error
from vectoray.core.errors import ErrorCode, InvalidRequest
from vectoray.core.filters import And, Eq


def test_every_error_has_a_status_and_a_code() -> None:
    assert STATUS_AND_CODE.keys() == set(ErrorCode)


@pytest.mark.parametrize(
    ("status", "code"), [(418, "invalid_argument"), (500, "internal"), (404, "not_found")]
)
def test_errors_of_http_have_codes(status: int, code: str) -> None:
    response = render_http_error(status, "Message.")
    assert response.status_code == status
    assert orjson.loads(response.body) == {"error": code, "message": "Message."}


@pytest.mark.parametrize(
    ("meta", "text"),
    [
        ({"content": "c", "text": "t"}, "c"),
        ({"content": 1, "text": "t"}, "t"),
        ({"text": ["t"]}, None),
        ({}, None),
    ],
)
def test_the_text_is_that_of_the_meta(meta: dict[str, Any], text: str | None) -> None:
    points = translate.new_point(wire.Item.model_validate({"id": "a", "vector": [1], "meta": meta}))
    assert (points.texts, orjson.loads(points.payloads[0])) == ([text], meta)


def test_filters_are_conditions_that_must_all_hold() -> None:
    assert translate.exact_filter({"a.b": 1, "c": None}) == And((Eq(("a.b",), 1), Eq(("c",), None)))
    assert translate.exact_filter({}) is None
    with pytest.raises(InvalidRequest, match=r"filters\.a is a list or an object"):
        translate.exact_filter({"a": {"b": 1}})
