"""The meaning of a filter: JSON's equality, typed ranges, and what an absent field is."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.filters import instant_us, matches, row_test, text_us
from vectoray.core.errors import InvalidRequest
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
    Scalar,
    SourceIs,
    TimeRange,
)

DOCUMENT = {
    "zero": 0,
    "one": 1,
    "one_point": 1.0,
    "true": True,
    "false": False,
    "null": None,
    "text": "straße",
    "empty": "",
    "digits": "1",
    "date": "2026-03-01T00:00:00Z",
    "list": [1, "a", True, None, [2], {"b": 1}],
    "no_elements": [],
    "author": {"name": "Ada", "born": {"year": 1815}, "null": None},
    "a.b": "dotted",
}

SOURCE = "docs/a.md"


def holds(condition: Filter) -> bool:
    return row_test(condition)(orjson.dumps(DOCUMENT), SOURCE)


@pytest.mark.parametrize(
    ("field", "value", "equal"),
    [
        ("one", 1, True),
        ("one", 1.0, True),
        ("one_point", 1, True),
        ("one", True, False),
        ("true", 1, False),
        ("true", 1.0, False),
        ("true", True, True),
        ("true", False, False),
        ("false", 0, False),
        ("zero", False, False),
        ("zero", -0.0, True),
        ("false", False, True),
        ("digits", 1, False),
        ("one", "1", False),
        ("null", None, True),
        ("null", False, False),
        ("zero", None, False),
        ("absent", None, False),
        ("empty", "", True),
        ("empty", None, False),
        ("text", "straße", True),
        ("text", "strasse", False),
        ("list", 1, False),
        ("author", "Ada", False),
    ],
)
def test_equality_is_jsons(field: str, value: Scalar, equal: bool) -> None:  # noqa: FBT001
    assert holds(Eq((field,), value)) == equal
    assert holds(In((field,), ("other", value))) == equal
    assert holds(Not(Eq((field,), value))) == (not equal)


def test_integers_beyond_float64_are_told_apart() -> None:
    condition = Eq(("n",), 2**53 + 1)
    assert row_test(condition)(b'{"n":9007199254740993}', None)
    assert not row_test(condition)(b'{"n":9007199254740992}', None)


def test_in_nothing_never_holds() -> None:
    assert not holds(In(("one",), ()))
    assert not holds(In(("absent",), ()))


@pytest.mark.parametrize(
    ("path", "value"),
    [(("author", "name"), "Ada"), (("author", "born", "year"), 1815), (("a.b",), "dotted")],
)
def test_a_path_leads_into_nested_objects(path: tuple[str, ...], value: Scalar) -> None:
    assert holds(Eq(path, value))
    assert holds(Exists(path))


@pytest.mark.parametrize(
    "path",
    [
        ("author", "absent"),
        ("author", "name", "first"),
        ("author", "null", "x"),
        ("list", "0"),
        ("a", "b"),
        ("absent", "name"),
    ],
)
def test_a_path_that_leads_nowhere_is_absent(path: tuple[str, ...]) -> None:
    for condition in (
        Exists(path),
        Eq(path, None),
        In(path, (None, 1)),
        Range(path),
        TimeRange(path),
        Prefix(path, ""),
        Contains(path, None),
    ):
        assert not holds(condition)
        assert holds(Not(condition))


def test_null_is_present_and_absent_is_not() -> None:
    assert holds(Exists(("null",)))
    assert holds(Exists(("author", "null")))
    assert not holds(Exists(("absent",)))


@pytest.mark.parametrize(
    ("condition", "inside"),
    [
        (Range(("one",), gt=0), True),
        (Range(("one",), gt=1), False),
        (Range(("one",), gte=1), True),
        (Range(("one",), gte=1.5), False),
        (Range(("one",), lt=1), False),
        (Range(("one",), lte=1), True),
        (Range(("one",), lt=1.5), True),
        (Range(("one",), gte=0, lt=1), False),
        (Range(("one",), gt=0.5, lte=1.0), True),
        (Range(("one",)), True),
        (Range(("text",)), True),
        (Range(("date",), gte="2026-01-01T00:00:00Z", lt="2027-01-01T00:00:00Z"), True),
        (Range(("date",), gte="2026-04-01T00:00:00Z"), False),
        (Range(("empty",), lt="a"), True),
    ],
)
def test_ranges_compare_numbers_with_numbers_and_strings_with_strings(
    condition: Range,
    inside: bool,  # noqa: FBT001
) -> None:
    assert holds(condition) == inside


@pytest.mark.parametrize(
    "condition",
    [
        Range(("digits",), gte=0),
        Range(("one",), gte="0"),
        Range(("one",), gte=0, lt="9"),
        Range(("digits",), gte="0", lt=9),
        Range(("true",), gte=0),
        Range(("true",)),
        Range(("null",), gte=0),
        Range(("null",)),
        Range(("list",), gte=0),
        Range(("author",), gte="A"),
    ],
)
def test_other_types_are_outside_every_range(condition: Range) -> None:
    assert not holds(condition)


MARCH = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "after_march"),
    [
        ("2026-03-01", timedelta(0)),
        ("2026-03-01T00:00:00Z", timedelta(0)),
        ("2026-03-01t00:00:00z", timedelta(0)),
        ("2026-03-01 00:00:00", timedelta(0)),
        ("2026-03-01T00:00:00-00:00", timedelta(0)),
        ("2026-03-01T05:30:00+05:30", timedelta(0)),
        ("2026-02-28T22:00:00-02:00", timedelta(0)),
        ("2026-02-28T23:59:60Z", timedelta(0)),
        ("2026-02-28T23:59:59.5Z", timedelta(seconds=-0.5)),
        ("2026-03-01T00:00:00.000001Z", timedelta(microseconds=1)),
        ("2026-03-01T00:00:00.000001999Z", timedelta(microseconds=1)),
        ("2026-03-01T12:30:15", timedelta(hours=12, minutes=30, seconds=15)),
        ("0001-01-01T00:00:00+01:00", datetime(1, 1, 1, tzinfo=UTC) - MARCH - timedelta(hours=1)),
        ("9999-12-31T23:59:60Z", datetime(9999, 12, 31, tzinfo=UTC) - MARCH + timedelta(days=1)),
    ],
)
def test_a_time_in_a_string_is_an_instant(text: str, after_march: timedelta) -> None:
    assert text_us(text) == instant_us(MARCH) + after_march // timedelta(microseconds=1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026",
        "2026-03",
        "20260301",
        "2026-W09-7",
        "2026-3-1",
        "2026-02-29",
        "0000-01-01",
        "2026-13-01",
        "٢٠٢٦-03-01",
        "2026-03-01T",
        "2026-03-01Z",
        "2026-03-01T00:00",
        "2026-03-01T00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T00:60:00Z",
        "2026-03-01T00:00:61Z",
        "2026-03-01T00:00:00.Z",
        "2026-03-01T00:00:00,5Z",
        "2026-03-01T00:00:00.0000000001Z",
        "2026-03-01T00:00:00+0100",
        "2026-03-01T00:00:00+24:00",
        "2026-03-01T00:00:00 UTC",
        "2026-03-01x00:00:00Z",
        " 2026-03-01",
        "2026-03-01\n",
    ],
)
def test_other_strings_are_no_time(text: str) -> None:
    assert text_us(text) is None
    assert not matches(TimeRange(("t",)), {"t": text}, None)


@pytest.mark.parametrize(
    ("bounds", "inside"),
    [
        ({}, True),
        ({"gt": MARCH}, False),
        ({"gte": MARCH}, True),
        ({"lt": MARCH}, False),
        ({"lte": MARCH}, True),
        ({"gt": MARCH - timedelta(microseconds=1), "lt": MARCH + timedelta(microseconds=1)}, True),
        ({"gte": MARCH.astimezone(timezone(timedelta(hours=-9)))}, True),
        ({"lt": datetime(2026, 3, 1, tzinfo=timezone(timedelta(hours=-1)))}, True),
        ({"gte": MARCH, "lt": MARCH}, False),
    ],
)
def test_time_ranges_compare_instants(bounds: dict[str, datetime], inside: bool) -> None:  # noqa: FBT001
    assert holds(TimeRange(("date",), **bounds)) == inside
    assert holds(Not(TimeRange(("date",), **bounds))) == (not inside)


@pytest.mark.parametrize("value", [1, 20260301, True, None, ["2026-03-01"], {"date": "2026-03-01"}])
def test_what_is_no_string_is_outside_every_time_range(value: Any) -> None:
    assert not matches(TimeRange(("t",)), {"t": value}, None)


@pytest.mark.parametrize("bound", ["gt", "gte", "lt", "lte"])
def test_a_bound_without_a_time_zone_is_refused(bound: str) -> None:
    bounds: dict[str, Any] = {"gt": MARCH, "gte": MARCH, "lt": MARCH, "lte": MARCH}
    TimeRange(("t",), **bounds)
    with pytest.raises(InvalidRequest) as caught:
        TimeRange(("t",), **{**bounds, bound: MARCH.replace(tzinfo=None)})
    assert caught.value.details == {"bound": bound}


def test_prefix_is_for_strings() -> None:
    assert holds(Prefix(("text",), "stra"))
    assert holds(Prefix(("text",), ""))
    assert holds(Prefix(("text",), "straße"))
    assert not holds(Prefix(("text",), "Stra"))
    assert not holds(Prefix(("text",), "straße!"))
    assert not holds(Prefix(("one",), "1"))
    assert not holds(Prefix(("list",), "a"))


@pytest.mark.parametrize("value", [1, 1.0, "a", True, None])
def test_contains_finds_an_equal_element(value: Scalar) -> None:
    assert holds(Contains(("list",), value))


@pytest.mark.parametrize("value", [2, "b", False, 0, ""])
def test_contains_looks_at_the_arrays_own_elements_alone(value: Scalar) -> None:
    assert not holds(Contains(("list",), value))
    assert not holds(Contains(("no_elements",), value))


def test_contains_needs_an_array() -> None:
    assert not holds(Contains(("text",), "s"))
    assert not holds(Contains(("author",), "name"))
    assert not holds(Contains(("one",), 1))
    assert not row_test(Contains(("flags",), 1))(b'{"flags":[true]}', None)


def test_a_source_is_compared_whole_and_is_no_field_of_the_payload() -> None:
    assert holds(SourceIs(SOURCE))
    assert holds(And((SourceIs(SOURCE), Eq(("one",), 1))))
    assert not holds(And((SourceIs(SOURCE), Eq(("one",), 2))))
    for other in ("", SOURCE[:-1], SOURCE.upper(), f"{SOURCE} ", "straße"):
        assert not holds(SourceIs(other))
        assert holds(Not(SourceIs(other)))
    assert not row_test(SourceIs(""))(b'{"source":""}', None)


def test_and_or_not_follow_logic_and_their_empty_cases() -> None:
    true, false = Exists(("one",)), Exists(("absent",))
    assert holds(And(()))
    assert not holds(Or(()))
    assert holds(And((true, true)))
    assert not holds(And((true, false)))
    assert holds(Or((false, true)))
    assert not holds(Or((false, false)))
    assert holds(Not(And((true, false))))
    assert not holds(Not(Not(false)))


scalars = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, 0.5, "", "a", "ab"])
paths = st.lists(st.sampled_from("xy"), min_size=1, max_size=2).map(tuple)
conditions = st.recursive(
    st.builds(Eq, paths, scalars)
    | st.builds(Exists, paths)
    | st.builds(SourceIs, st.sampled_from("xy"))
    | st.builds(Contains, paths, scalars)
    | st.builds(Prefix, paths, st.sampled_from(["", "a"]))
    | st.builds(Range, paths, gte=st.sampled_from([None, 0, "a"]), lt=st.sampled_from([None, 1, "b"])),
    lambda inner: (
        st.builds(Not, inner)
        | st.lists(inner, max_size=3).map(tuple).map(And)
        | st.lists(inner, max_size=3).map(tuple).map(Or)
    ),
    max_leaves=6,
)
documents = st.dictionaries(
    st.sampled_from("xy"),
    scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.sampled_from("xy"), scalars, max_size=2),
    max_size=2,
)


@given(condition=conditions, document=documents)
def test_not_is_the_complement_and_de_morgan_holds(condition: Filter, document: dict[str, object]) -> None:
    whole = matches(condition, document, "x")
    assert row_test(condition)(orjson.dumps(document), "x") == whole
    assert matches(Not(condition), document, "x") != whole
    other = Eq(("x",), 1)
    assert matches(Not(And((condition, other))), document, "x") == matches(
        Or((Not(condition), Not(other))), document, "x"
    )
