"""Web pages: the readable text of the main part, under its headings."""

from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from pipelines.parse.document import ParsedDocument, ParseError
from pipelines.parse.outline import Outline
from pipelines.parse.text import decode

# Where the text of a page is, best place first; of nested ones, the outermost.
_MAIN_PARTS = (
    ":is(main, [role=main]):not(:is(main, [role=main]) *)",
    "article:not(article article)",
    "body",
)

_DROPPED = frozenset(
    {
        *("script", "style", "noscript", "template", "svg", "canvas", "iframe", "object"),
        *("nav", "footer", "aside", "dialog", "form", "button", "select", "textarea"),
    }
)
# Above a whole page it is a banner; in the main part it holds the title.
_DROPPED_FROM_BODY = _DROPPED | {"header"}
_DROPPED_ROLES = frozenset({"navigation", "banner", "contentinfo", "complementary", "search"})

_LEVELS = {f"h{level}": level for level in range(1, 7)}
_PREFORMATTED = frozenset({"pre", "listing", "xmp"})
_BLOCKS = _PREFORMATTED | {
    *("address", "article", "blockquote", "body", "center", "details", "div", "fieldset", "figcaption"),
    *("figure", "header", "hr", "main", "p", "section", "summary"),
    *("dd", "dl", "dt", "li", "ol", "ul"),
    *("caption", "table", "tbody", "tfoot", "thead", "tr"),
}
_CELLS = frozenset({"td", "th"})


def parse_html(data: bytes) -> ParsedDocument:
    """Headings and blocks of text; the title is the page's own, else its first heading.

    Raises:
        ParseError: The file is binary, or has no text outside navigation and the like.
    """
    tree = _tree(data)
    title = tree.css_first("title")
    for selector in _MAIN_PARTS:
        outline = Outline()
        for part in tree.css(selector):
            _Reader(outline).read(part)
        if not outline.is_empty:
            return outline.document(title=_one_line(title.text()) if title is not None else None)
    raise ParseError("The page has no readable text; it may be filled in by scripts.")


def _tree(data: bytes) -> LexborHTMLParser:
    """Decode as the HTML standard does, and by `decode` where the page does not tell its encoding."""
    tree = LexborHTMLParser(data, encoding=True, scripting=True)
    try:
        markup = (tree.raw_html or b"").decode()
    except UnicodeDecodeError:
        return LexborHTMLParser(decode(data), scripting=True)
    if "\0" in markup:
        raise ParseError("The file is not a web page; give it the file name ending of what it is.")
    return tree


class _Reader:
    """Gathers inline text until a block begins or ends."""

    def __init__(self, outline: Outline) -> None:
        self._outline = outline
        self._inline: list[str] = []
        self._preformatted = 0
        self._in_heading = False

    def read(self, root: LexborNode) -> None:
        for entered, node in _walk(root):
            tag = node.tag or ""
            if node.is_text_node:
                if entered:
                    self._inline.append(node.text_content or "")
            elif tag in _LEVELS:
                self._heading_edge(_LEVELS[tag], entered=entered)
            elif tag in _BLOCKS and not self._in_heading:
                self._end_block()
                if tag in _PREFORMATTED:
                    self._preformatted += 1 if entered else -1
            elif tag == "br" and entered:
                self._inline.append("\n" if self._preformatted else " ")
            elif tag in _CELLS and not entered:
                self._inline.append(" ")
        self._end_block()

    def _heading_edge(self, level: int, *, entered: bool) -> None:
        self._in_heading = entered
        if entered:
            self._end_block()
        else:
            self._outline.heading(level, _one_line("".join(self._inline)))
            self._inline = []

    def _end_block(self) -> None:
        text = "".join(self._inline)
        self._inline = []
        self._outline.add(text.strip("\n") if self._preformatted else _one_line(text))


def _walk(root: LexborNode) -> Iterator[tuple[bool, LexborNode]]:
    """Every node that is to be read, on entering (True) and on leaving (False) it.

    Without recursion: a page may be nested deeper than Python's stack.
    """
    dropped = _DROPPED_FROM_BODY if root.tag == "body" else _DROPPED
    path = [root]
    yield True, root
    upcoming = root.first_child
    while path:
        if upcoming is None:
            left = path.pop()
            yield False, left
            upcoming = left.next if path else None
        elif _is_dropped(upcoming, dropped):
            upcoming = upcoming.next
        else:
            path.append(upcoming)
            yield True, upcoming
            upcoming = upcoming.first_child


def _is_dropped(node: LexborNode, dropped: frozenset[str]) -> bool:
    if not node.is_element_node:
        return not node.is_text_node
    if node.tag in dropped:
        return True
    attributes = node.attributes
    return (
        attributes.get("role") in _DROPPED_ROLES
        or "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
