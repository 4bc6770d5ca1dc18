"""JSON: records as lines that say where each value stands."""

import pytest

from pipelines.parse import Block, MediaType, ParsedDocument, ParseError, ParseLimits, parse


def read(data: str, media_type: MediaType = MediaType.JSON) -> ParsedDocument:
    return parse(data.encode(), media_type=media_type)


def texts(data: str, media_type: MediaType = MediaType.JSON) -> list[str]:
    return [block.text for block in read(data, media_type).blocks]


def test_the_members_of_an_array_are_records() -> None:
    assert texts('[{"a": {"b": [1, {"c": "d"}]}}, "text", 7, ["x", "y"]]') == [
        "a.b[0]: 1\na.b[1].c: d",
        "text",
        "7",
        "x, y",
    ]


def test_an_object_is_one_record_with_a_title_and_a_language() -> None:
    assert read('{"Title": "The title", "lang": "de", "text": "a\\n\\nb"}') == ParsedDocument(
        "The title", (Block("Title: The title\nlang: de\ntext: a\n\nb"),), "de"
    )


def test_the_one_array_of_objects_in_an_object_is_records() -> None:
    assert texts('{"count": 2, "items": [{"a": 1}, {"a": 2}]}') == ["count: 2", "a: 1", "a: 2"]
    assert texts('{"some": [{"a": 1}], "others": [{"a": 2}]}') == ["some[0].a: 1\nothers[0].a: 2"]


def test_numbers_are_kept_as_they_are_written() -> None:
    assert texts('{"a": 1.10, "b": 123456789012345678901234567890, "c": NaN, "d": true}') == [
        "a: 1.10\nb: 123456789012345678901234567890\nc: NaN\nd: true"
    ]


def test_what_is_null_or_empty_is_left_out() -> None:
    assert texts('[{"a": null, "b": "", "c": [], "d": {}, "e": [null, "x"]}]') == ["e[1]: x"]


def test_characters_that_cannot_be_stored_are_replaced() -> None:
    assert texts('["a\\ud800b\\u0000c"]') == ["a?bc"]


@pytest.mark.parametrize("media_type", [MediaType.JSONL, MediaType.JSON])
def test_each_line_is_a_record(media_type: MediaType) -> None:
    assert texts('{"a": 1}\n\n{"a": "x\u2028y"}\r\n', media_type) == ["a: 1", "a: x\u2028y"]


def test_the_place_of_a_mistake_is_named() -> None:
    with pytest.raises(ParseError, match=r"^The file is not JSON: line 2, column 2\.$"):
        read('{"a":\n }')
    with pytest.raises(ParseError, match=r"^Line 3 is not JSON"):
        read("1\n\nx", MediaType.JSONL)


def test_nesting_is_read_up_to_the_limit() -> None:
    limits = ParseLimits(max_depth=3)
    assert parse(b'{"a": {"b": {"c": 1}}}', media_type=MediaType.JSON, limits=limits).text == "a.b.c: 1"
    with pytest.raises(ParseError, match="nested deeper than 3 levels"):
        parse(b'{"a": {"b": {"c": {"d": 1}}}}', media_type=MediaType.JSON, limits=limits)
