"""Broken, odd and hostile JSON: the fast way accepts, reads and refuses as orjson and pydantic do."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from serve.json_body import decode_json
from serve.surfaces.vectorizer import wire
from serve.surfaces.vectory.vector_wire import NewVectors
from serve.surfaces.vectory.wire import Query
from tests.unit.serve.test_json_body import both, same
from vectoray.core.errors import InvalidRequest

# What no serializer writes: every piece is text, so that keys come twice and numbers in every spelling.
NUMBERS = st.sampled_from(
    [
        "0",
        "-0",
        "-0.0",
        "1",
        "2.5",
        "1e5",
        "1E+5",
        "-1e-400",
        "1e400",
        "1e39",
        "0e999",
        "01",
        "+1",
        "1.",
        ".5",
        "-",
        "1e",
        "0x1",
        "NaN",
        "Infinity",
        "-Infinity",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775809",
        "123456789012345678901234567890",
        "9007199254740993",
        "16777217",
        "33554433.0000000001",
        "5e-324",
        "1.7976931348623159e308",
    ]
)
CHARACTERS = st.sampled_from(
    [
        *("a", "[", "]", "{", "}", ",", ":", "é", "\U0001f600", "\u2028", "\ufeff", "\x00", "\x1f", "\x7f"),
        *('\\"', "\\\\", "\\/", "\\n", "\\x", "\\u12", "\\u0000", "\\u005b", "\\u005D", "\\\\u005b"),
        *("\\ud800", "\\udc00", "\\ud83d\\ude00", "\\ud800\\u0041"),
    ]
)


def escaped(key: str) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in key)


STRINGS = st.lists(CHARACTERS, max_size=3).map(lambda characters: f'"{"".join(characters)}"')
NAMES = st.sampled_from(
    ["id", "vector", "data", "payload", "metadata", "content", "text", "limit", "filters", "vectors", "x"]
)
SPELLINGS = st.sampled_from([str] * 3 + [str.upper, "{}\\u0000".format, "x\\u0000{}".format, escaped])
KEYS = st.builds(lambda name, spelling: spelling(name), NAMES, SPELLINGS)
BLANKS = st.sampled_from(["", "", " ", "\n\t\r"])
ENDS = st.sampled_from([""] * 12 + [",", " "])


def arrays(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(lambda some, end: f"[{','.join(some)}{end}]", st.lists(items, max_size=3), ENDS)


def objects(
    keys: st.SearchStrategy[str], values: st.SearchStrategy[str], *first: st.SearchStrategy[str]
) -> st.SearchStrategy[str]:
    members = st.builds(lambda key, value, blank: f'"{key}"{blank}:{blank}{value}', keys, values, BLANKS)
    return st.builds(
        lambda given, more, end: f"{{{','.join([*given, *more])}{end}}}",
        st.tuples(*first),
        st.lists(members, max_size=3),
        ENDS,
    )


def member(key: str, values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return values.map(lambda value: f'"{key}":{value}')


VALUES = st.recursive(
    st.sampled_from(["true", "false", "null", "nul"]) | NUMBERS | STRINGS,
    lambda inner: arrays(inner) | objects(KEYS, inner),
    max_leaves=6,
)
VECTORS = arrays(st.sampled_from(["1", "2.5", "-3e-3", "1e39"])) | arrays(NUMBERS) | VALUES
PAYLOADS = objects(KEYS, VALUES) | VALUES
ROWS = objects(KEYS, VALUES, member("id", STRINGS), member("vector", VECTORS), member("payload", PAYLOADS))
INSERTS = objects(KEYS, VALUES, member("vectors", arrays(ROWS | VALUES)))
FIELDS = st.sampled_from(["id", "text_content", "source_file", "chunk_index", "x"])
NEW_VECTORS = objects(
    FIELDS, STRINGS | NUMBERS | VALUES, member("vector", VECTORS), member("metadata", PAYLOADS)
)
QUESTIONS = objects(KEYS, VALUES, member("vector", VECTORS), member("filters", PAYLOADS))

EDITS = st.tuples(
    st.sampled_from(["replace", "remove", "insert", "cut"]),
    st.integers(0, 500),
    st.sampled_from(b'[]{}",:\\0-e.\x00\xff\xc3 ntu1'),
)


def edited(text: str, edits: list[tuple[str, int, int]]) -> bytes:
    body = bytearray(text.encode())
    for kind, place, byte in edits:
        at = place % (len(body) + 1)
        until = {"replace": at + 1, "remove": at + 1, "insert": at, "cut": len(body)}[kind]
        body[at:until] = bytes([byte]) if kind in ("replace", "insert") else b""
    return bytes(body)


def bodies(texts: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    return st.builds(edited, texts, st.just([]) | st.lists(EDITS, max_size=2))


@given(bodies(INSERTS))
def test_an_odd_insert_is_accepted_read_and_refused_as_orjson_does(body: bytes) -> None:
    same(*both(body, wire.InsertVectors))


@given(bodies(arrays(NEW_VECTORS | VALUES) | NEW_VECTORS))
def test_an_odd_array_of_vectors_is_accepted_read_and_refused_as_orjson_does(body: bytes) -> None:
    same(*both(body, NewVectors))


@given(bodies(QUESTIONS))
def test_an_odd_question_is_accepted_read_and_refused_as_orjson_does(body: bytes) -> None:
    for model in (wire.Search, Query):
        same(*both(body, model))


@given(bodies(INSERTS))
def test_a_payload_is_stored_without_a_key_that_is_there_twice(body: bytes) -> None:
    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    try:
        points = wire.InsertVectors.model_validate(decode_json(body, wire.InsertVectors)).vectors
    except (InvalidRequest, ValidationError):
        return
    for payload in points.payloads:
        json.loads(payload, object_pairs_hook=distinct)
