"""Markdown as a reader sees it."""

import pytest

from pipelines.parse import Block, MediaType, ParsedDocument, ParseError, parse


def read(text: str) -> ParsedDocument:
    return parse(text.encode(), media_type=MediaType.MARKDOWN)


def test_blocks_know_the_headings_above_them() -> None:
    document = read("intro\n# One\na\n\nb\n## Two ##\nc\n### Three\nd\n## Four\ne\n# Five\nf")
    assert document.title == "One"
    assert document.blocks == (
        Block("intro"),
        Block("a", ("One",)),
        Block("b", ("One",)),
        Block("c", ("One", "Two")),
        Block("d", ("One", "Two", "Three")),
        Block("e", ("One", "Four")),
        Block("f", ("Five",)),
    )


def test_underlined_lines_are_headings_and_rules_are_not() -> None:
    document = read("Title\n=====\ntext\n\nPart\ntwo\n---\nmore\n\n---\n\nend\n\n* * *\n")
    assert document.blocks == (
        Block("text", ("Title",)),
        Block("more", ("Title", "Part two")),
        Block("end", ("Title", "Part two")),
    )


@pytest.mark.parametrize("fence", ["```", "~~~~"])
def test_code_is_kept_as_it_is_and_holds_no_headings(fence: str) -> None:
    document = read(f"# Real\n{fence}python\n# comment *not* bold\n\nTitle\n=====\n{fence}\nafter")
    assert document.blocks == (
        Block("# comment *not* bold\n\nTitle\n=====", ("Real",)),
        Block("after", ("Real",)),
    )


def test_a_fence_ends_only_with_its_own_kind_or_the_file() -> None:
    assert read("````\n```\n~~~\n# no").blocks == (Block("```\n~~~\n# no"),)


def test_hash_without_space_and_indented_hash_are_text() -> None:
    assert [block.headings for block in read("#tag\n\n    # code").blocks] == [(), ()]


def test_front_matter_gives_the_title_and_nothing_else() -> None:
    document = read("---\ndate: 2026-01-01\ntitle: 'The title'\n---\n# Heading\ntext")
    assert document == ParsedDocument("The title", (Block("text", ("Heading",)),))


@pytest.mark.parametrize(
    ("line", "language"), [("lang: de", "de"), ("language: 'en-GB'", "en-GB"), ("x: y", None)]
)
def test_front_matter_gives_the_language(line: str, language: str | None) -> None:
    assert read(f"---\n{line}\n---\ntext").language == language


def test_a_rule_at_the_top_is_no_front_matter() -> None:
    assert [block.text for block in read("---\n\nkept\n\n---\n\ntoo").blocks] == ["kept", "too"]


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("a **bold** and *soft* and __this__", "a bold and soft and this"),
        ("snake_case_name and 2 * 3 * 4", "snake_case_name and 2 * 3 * 4"),
        ("see [the page](https://e.org/a_(b) 'T') now", "see the page now"),
        ("![a graph](g.png) and [ref][1]", "a graph and ref"),
        ("call `f(*args, **kw)` twice", "call f(*args, **kw) twice"),
        ("<b>x</b> a < b > c <https://e.org>", "x a < b > c https://e.org"),
        (r"\*not soft\*", "*not soft*"),
        ("> quoted\n> more", "quoted\nmore"),
        ("- one\n- two", "- one\n- two"),
        ("text\n\n[1]: https://e.org 'x'", "text"),
    ],
)
def test_marks_are_removed_and_text_is_kept(source: str, seen: str) -> None:
    assert [block.text for block in read(source).blocks] == [seen]


def test_a_heading_without_text_below_is_kept_as_text() -> None:
    assert read("# A\n## B\n## C\ntext\n# D").blocks == (
        Block("B", ("A",)),
        Block("text", ("A", "C")),
        Block("D"),
    )


def test_a_file_without_text_is_refused() -> None:
    with pytest.raises(ParseError, match="no readable text"):
        read("---\ntitle: x\n---\n\n***\n")


@pytest.mark.parametrize(
    "piece",
    [
        "`",
        "[",
        "[a](",
        "<a",
        "*a ",
        "# ",
        "> ",
        "[a]: ",
        "a ``b ",
        "<!-- ",
        "[a]((b)",
        "* * ",
        "# # ",
        "---\na:\n",
    ],
)
@pytest.mark.timeout(5)
def test_hostile_text_takes_no_longer_than_its_length(piece: str) -> None:
    read("x " + piece * (200_000 // len(piece)))
