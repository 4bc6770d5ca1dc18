"""Tables: each row is understood alone."""

import pytest

from pipelines.parse import MediaType, ParseError, ParseLimits, parse


def texts(data: str) -> list[str]:
    return [block.text for block in parse(data.encode(), media_type=MediaType.CSV).blocks]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_each_row_says_what_its_values_are(delimiter: str) -> None:
    rows = "name,age\nAda,36\nBob,\n,7\n".replace(",", delimiter)
    assert texts(rows) == ["name: Ada\nage: 36", "name: Bob", "age: 7"]


def test_what_stands_in_quotation_marks_is_one_value() -> None:
    assert texts('name,says\r\nAda,"a, ""b""\r\nc"\r\n') == ['name: Ada\nsays: a, "b"\nc']


def test_the_separator_is_the_one_that_makes_columns() -> None:
    assert texts("when;what, in words\n1,5;a, b, c\n2,5;d\n") == [
        "when: 1,5\nwhat, in words: a, b, c",
        "when: 2,5\nwhat, in words: d",
    ]


@pytest.mark.parametrize("first", ["a,1", "a,a", "a,,b", "2026-01-01,x"])
def test_a_first_row_that_is_no_names_is_a_row(first: str) -> None:
    assert texts(f"{first}\nx,y\n")[-1] == "x\ny"


def test_rows_may_be_shorter_or_longer_than_the_first() -> None:
    assert texts("a,b\n1\n1,2,3\n\n  ,\n") == ["a: 1", "a: 1\nb: 2\n3"]


def test_names_without_rows_are_text() -> None:
    assert texts("name,age\n") == ["name\nage"]


def test_a_single_column_is_read() -> None:
    assert texts("question\nHow much, and when?\n") == ["question: How much, and when?"]


def test_long_values_are_read() -> None:
    assert texts(f"a,b\n1,{'x' * 500_000}\n") == [f"a: 1\nb: {'x' * 500_000}"]


def test_a_table_beyond_the_limits_is_refused() -> None:
    with pytest.raises(ParseError, match="more than 20 characters"):
        parse(b"a,b\n" + b"1,2\n" * 9, media_type=MediaType.CSV, limits=ParseLimits(max_chars=20))


@pytest.mark.parametrize("piece", ['"', ",", '",', '"" ', "' ,", "\n", " ", ";|\t,"])
@pytest.mark.timeout(10)
def test_hostile_tables_take_no_longer_than_their_length(piece: str) -> None:
    try:
        texts("a,b\n" + piece * (500_000 // len(piece)))
    except ParseError:
        return
