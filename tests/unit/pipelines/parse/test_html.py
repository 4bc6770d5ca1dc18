"""Web pages: the main text, without what surrounds it."""

import pytest

from pipelines.parse import Block, MediaType, ParsedDocument, ParseError, parse


def read(page: str | bytes) -> ParsedDocument:
    return parse(page.encode() if isinstance(page, str) else page, media_type=MediaType.HTML)


def texts(page: str | bytes) -> list[str]:
    return [block.text for block in read(page).blocks]


def test_blocks_know_the_headings_above_them() -> None:
    document = read(
        "<title> The\n page </title><body><p>intro<h1>One</h1><p>a<p>b<h2>T<em>w</em>o</h2><div>c</div>"
        "<h1>Three</h1>d"
    )
    assert document.title == "The page"
    assert document.blocks == (
        Block("intro"),
        Block("a", ("One",)),
        Block("b", ("One",)),
        Block("c", ("One", "Two")),
        Block("d", ("Three",)),
    )


def test_without_a_title_the_first_heading_is_it() -> None:
    assert read("<h2>Heading</h2><p>text").title == "Heading"


@pytest.mark.parametrize(
    "tag", ["script", "style", "nav", "header", "footer", "aside", "noscript", "template", "form"]
)
def test_what_surrounds_the_text_is_dropped(tag: str) -> None:
    assert texts(f"<body><p>before<{tag}><p>noise</p></{tag}><p>after") == ["before", "after"]


@pytest.mark.parametrize("attribute", ["hidden", "role=navigation", "aria-hidden=true"])
def test_what_a_reader_does_not_see_is_dropped(attribute: str) -> None:
    assert texts(f"<body><p>before<div {attribute}>noise</div><svg><text>noise</text></svg><p>after") == [
        "before",
        "after",
    ]


@pytest.mark.parametrize(
    "main",
    ["<main>{}</main>", "<div role=main>{}</div>", "<article>{}</article>", "<div><main>{}</main></div>"],
)
def test_the_main_part_is_preferred(main: str) -> None:
    page = "<body><p>outside" + main.format("<header><h1>T</h1></header><p>inside") + "<p>outside"
    assert read(page).blocks == (Block("inside", ("T",)),)


def test_an_empty_main_part_is_passed_over() -> None:
    assert texts("<body><main><nav>menu</nav></main><p>text") == ["text"]


def test_nested_main_parts_are_read_once() -> None:
    assert texts("<article>a<article>b</article></article><article>c</article>") == ["a", "b", "c"]


def test_space_is_collapsed_except_in_preformatted_text() -> None:
    assert texts("<p>a \n b<br>c<b>d</b> e<pre>x\n  y\n\n  z</pre><ul><li>one<li>two</ul>") == [
        "a b cd e",
        "x\n  y\n\n  z",
        "one",
        "two",
    ]


def test_table_rows_are_lines_of_cells() -> None:
    assert texts("<table><tr><th>k</th><th>v</th></tr><tr><td>a</td><td>1</td></tr></table>") == [
        "k v",
        "a 1",
    ]


@pytest.mark.parametrize(
    "page",
    [
        "<p>café".encode(),
        "<p>café".encode("cp1252"),
        "<p>café".encode("utf-16"),
        b"<meta charset=iso-8859-1><p>caf\xe9",
        b"<meta charset=nonsense><p>caf\xc3\xa9",
    ],
)
def test_the_encoding_is_recognised(page: bytes) -> None:
    assert texts(page) == ["café"]


@pytest.mark.parametrize("page", [" ", "<body><script>render()</script>", "<p> &nbsp; "])
def test_a_page_without_text_is_refused(page: str) -> None:
    with pytest.raises(ParseError, match="no readable text"):
        read(page)


def test_binary_files_are_refused() -> None:
    with pytest.raises(ParseError, match=r"not a web page|not text"):
        read(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")


def test_nesting_deeper_than_the_stack_is_read() -> None:
    assert texts("<div>" * 5_000 + "deep") == ["deep"]


@pytest.mark.parametrize(
    ("page", "language"),
    [
        ("<html lang=de-AT><p>text", "de-AT"),
        ("<html xml:lang=en_US><p>text", "en-US"),
        ("<meta http-equiv=Content-Language content='fr, en'><p>text", "fr"),
        ("<html lang='not a tag'><p>text", None),
        ("<p lang=de>text", None),
    ],
)
def test_the_language_is_the_one_that_the_page_declares(page: str, language: str | None) -> None:
    assert read(page).language == language


@pytest.mark.parametrize(
    "attributes",
    ["class=navbar", "class='wide site-nav'", "id=sidebar", "class=breadcrumbs", "style='display: none'"],
)
def test_menus_are_known_by_their_names_on_pages_without_a_main_part(attributes: str) -> None:
    assert texts(f"<body><p>before<div {attributes}>noise</div><p>after") == ["before", "after"]


@pytest.mark.parametrize("name", ["page-with-sidebar", "navy", "menus-of-the-year"])
def test_names_that_only_contain_those_of_menus_are_read(name: str) -> None:
    assert texts(f"<body><div class={name}>text</div>") == ["text"]


def test_a_sidebar_in_the_main_part_is_text() -> None:
    assert texts("<main><div class=sidebar>a note</div>") == ["a note"]


TEXT = "Some text of a page that has more to say than its links do. " * 5
LINKS = "".join(f"<li><a href=/{at}>Section {at}</a>" for at in range(5))


def test_lists_of_links_are_left_out_on_pages_without_a_main_part() -> None:
    assert texts(f"<body><ul>{LINKS}</ul><p>{TEXT}<ul>{LINKS}</ul>") == [TEXT.strip()]


def test_lists_of_links_in_the_main_part_are_text() -> None:
    assert len(texts(f"<main><p>{TEXT}<ul>{LINKS}</ul>")) == 6


def test_a_page_that_is_little_but_links_is_read_whole() -> None:
    assert len(texts(f"<body><h1>Index</h1><p>All:<ul>{LINKS}</ul>")) == 6


def test_links_in_text_and_two_in_a_row_are_text() -> None:
    page = f"<body><p>{TEXT}<p><a>one</a><p><a>two</a><p>see <a>this page</a> for more"
    assert texts(page) == [TEXT.strip(), "one", "two", "see this page for more"]


def test_the_sign_that_links_to_a_heading_is_left_out() -> None:
    page = "<main><h1>One<a class=headerlink href=#one>¶</a></h1>a<h2><a class=anchor>Two</a></h2>b"
    assert read(page).blocks == (Block("a", ("One",)), Block("b", ("One", "Two")))


def test_a_heading_as_long_as_a_paragraph_is_one() -> None:
    assert read(f"<h1>Title</h1><h2>{'word ' * 100}</h2><p>text").blocks == (
        Block(("word " * 100).strip(), ("Title",)),
        Block("text", ("Title",)),
    )
