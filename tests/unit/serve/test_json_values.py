"""Documents that came in another format than JSON."""

import math
import tracemalloc
from typing import Any

import msgpack
import pytest

from serve.json_values import check_json_values
from serve.msgpack_body import decode_msgpack
from serve.surfaces.vectorizer import wire
from vectoray.core.errors import InvalidRequest


def deep(levels: int, innermost: object) -> Any:
    for _ in range(levels):
        innermost = {"k": [innermost]}
    return innermost


@pytest.mark.parametrize(
    "document",
    [None, "a", {"a": [1, 2.5, True, None, "x"], "b": [[], {}]}, [1e308, 1e308], deep(5000, 1)],
    ids=lambda document: str(type(document)),
)
def test_what_json_could_hold_passes(document: object) -> None:
    check_json_values(document)


@pytest.mark.parametrize(
    ("document", "at"),
    [
        (math.nan, ""),
        ({"a": {"b": [0.5, math.inf]}}, "a.b[1]"),
        ({"a": [1, "x", math.nan]}, "a[2]"),
        ({"a": [1e308, 1e308, -math.inf]}, "a[2]"),
        ({"a": [{"b": 1}, {2: 3}]}, "a[1]"),
        ({"a": {"vector": b"", "x": b""}}, "a.x"),
        ({"vector": [b""]}, "vector[0]"),
        ({"a": msgpack.Timestamp(1)}, "a"),
    ],
)
def test_what_json_cannot_hold_is_refused_and_named(document: object, at: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_json_values(document, binary_keys=frozenset(["vector"]))
    assert caught.value.details == {"at": at}
    with pytest.raises(InvalidRequest) as caught:
        check_json_values(document, where="rows[3]", binary_keys=frozenset(["vector"]))
    assert str(caught.value.details["at"]).startswith("rows[3]")


def test_the_name_of_a_place_is_short_however_long_its_keys_are_and_however_deep_it_is() -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_json_values({"k" * 100_000: deep(400, b"")})
    assert len(caught.value.message) < 1000
    assert str(caught.value.details["at"]).endswith("...")


def test_looking_costs_a_fraction_of_the_document_whatever_its_keys_are() -> None:
    document = {"k" * 100_000: ["", *range(10_000), {"a": 0.5}]}
    tracemalloc.start()
    try:
        check_json_values(document)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 100_000 + b"\xc0",
        b"\x81\xc4\x01a\x01",
        b"\x81\x01\x01",
        b"\xa1\xff",
        b"\xc0\xc0",
        b"\xd4\x05a",
        b"\xd6\xff\0\0\0\0",
    ],
    ids=["empty", "unused", "long", "deep", "binary key", "int key", "no UTF-8", "two", "extension", "time"],
)
def test_odd_messagepack_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode_msgpack(body, wire.InsertVectors)
