"""Rows of tables become points, or are refused with a reason that names what is wrong."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.vectors.columns import CheckedRows, Columns, Target, check_rows
from vectoray.core.errors import DimensionMismatch, InvalidRequest
from vectoray.core.model import Metric

DIMENSION = 3
VECTORS = np.arange(1, 7, dtype=np.float32).reshape(2, DIMENSION)
LISTS = VECTORS.tolist()


def checked(columns: dict[str, Any], *, metric: Metric = Metric.COSINE, **names: str) -> CheckedRows:
    return check_rows(pa.table(columns), Columns(**names), Target(DIMENSION, metric))


def fixed(rows: Any, kind: Any = None) -> Any:
    return pa.array(rows, pa.list_(kind or pa.float32(), DIMENSION))


@pytest.mark.parametrize(
    "vectors",
    [
        fixed(LISTS),
        fixed(LISTS, pa.float64()),
        fixed(LISTS, pa.float16()),
        fixed([[1, 2, 3], [4, 5, 6]], pa.int32()),
        pa.array(LISTS, pa.list_(pa.float32())),
        pa.array(LISTS, pa.large_list(pa.float64())),
        pa.chunked_array([pa.array(LISTS[:1]), pa.array(LISTS[1:])]),
        pa.array([json.dumps(one) for one in LISTS]),
        pa.array([None, *LISTS]).slice(1),
        fixed([None, *LISTS]).slice(1),
    ],
    ids=str,
)
def test_vectors_may_be_lists_of_any_kind(vectors: Any) -> None:
    rows = checked({"id": ["a", "b"], "vector": vectors})
    assert rows.batch.ids == ["a", "b"]
    assert rows.batch.vectors.dtype == np.float32
    assert np.array_equal(rows.batch.vectors, VECTORS)
    assert rows.batch.payloads == [b"{}", b"{}"]
    assert rows.kept.tolist() == [0, 1]


def test_vectors_may_be_columns_of_numbers_in_the_order_of_their_names_numbers() -> None:
    columns = {f"v_{number}": pa.array([number, number + 0.5]) for number in (2, 10, 1)}
    rows = checked({"id": [1, 2], "v_x": ["p", "q"], **columns}, vector="v")
    assert rows.batch.ids == ["1", "2"]
    assert rows.batch.vectors.tolist() == [[1, 2, 10], [1.5, 2.5, 10.5]]
    assert [json.loads(payload) for payload in rows.batch.payloads] == [{"v_x": "p"}, {"v_x": "q"}]


def test_other_columns_become_fields_of_the_payload_and_given_fields_win() -> None:
    rows = checked(
        {
            "id": ["a", "b"],
            "vector": fixed(LISTS),
            "payload": ['{"year": 1999, "x": [1, {"y": null}]}', None],
            "year": [2001, 2002],
            "tags": [["p", "q"], []],
            "text": ["words", None],
            "source": [None, "book"],
        }
    )
    assert [json.loads(payload) for payload in rows.batch.payloads] == [
        {"year": 1999, "tags": ["p", "q"], "x": [1, {"y": None}]},
        {"year": 2002, "tags": []},
    ]
    assert (rows.batch.texts, rows.batch.sources) == (["words", None], [None, "book"])


def test_a_payload_alone_is_kept_as_it_is() -> None:
    rows = checked({"id": ["a", "b"], "vector": fixed(LISTS), "payload": ['{ "a":1.0}', "{}"]})
    assert rows.batch.payloads == [b'{ "a":1.0}', b"{}"]
    rows = checked({"id": ["a", "b"], "vector": fixed(LISTS), "payload": [{"a": 1}, {"a": None}]})
    assert rows.batch.payloads == [b'{"a":1}', b'{"a":null}']


def test_each_bad_row_is_refused_for_its_own_reason_and_the_others_stay() -> None:
    nan, inf = float("nan"), float("inf")
    vectors = [[1, 2, 3]] * 4 + [
        None,
        [1, 2],
        [1, nan, 3],
        [inf, 2, 3],
        [1e300, 2, 3],
        [0, 0, 0],
        [1, None, 3],
    ]
    count = len(vectors)
    rows = checked(
        {
            "id": ["good", None, "", "x" * 600, *(f"v{row}" for row in range(count - 4))],
            "vector": pa.array(vectors, pa.list_(pa.float64())),
        }
    )
    assert (rows.batch.ids, rows.kept.tolist()) == (["good"], [0])
    reasons = rows.refused
    assert list(reasons) == list(range(1, count))
    assert reasons[1] == reasons[2] == "It has no id."
    assert reasons[3] == "Its id has 600 bytes, at most 512 are allowed."
    assert reasons[4] == "It has no vector."
    assert reasons[5] == "Its vector has 2 dimensions, the collection has 3."
    assert all("no finite number" in reasons[row] for row in (6, 7, 8, 10))
    assert "all zeros" in reasons[9]
    zero = {"id": ["a"], "vector": fixed([[0, 0, 0]])}
    assert checked(zero, metric=Metric.DOT).refused == {}


def test_bad_json_is_refused_by_row() -> None:
    rows = checked(
        {
            "id": list("abcdefg"),
            "vector": ["[1,2,3]", "[1,2", '"x"', "[[1,2,3]]", "[1,2]", None, "[1,2,3]"],
            "payload": ["[1]", *["{}"] * 6],
            "source": [*[None] * 6, "s" * 2000],
        }
    )
    assert rows.batch.ids == []
    assert rows.batch.vectors.shape == (0, DIMENSION)
    assert list(rows.refused.values()) == [
        "Its payload is no JSON object.",
        "Its vector is no JSON array of numbers.",
        "Its vector is no JSON array of numbers.",
        "Its vector has 3 dimensions, the collection has 3.",
        "Its vector has 2 dimensions, the collection has 3.",
        "It has no vector.",
        "Its source has 2000 bytes, at most 1024 are allowed.",
    ]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"name": ["a"], "vector": fixed(LISTS[:1])},
            "There is no column 'id'; the columns are 'name', 'vector'.",
        ),
        ({"id": ["a"], "embedding": fixed(LISTS[:1])}, "There is no column 'vector'"),
        ({"id": [1.5], "vector": fixed(LISTS[:1])}, "The column 'id' of ids holds double"),
        ({"id": ["a"], "vector": [1.0]}, "The column 'vector' holds double; vectors are lists of numbers"),
        (
            {"id": ["a"], "vector": [["x"]]},
            "The column 'vector' holds string where a vector must have numbers",
        ),
        ({"id": ["a"], "vector": fixed(LISTS[:1]), "raw": [b"\xff"]}, "The column 'raw' holds binary, which"),
        ({"id": ["a"], "vector": fixed(LISTS[:1]), "text": [1]}, "The column 'text' holds int64"),
        ({"id": ["a"], "vector": fixed(LISTS[:1]), "payload": [1]}, "The column 'payload' holds int64"),
        ({"id": ["a"], "vector_0": [1.0], "vector_1": ["x"], "vector_2": [1.0]}, "'vector_1' holds string"),
    ],
)
def test_columns_that_cannot_be_points_are_refused_as_a_whole(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        checked(columns)
    assert message in caught.value.message


def test_another_dimension_is_told_before_any_row_is_looked_at() -> None:
    for columns in (
        {"id": ["a"], "vector": pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2))},
        {"id": ["a"], "vector_0": [1.0], "vector_1": [2.0]},
    ):
        with pytest.raises(DimensionMismatch) as caught:
            checked(columns)
        assert caught.value.details["expected"] == DIMENSION
        assert caught.value.details["actual"] == 2


def test_strings_that_are_not_utf8_are_one_sentence() -> None:
    broken = pa.array([b"\xff\xfe"]).cast(pa.string(), safe=False)
    with pytest.raises(InvalidRequest, match="The column 'text' holds strings that are not valid UTF-8"):
        checked({"id": ["a"], "vector": fixed(LISTS[:1]), "text": broken})
