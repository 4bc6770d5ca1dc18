"""JSON bodies: what is read fast is what orjson and pydantic would have made of it, and they alone refuse."""

from typing import Any
from unittest.mock import patch

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from serve import json_body
from serve.json_body import NotPlain, decode_json
from serve.payload_field import Payload
from serve.service.points import NewPoints
from serve.surfaces.kissvdb.wire import Item
from serve.surfaces.vectorizer import wire
from serve.surfaces.vectory.vector_wire import NewVectors
from serve.surfaces.vectory.wire import Query
from vectoray.core.errors import InvalidRequest

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**64 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["id", "vector", "data", "payload", "metadata", "content", "[", "x"])
ROWS = st.dictionaries(
    KEYS, JSON | st.lists(NUMBERS, max_size=4) | st.dictionaries(KEYS, JSON, max_size=3), max_size=4
) | st.fixed_dictionaries(
    {"id": st.text(max_size=4), "vector": st.lists(NUMBERS, min_size=1, max_size=4)},
    optional={"payload": st.none() | st.dictionaries(st.sampled_from(["content", "text", "["]), JSON)},
)


def outcome(body: bytes, model: Any) -> Any:
    """What becomes of a body: the values that reach a service, or what is wrong with it."""
    try:
        validated = model.model_validate(decode_json(body, model))
        if model is Item:
            return validated.id, validated.vector, validated.meta
        if model not in (wire.InsertVectors, NewVectors):
            return validated.model_dump()
        points = validated.vectors
    except InvalidRequest as error:
        return error.message
    except ValidationError as error:
        return [(fault["loc"], fault["msg"]) for fault in error.errors()]
    vectors = [[float(value) for value in row] for row in points.vectors]
    payloads = [orjson.loads(one) for one in points.payloads]
    return points.ids, vectors, payloads, points.texts, points.sources, points.chunk_indexes


def both(body: bytes, model: Any) -> tuple[Any, Any]:
    """The outcome, and the outcome where orjson alone reads."""
    # Ids that the server makes are the same in both.
    with patch("serve.surfaces.vectory.vector_rows.uuid4", return_value="made"):
        with patch.object(json_body, "_read", side_effect=NotPlain):
            expected = outcome(body, model)
        return outcome(body, model), expected


def same(one: Any, other: Any) -> None:
    np.testing.assert_equal(one, other)


@given(st.lists(ROWS, max_size=3), st.dictionaries(st.sampled_from(["a", "["]), JSON, max_size=1))
def test_an_insert_is_read_as_orjson_reads_it(rows: list[Any], others: dict[str, Any]) -> None:
    same(*both(orjson.dumps({"vectors": rows, **others}), wire.InsertVectors))


@given(
    st.dictionaries(
        st.sampled_from(["vector", "data", "limit", "top_k", "filters", "text", "score_threshold"]),
        JSON | st.lists(NUMBERS, max_size=4),
    )
)
def test_a_question_is_read_as_orjson_reads_it(question: dict[str, Any]) -> None:
    for model in (wire.Search, Query):
        same(*both(orjson.dumps(question), model))


@given(ROWS)
def test_an_item_is_read_as_orjson_reads_it(row: dict[str, Any]) -> None:
    item = {"meta" if key == "payload" else key: value for key, value in row.items()}
    (*one, meta), (*other, expected) = ([*found] for found in both(orjson.dumps(item), Item))
    same(one, other)
    assert as_values(meta) == as_values(expected)


def as_values(meta: Any) -> Any:
    return (orjson.loads(meta.document), meta.text) if isinstance(meta, Payload) else meta


