"""Payloads and conditions to try a filter index with, at the edges of what it holds exactly."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from vectoray.core.filters import (
    And,
    Contains,
    Eq,
    Exists,
    Filter,
    In,
    Not,
    Or,
    Prefix,
    Range,
    SourceIs,
    TimeRange,
)

Document = Mapping[str, Any]

KEYS = ["a", "b", "", "a.b", "é", "a\x00", "ключ-ключ"]
LONG = "x" * 128
SHORT_STRINGS = ["", "a", "a\x00", "ab", "abc", "abcd", "abce", "é", "\uffff", "\U0001f600", "1"]
LONG_STRINGS = [LONG, LONG + "a", LONG + "b", "x" * 127 + "é", "x" * 127 + "ê", "é" * 64, "é" * 65, "y" * 200]
TIME_STRINGS = [
    "2026-03-01",
    "2026-03-01T00:00:00Z",
    "2026-03-01T01:00:00.000001+01:00",
    "2026-02-30",
    "1969-07-20T20:17:40",
    "1969-12-31t23:59:60z",
]
STRINGS = [*SHORT_STRINGS, *LONG_STRINGS, *TIME_STRINGS]
SMALL_NUMBERS = [0, -0.0, 1, 1.0, -1, 0.5, 1e300, -5e-324]
LARGE_INTEGERS = [2**53, 2**53 + 1, 2**53 + 2, 2**60, 2**60 + 1, 2**60 - 1, -(2**60) - 1]
NUMBERS = [*SMALL_NUMBERS, *LARGE_INTEGERS, float(2**60), 2**63, -(2**63), 2**64 - 1]
BEYOND_PAYLOADS = [10**400, -(10**400), 2**64, float("inf"), float("nan")]
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
TIMES = [
    datetime(1970, 1, 1, tzinfo=UTC),
    MIDNIGHT,
    MIDNIGHT + timedelta(microseconds=1),
    datetime(2026, 3, 1, 1, tzinfo=timezone(timedelta(hours=1))),
    datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))),
]

families: list[list[Any]] = [
    SHORT_STRINGS,
    LONG_STRINGS,
    TIME_STRINGS,
    SMALL_NUMBERS,
    LARGE_INTEGERS,
    NUMBERS,
]
scalars = st.one_of([st.sampled_from(family) for family in [[None, False, True], *families]])
asked = scalars | scalars | st.sampled_from([*BEYOND_PAYLOADS, "\ud800", LONG + "\ud800"])
# Mostly few keys, so that conditions meet what they ask about.
keys = st.sampled_from("ab") | st.sampled_from(KEYS)
values = st.one_of(
    scalars,
    st.lists(scalars | st.just([1]) | st.just({"a": 1}), max_size=4),
    st.dictionaries(keys, scalars | st.dictionaries(keys, scalars, max_size=2), max_size=2),
)
documents = st.dictionaries(keys, values, max_size=4)
# Some begin with another one, and some are longer than what the index keeps of other strings.
SOURCES = ["", "a", "a\x00", "ab", "é", LONG, LONG + "a", "\U0001f600" * 256]
sources = st.none() | st.sampled_from(SOURCES)
paths = st.sampled_from([("a",), ("b",), ("a", "a"), ()]) | st.lists(keys, min_size=1, max_size=3).map(tuple)
limits = st.none() | st.sampled_from([*STRINGS, "\ud800"]) | st.sampled_from([*NUMBERS, *BEYOND_PAYLOADS])
number_limits = st.none() | st.sampled_from([*NUMBERS, *BEYOND_PAYLOADS, True])
string_limits = st.none() | st.sampled_from([*STRINGS, "\ud800"])
times = st.none() | st.sampled_from(TIMES)


def ranges(limit: st.SearchStrategy[Any]) -> st.SearchStrategy[Filter]:
    return st.builds(Range, paths, gt=limit, gte=limit, lt=limit, lte=limit)


leaves = st.one_of(
    st.builds(Eq, paths, asked),
    st.builds(In, paths, st.lists(asked, max_size=4).map(tuple)),
    st.builds(Contains, paths, asked),
    st.builds(Exists, paths),
    st.builds(SourceIs, st.sampled_from([*SOURCES, "absent", "\ud800"])),
    st.builds(Prefix, paths, st.sampled_from([*STRINGS, "\ud800"])),
    ranges(limits),
    ranges(number_limits),
    ranges(string_limits),
    st.builds(TimeRange, paths, gt=times, gte=times, lt=times, lte=times),
)
conditions = st.recursive(
    leaves,
    lambda inner: (
        st.builds(Not, inner)
        | st.lists(inner, max_size=3).map(tuple).map(And)
        | st.lists(inner, max_size=3).map(tuple).map(Or)
    ),
    max_leaves=4,
)
