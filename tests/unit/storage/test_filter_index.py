"""The filter index says what the reference says, and brackets it where it leaves something out."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from storage import filter_index_writer
from storage.filter_index import FilterIndex, matching_rows
from storage.filter_index_writer import write_filter_index
from storage.filters import matches
from tests.unit.storage.filter_examples import (
    LONG,
    MIDNIGHT,
    NUMBERS,
    SHORT_STRINGS,
    SMALL_NUMBERS,
    STRINGS,
    TIME_STRINGS,
    Document,
    conditions,
    documents,
    sources,
)
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

# The limits so low that nearly every payload runs into some of them.
TIGHT = {
    "_MAX_FIELDS": 4,
    "_MAX_DEPTH": 2,
    "_MAX_PATH_BYTES": 12,
    "_MAX_ARRAY_ELEMENTS": 2,
    "_MAX_SEGMENT_ELEMENTS": 4,
    "_PACK_VALUES": 3,
}


def indexed(
    path: Path, payloads: Sequence[bytes], sources: Sequence[str | None] | None = None
) -> FilterIndex:
    write_filter_index(path, payloads, None if sources is None else pa.array(sources, pa.large_string()))
    return FilterIndex(path, len(payloads))


@pytest.fixture
def index_of(tmp_path: Path) -> Callable[..., FilterIndex]:
    return lambda *given: indexed(tmp_path / "filters.arrow", [orjson.dumps(document) for document in given])


def sure_and_maybe(index: FilterIndex, condition: Filter) -> tuple[list[int], list[int]]:
    """The rows that match for sure, and those that only may."""
    sure, maybe = index.matching(condition)
    assert not np.any(sure & ~maybe)
    return np.flatnonzero(sure).tolist(), np.flatnonzero(maybe & ~sure).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("limits_set", [{}, TIGHT], ids=["shipped", "tight"])
@settings(max_examples=150, deadline=None)
@given(
    parsed=st.lists(st.tuples(documents, sources), max_size=8),
    asks=st.lists(conditions, min_size=4, max_size=16),
)
@example(
    parsed=[({"a": [True, 1]}, None), ({"a": [1.0]}, "a")], asks=[Contains(("a",), 1), Contains(("a",), True)]
)
@example(parsed=[({"a": 1}, "")], asks=[Range(("a",), lt=float("nan")), Not(Range(("a",), lt=float("nan")))])
def test_the_index_agrees_with_the_reference(
    limits_set: dict[str, int], parsed: list[tuple[Document, str | None]], asks: list[Filter]
) -> None:
    payloads = [orjson.dumps(document) for document, _ in parsed]
    given_sources = [source for _, source in parsed]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        for name, value in limits_set.items():
            patched.setattr(filter_index_writer, name, value)
        index = indexed(Path(folder, "filters.arrow"), payloads, given_sources)
        for condition in asks:
            truth = [
                matches(condition, orjson.loads(payload), source)
                for payload, (_, source) in zip(payloads, parsed, strict=True)
            ]
            sure, maybe = index.matching(condition)
            assert sure.shape == maybe.shape == (len(payloads),)
            assert sure.dtype == maybe.dtype == np.bool_
            assert not np.any(sure & ~np.array(truth, dtype=np.bool_))
            assert not np.any(np.array(truth, dtype=np.bool_) & ~maybe)
            asked = (index, condition, payloads.__getitem__, given_sources.__getitem__)
            assert matching_rows(*asked).tolist() == truth
            among = np.arange(len(payloads)) % 2 == 0
            some = matching_rows(*asked, among)
            assert some.tolist() == [row % 2 == 0 and met for row, met in enumerate(truth)]


@settings(max_examples=100, deadline=None)
@given(
    found=st.lists(st.sampled_from([None, True, 2**53, LONG, *SMALL_NUMBERS, *SHORT_STRINGS, *TIME_STRINGS])),
    ask=conditions,
)
def test_the_index_alone_decides_what_it_holds_exactly(found: list[Any], ask: Filter) -> None:
    payloads = [orjson.dumps({"a": value, "b": {"": [value]}}) for value in found]
    with tempfile.TemporaryDirectory() as folder:
        sure, maybe = indexed(Path(folder, "filters.arrow"), payloads).matching(ask)
    if () not in _paths(ask):
        assert (
            sure.tolist() == maybe.tolist() == [matches(ask, orjson.loads(text), None) for text in payloads]
        )


def _paths(condition: Filter) -> Iterator[tuple[str, ...]]:
    match condition:
        case And(parts) | Or(parts):
            for part in parts:
                yield from _paths(part)
        case Not(part):
            yield from _paths(part)
        case SourceIs():
            pass
        case _:
            yield condition.path


def no_source(_: int) -> None:
    return None


def test_the_rows_of_a_source_are_found_without_their_payloads(tmp_path: Path) -> None:
    given_sources = [None, "a", "a" * 1024, "", "a", "ab", "a" * 1023 + "b", None]
    index = indexed(tmp_path / "filters.arrow", [b"{}"] * 8, given_sources)
    for source in {*given_sources, "absent"} - {None}:
        rows = [row for row, one in enumerate(given_sources) if one == source]
        assert sure_and_maybe(index, SourceIs(str(source))) == (rows, [])
    both = And((SourceIs("a"), Not(SourceIs("ab"))))
    assert sure_and_maybe(index, both) == ([1, 4], [])


def test_only_the_payloads_of_open_rows_are_read(index_of: Callable[..., FilterIndex]) -> None:
    found = [{"s": LONG + "a"}, {"s": LONG + "b"}, {"s": "a"}, {"n": 1}]
    read: list[int] = []

    def payload_of(row: int) -> bytes:
        read.append(row)
        return orjson.dumps(found[row])

    rows = matching_rows(index_of(*found), Eq(("s",), LONG + "b"), payload_of, no_source)
    assert rows.tolist() == [False, True, False, False]
    assert read == [0, 1]
    read.clear()
    among = np.array([False, True, True, True])
    assert matching_rows(index_of(*found), Prefix(("s",), LONG + "b"), payload_of, no_source, among)[1]
    assert read == [1]


def test_paths_with_any_characters_are_kept_apart(index_of: Callable[..., FilterIndex]) -> None:
    distinct = [("a", "b"), ("a.b",), ("a\x00b",), ("a", "", "b"), ("", "a"), ("a\x00\x00\x00\x01b",), ("",)]
    found: list[Document] = []
    for path in distinct:
        value: Any = 1
        for key in reversed(path):
            value = {key: value}
        found.append(value)
    index = index_of(*found)
    for row, path in enumerate(distinct):
        assert sure_and_maybe(index, Eq(path, 1)) == ([row], [])


def test_values_sort_as_python_compares_them(index_of: Callable[..., FilterIndex]) -> None:
    for pool in (STRINGS, NUMBERS):
        index = index_of(*({"v": value} for value in pool))
        for limit in pool:
            below: list[Any] = [value for value in pool if value < limit]  # type: ignore[operator]
            sure, maybe = index.matching(Range(("v",), lt=limit))
            assert {repr(pool[row]) for row in np.flatnonzero(sure)} <= set(map(repr, below))
            assert set(map(repr, below)) <= {repr(pool[row]) for row in np.flatnonzero(maybe)}


def test_times_compare_as_instants(index_of: Callable[..., FilterIndex]) -> None:
    texts = [
        "2026-03-01",
        "2026-03-01T00:30:00+01:00",
        "2026-03-01T00:00:00.000001Z",
        "2026-02-30",
        "1969-07-20",
    ]
    index = index_of(*({"t": text} for text in texts), {"t": [texts[0]]}, {"t": 1})
    assert sure_and_maybe(index, TimeRange(("t",))) == ([0, 1, 2, 4], [])
    assert sure_and_maybe(index, TimeRange(("t",), gte=MIDNIGHT)) == ([0, 2], [])
    assert sure_and_maybe(index, TimeRange(("t",), gt=MIDNIGHT)) == ([2], [])
    assert sure_and_maybe(index, TimeRange(("t",), lt=MIDNIGHT)) == ([1, 4], [])


def test_a_segment_of_no_rows_has_an_index(index_of: Callable[..., FilterIndex]) -> None:
    assert sure_and_maybe(index_of(), Or((Exists(("a",)), Not(Eq((), 1))))) == ([], [])


def test_answers_may_be_changed_by_who_asked(index_of: Callable[..., FilterIndex]) -> None:
    index = index_of({"a": 1}, {"b": 1})
    for condition in (Exists(("a",)), And((Exists(("a",)),)), Or((Exists(("a",)),)), Not(Exists(("b",)))):
        sure, maybe = index.matching(condition)
        maybe[:] = True
        assert sure.tolist() == [True, False]
        assert index.matching(condition)[1].tolist() == [True, False]


def test_long_strings_are_open_only_beside_others_with_the_same_start(
    index_of: Callable[..., FilterIndex],
) -> None:
    index = index_of({"s": LONG}, {"s": LONG + "a"}, {"s": LONG + "b"}, {"s": "w" * 200}, {"s": "y" * 200})

    def ask(condition: Filter) -> tuple[list[int], list[int]]:
        return sure_and_maybe(index, condition)

    assert ask(Eq(("s",), LONG)) == ([0], [])
    assert ask(Eq(("s",), LONG + "a")) == ([], [1, 2])
    assert ask(Not(Eq(("s",), LONG + "a"))) == ([0, 3, 4], [1, 2])
    assert ask(In(("s",), (LONG, LONG + "a"))) == ([0], [1, 2])
    assert ask(Range(("s",), gt=LONG + "a")) == ([4], [1, 2])
    assert ask(Range(("s",), lte=LONG + "a")) == ([0, 3], [1, 2])
    assert ask(Prefix(("s",), LONG)) == ([0, 1, 2], [])
    assert ask(Prefix(("s",), LONG + "a")) == ([], [1, 2])
    assert ask(Prefix(("s",), "w")) == ([3], [])


def test_large_integers_are_open_only_beside_others_with_the_same_float(
    index_of: Callable[..., FilterIndex],
) -> None:
    n = 2**60
    index = index_of({"n": n}, {"n": n + 1}, {"n": n + 2}, {"n": n + 1000}, {"n": -n - 1})

    def ask(condition: Filter) -> tuple[list[int], list[int]]:
        return sure_and_maybe(index, condition)

    assert ask(Eq(("n",), n)) == ([0], [])
    assert ask(Eq(("n",), n + 1)) == ([], [1, 2])
    assert ask(Range(("n",), gt=n + 1)) == ([3], [1, 2])
    assert ask(Range(("n",), gte=n, lt=n + 500)) == ([0], [1, 2])
    assert ask(Range(("n",), lt=0)) == ([4], [])
    assert ask(Range(("n",), gt=-(10**400), lt=10**400)) == ([0, 1, 2, 3, 4], [])


def test_fields_above_the_limit_leave_their_rows_open(index_of: Callable[..., FilterIndex]) -> None:
    many = {f"k{key}": key for key in range(filter_index_writer._MAX_FIELDS + 1)}
    left_out = f"k{filter_index_writer._MAX_FIELDS}"
    index = index_of({"k0": 5}, many, {"k0": 6})
    assert sure_and_maybe(index, Eq(("k0",), 5)) == ([0], [])
    assert sure_and_maybe(index, Eq((left_out,), 5)) == ([], [1])
    assert sure_and_maybe(index, Not(Exists((left_out,)))) == ([0, 2], [1])


def test_fields_too_deep_leave_their_rows_open(index_of: Callable[..., FilterIndex]) -> None:
    def nested(depth: int) -> Any:
        return {"d": nested(depth - 1)} if depth else 1

    limit = filter_index_writer._MAX_DEPTH
    index = index_of(nested(limit), nested(limit + 1), nested(limit + 50))
    assert sure_and_maybe(index, Eq(("d",) * limit, 1)) == ([0], [])
    assert sure_and_maybe(index, Eq(("d",) * (limit + 1), 1)) == ([], [1, 2])


def test_fields_with_long_names_leave_their_rows_open(index_of: Callable[..., FilterIndex]) -> None:
    longest = "k" * (filter_index_writer._MAX_PATH_BYTES - 5)
    index = index_of({longest: 1}, {longest + "k": 1})
    assert sure_and_maybe(index, Exists((longest,))) == ([0], [])
    assert sure_and_maybe(index, Exists((longest + "k",))) == ([], [1])


def test_long_arrays_are_open_to_contains_alone(index_of: Callable[..., FilterIndex]) -> None:
    limit = filter_index_writer._MAX_ARRAY_ELEMENTS
    index = index_of({"t": [1] * limit}, {"t": [1] * (limit + 1)}, {"t": [2]})
    assert sure_and_maybe(index, Contains(("t",), 1)) == ([0], [1])
    assert sure_and_maybe(index, Contains(("t",), 2)) == ([2], [1])
    assert sure_and_maybe(index, Exists(("t",))) == ([0, 1, 2], [])
    assert sure_and_maybe(index, Eq(("t",), 1)) == ([], [])


def test_arrays_beyond_the_segments_share_are_open_to_contains(
    index_of: Callable[..., FilterIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filter_index_writer, "_MAX_SEGMENT_ELEMENTS", 3)
    index = index_of({"t": [1, 2]}, {"t": [1, 3]}, {"t": []})
    assert sure_and_maybe(index, Contains(("t",), 1)) == ([0], [1])


def test_a_payload_that_is_no_object_is_open_to_every_condition(tmp_path: Path) -> None:
    index = indexed(tmp_path / "filters.arrow", [b'{"a":1}', b"[1]", b'{"a":', b'{"b":1}'])
    assert sure_and_maybe(index, Eq(("a",), 1)) == ([0], [1, 2])
    assert sure_and_maybe(index, Not(Exists(("a",)))) == ([3], [1, 2])
    assert sure_and_maybe(index, Exists(("absent",))) == ([], [1, 2])