TEXTS = [
    '{"vector": [1, 2.5, -3e-3]}',
    '{"vector": [[1, 2], [3]]}',
    '{"vector": [[1], [2]]}',
    '{"vector": [[], 1]}',
    '{"vector": [[]]}',
    '{"vector": [{}]}',
    '{"vector": [1, {}]}',
    '{"vector": []}',
    '{"vector": [NaN]}',
    '{"vector": [1, Infinity]}',
    '{"vector": [1e39, 1]}',
    '{"vector": [1e999]}',
    '{"vector": [1e-999, -0, -0.0]}',
    '{"vector": [true]}',
    '{"vector": [null]}',
    '{"vector": ["1.5"]}',
    '{"vector": [01]}',
    '{"vector": [1,]}',
    '{"vector": [18446744073709551615, -9223372036854775808]}',
    '{"vector": [123456789012345678901234567890]}',
    '{"vector": [1], "vector": [2]}',
    '{"vector": [1], "data": [1]}',
    '{"vector": [1], "data": [2]}',
    '{"vector": [1], "text": "["}',
    '{"vector": [[1]], "text": "\\u005b"}',
    '{"vector": [1], "text": "\\ud800"}',
    '{"vector": [1], "filters": {"a": [1]}}',
    '{"vector": [1]} x',
    '{"vector": [1], "x\\u0000": 1}',
    '{"vector": [1], "text": "a", "text\\u0000": "b", "filters": {"a": 1, "a\\u0000": 2}}',
    '{"vector": [1], "filters": {"a": 1, "a": 2}}',
    '{"vectors": [{"id": "a", "vector": [1], "id\\u0000": "b", "vector\\u0000": [2]}]}',
    '{"vectors": [{"id": "a", "vector": [1], "payload": {"content": "a", "content": "b"}}]}',
    '{"vectors": [{"id": "a", "vector": [1], "payload": {"content": {"k": 1, "k": 2}}}]}',
    '\ufeff{"vector": [1]}',
    '{"vector": [1], "text": "\x01"}',
    '{"vectors": [{"id": "a", "vector": [[1]], "payload": {"x": "\\u005b"}}]}',
    '{"vectors": [{"id": "a", "vector": [1], "payload": {"content": ["["], "text": "["}}]}',
    '{"vectors": [{"id": "[", "vector": [1]}, {"id": "b", "vector": [1, 2]}]}',
    '{"vectors": [{"id": "a", "id": "b", "vector": [1]}]}',
    '{"vectors": [{"id": "a", "vector": [1], "payload": null, "metadata": {"k": 1}}]}',
    '{"vectors": [{"id": "a", "vector": [1], "payload": {"k": 1, "k": 2}}]}',
    '{"vectors": [{"id": "a", "vector": [1], "payload": {"big": 123456789012345678901234567890}}]}',
    '{"vectors": [{"id": "a", "vector": [1], "payload": ' + '{"a":' * 300 + "1" + "}" * 300 + "}]}",
    '{"vectors": [{"id": "a", "vector": [1], "payload": {"l": [' + "[]," * 300 + "[]]}}]}",
    "[" * 5000,
    "",
    "null",
    "[]",
]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:40])
@pytest.mark.parametrize("model", [wire.Search, Query, wire.InsertVectors], ids=lambda model: model.__name__)
def test_what_is_odd_is_read_as_orjson_reads_it(model: Any, text: str) -> None:
    same(*both(text.encode(), model))


def test_broken_utf8_is_refused() -> None:
    for model in (wire.Search, wire.InsertVectors):
        with pytest.raises(InvalidRequest, match="not valid JSON"):
            decode_json(b'{"vector": [1], "vectors": [{"id": "\xff"}]}', model)


def test_vectors_are_read_without_python_numbers() -> None:
    with patch("orjson.loads", side_effect=AssertionError):
        search = decode_json(b'{"vector": [1, 2.5], "limit": 3}', wire.Search)
        insert = decode_json(
            b'{"vectors": [{"id": "a[", "vector": [1, 2], "payload": {"t": ["["], "text": "x"}}]}',
            wire.InsertVectors,
        )
    assert search["vector"].dtype == np.float32
    assert search["limit"] == 3
    columns = insert["vectors"]
    assert isinstance(columns, NewPoints)
    assert isinstance(columns.vectors, np.ndarray)
    assert columns.vectors.shape == (1, 2)
    assert (columns.ids, columns.payloads, columns.texts) == (["a["], [b'{"t":["["],"text":"x"}'], ["x"])


def test_a_key_that_is_there_twice_is_stored_once() -> None:
    payload = b'{"content": "a", "content": "b", "x": {"y": 1, "y": 2}}'
    body = b'{"vectors": [{"id": "a", "vector": [1], "payload": %s}]}' % payload
    [stored] = wire.InsertVectors.model_validate(decode_json(body, wire.InsertVectors)).vectors.payloads
    assert stored == b'{"content":"b","x":{"y":2}}'


@pytest.mark.parametrize("row", [b"{}", b"1"])
def test_a_body_of_wrong_rows_has_as_many_faults_as_its_first(row: bytes) -> None:
    body = b'{"vectors": [%s]}' % b",".join([row] * 100_000)
    with pytest.raises(ValidationError) as caught:
        wire.InsertVectors.model_validate(decode_json(body, wire.InsertVectors))
    assert {fault["loc"][:2] for fault in caught.value.errors()} == {("vectors", 0)}


def test_a_plain_array_of_vectors_is_read_fast() -> None:
    rows = [
        {"id": "a[", "vector": [1, 2.5], "metadata": {"n": [1]}, "text_content": "t [x]", "chunk_index": 3},
        {"vector": [3, 4], "source_file": "a.pdf", "metadata": None, "text_content": None},
    ]
    read = decode_json(orjson.dumps(rows), NewVectors)
    assert isinstance(read, NewPoints)
    assert np.array_equal(read.vectors, np.array([[1, 2.5], [3, 4]], dtype=np.float32))
    assert (read.ids[0], len(read.ids[1])) == ("a[", 36)
    assert read.payloads == [b'{"n":[1]}', b"{}"]
    assert (read.texts, read.sources) == (["t [x]", None], [None, "a.pdf"])
    assert read.chunk_indexes == [3, None]
