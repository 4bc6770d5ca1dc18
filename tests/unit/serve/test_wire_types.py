"""Vectors on the wire, and two spellings of one key."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from serve.wire_types import Vector, WireModel, one_spelling


class Holder(WireModel):
    vector: Vector


@given(st.lists(st.floats(allow_nan=False, width=32) | st.integers(-(2**63), 2**64 - 1)))
def test_a_list_of_numbers_becomes_float32(values: list[float]) -> None:
    vector = Holder.model_validate({"vector": values}).vector
    assert vector.dtype == np.float32
    assert vector.shape == (len(values),)
    np.testing.assert_array_equal(vector, np.asarray(values, dtype=np.float32))


def test_a_number_beyond_float32_becomes_infinite() -> None:
    vector = Holder.model_validate({"vector": [1e39, -1e39, 3.4e38]}).vector
    assert np.isinf(vector).tolist() == [True, True, False]


@pytest.mark.parametrize(
    "value",
    [None, 1, "1,2", {}, {"0": 1}, (1, 2), ["1"], [True], [None], [[1]], [1, [2]], [1, {}], b"12"],
    ids=repr,
)
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="flat list of numbers"):
        Holder.model_validate({"vector": value})


def test_a_vector_is_an_array_of_numbers_in_the_schema() -> None:
    assert TypeAdapter(Vector).json_schema() == {
        "type": "array",
        "items": {"type": "number", "format": "float"},
    }


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"new": 1}, {"new": 1}),
        ({"old": 1}, {"new": 1}),
        ({"old": 1, "new": 1}, {"new": 1}),
        ({"old": 1, "new": None}, {"new": 1}),
        ({"old": None, "new": 1}, {"new": 1}),
        ({"old": None}, {}),
        ({"other": 1}, {"other": 1}),
        ([1], [1]),
        (None, None),
    ],
)
def test_an_accepted_spelling_becomes_the_documented_one(document: Any, expected: Any) -> None:
    assert one_spelling(document, {"old": "new"}) == expected


def test_two_spellings_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="'new' and 'old'"):
        one_spelling({"old": 1, "new": 2}, {"old": "new"})


def test_one_spelling_leaves_its_argument_alone() -> None:
    document = {"old": 1}
    one_spelling(document, {"old": "new"})
    assert document == {"old": 1}
