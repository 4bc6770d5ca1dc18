"""Web pages: the readable text of the main part, under its headings."""

import re
from collections.abc import Callable

from selectolax.lexbor import LexborHTMLParser, LexborNode

from pipelines.parse.document import ParsedDocument, ParseError, ParseLimits
from pipelines.parse.language import language_tag
from pipelines.parse.link_lists import LinkLists
from pipelines.parse.outline import Outline
from pipelines.parse.text import decode

_BODY = "body"

# Where the text of a page is, best place first; of nested ones, the outermost.
_MAIN_PARTS = (
    ":is(main, [role=main]):not(:is(main, [role=main]) *)",
    "article:not(article article)",
    _BODY,
)

_DROPPED = frozenset(
    {
        *("script", "style", "noscript", "template", "svg", "canvas", "iframe", "object"),
        *("nav", "footer", "aside", "dialog", "form", "button", "select", "textarea"),
    }
)
# Elements with a role, and those that may not be shown.
_MARKED = "[role], [hidden], [aria-hidden=true], [style*=display]"
_DROPPED_ROLES = frozenset({"navigation", "banner", "contentinfo", "complementary", "search"})
# Above a whole page it is a banner; in the main part it holds the title.
_BANNER = "header"

# What pages that have no main part call the rest, as classes and ids. In a main part the same names may mean
# text: a sidebar there is often a note.
_SURROUNDINGS = re.compile(
    r"(?:^|\s)(?:(?:site|page|main|top|global|left|right|primary)[-_]?)?"
    r"(?:nav(?:bar|box|igation|header|footer|links?)?|menu|side-?bar|bread-?crumbs?|footer|masthead|banner"
    r"|skip-?(?:link|nav|to-content)|cookie-?(?:banner|notice|consent)|pagination|pager|share|social(?:-links)?)"
    r"(?:$|\s)",
    re.IGNORECASE,
)

# The sign beside a heading that is a link to it.
_HEADING_LINKS = "a:is(.headerlink, .permalink, .anchor, .anchorjs-link, .hash-link, .heading-anchor)"

_LEVELS = {f"h{level}": level for level in range(1, 7)}
_PREFORMATTED = frozenset({"pre", "listing", "xmp"})
_BLOCKS = _PREFORMATTED | {
    *("address", "article", "blockquote", "body", "center", "details", "div", "fieldset", "figcaption"),
    *("figure", "header", "hr", "main", "p", "section", "summary"),
    *("dd", "dl", "dt", "li", "ol", "ul"),
    *("caption", "table", "tbody", "tfoot", "thead", "tr"),
}
_CELLS = frozenset({"td", "th"})
# All that make a difference; most elements of many pages are others.
_EDGES = _BLOCKS | _CELLS | _LEVELS.keys() | {"a", "br"}
# What selectolax calls nodes of text.
_TEXT = "-text"


def parse_html(data: bytes, limits: ParseLimits) -> ParsedDocument:
    """Headings and blocks of text; the title is the page's own, else its first heading.

    Raises:
        ParseError: The file is binary, has no text outside navigation and the like, or is beyond ``limits``.
    """
    tree = _tree(data)
    dropped = _dropped(tree)
    for selector in _MAIN_PARTS:
        parts = tree.css(selector)
        if selector == _BODY:
            dropped |= _surroundings(tree)
        outline = _outline(parts, dropped, limits, link_lists=selector != _BODY)
        if outline is None:
            # Little but links: an index, which is the text of this page.
            outline = _outline(parts, dropped, limits, link_lists=True)
        if outline is not None and not outline.is_empty:
            return outline.document(title=_title(tree), language=_language(tree))
    raise ParseError("The page has no readable text; it may be filled in by scripts.")


def _dropped(tree: LexborHTMLParser) -> set[int]:
    """The elements whose attributes say that they are no text, by `mem_id`."""
    dropped = [node for node in tree.css(_MARKED) if _is_dropped(node)]
    dropped += [link for link in tree.css(_HEADING_LINKS) if _is_a_sign(link)]
    return {node.mem_id for node in dropped}


def _surroundings(tree: LexborHTMLParser) -> set[int]:
    """The elements that are not the text of a page that has no main part."""
    named = (
        node
        for node in tree.css("[class], [id]")
        if _SURROUNDINGS.search(node.attributes.get("class") or "")
        or _SURROUNDINGS.search(node.attributes.get("id") or "")
    )
    return {node.mem_id for nodes in (tree.css(_BANNER), named) for node in nodes}


def _is_dropped(node: LexborNode) -> bool:
    attributes = node.attributes
    return (
        attributes.get("role") in _DROPPED_ROLES
        or "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or "display:none" in (attributes.get("style") or "").replace(" ", "")
    )


def _is_a_sign(link: LexborNode) -> bool:
    """Whether a link shows one character at most."""
    shown = link.first_child
    if shown is None:
        return True
    return shown.next is None and shown.tag == _TEXT and len((shown.text_content or "").strip()) <= 1


def _outline(
    parts: list[LexborNode], dropped: set[int], limits: ParseLimits, *, link_lists: bool
) -> Outline | None:
    """What the parts say; None if they say little once lists of links are left out."""
    outline = Outline(limits)
    if link_lists:
        for part in parts:
            _Reader(outline.heading, lambda text, _: outline.add(text)).read(part, dropped)
        return outline
    filtered = LinkLists(outline)
    for part in parts:
        _Reader(filtered.heading, filtered.add).read(part, dropped)
    return outline if filtered.end() else None


def _title(tree: LexborHTMLParser) -> str | None:
    title = tree.css_first("title")
    return _one_line(title.text()) if title is not None else None


def _language(tree: LexborHTMLParser) -> str | None:
    root = tree.root
    if root is None:
        return None
    attributes = root.attributes
    declared = attributes.get("lang") or attributes.get("xml:lang")
    if not declared:
        meta = tree.css_first('meta[http-equiv="content-language" i]')
        declared = meta.attributes.get("content") if meta is not None else None
    return language_tag(declared)


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
    """Gathers inline text until a block begins or ends.

    Args:
        heading: Takes the level and the text of each heading.
        block: Takes the text of each block, and how many of its characters are links.
    """

    def __init__(self, heading: Callable[[int, str], None], block: Callable[[str, int], None]) -> None:
        self._heading = heading
        self._block = block
        self._inline: list[str] = []
        self._link_chars = 0
        self._links = 0
        self._preformatted = 0
        self._in_heading = False

    def read(self, root: LexborNode, dropped: set[int]) -> None:
        """Everything below ``root``, but for the elements with these `mem_id`.

        Without recursion: a page may be nested deeper than Python's stack.
        """
        path = [(root, root.tag or "")]
        upcoming = root.first_child
        while path:
            if upcoming is None:
                left, tag = path.pop()
                if tag in _EDGES:
                    self._edge(tag, entered=False)
                upcoming = left.next if path else None
                continue
            tag = upcoming.tag or ""
            if tag == _TEXT:
                text = upcoming.text_content or ""
                self._inline.append(text)
                if self._links:
                    self._link_chars += len(text.strip())
                upcoming = upcoming.next
            elif tag in _DROPPED or upcoming.mem_id in dropped:
                upcoming = upcoming.next
            else:
                path.append((upcoming, tag))
                if tag in _EDGES:
                    self._edge(tag, entered=True)
                upcoming = upcoming.first_child
        self._end_block()

    def _edge(self, tag: str, *, entered: bool) -> None:
        """An element begins or ends."""
        if tag == "a":
            self._links += 1 if entered else -1
        elif tag in _BLOCKS:
            if not self._in_heading:
                self._end_block()
                if tag in _PREFORMATTED:
                    self._preformatted += 1 if entered else -1
        elif tag in _CELLS:
            if not entered:
                self._inline.append(" ")
        elif tag in _LEVELS:
            self._heading_edge(_LEVELS[tag], entered=entered)
        elif tag == "br" and entered:
            self._inline.append("\n" if self._preformatted else " ")

    def _heading_edge(self, level: int, *, entered: bool) -> None:
        self._in_heading = entered
        if entered:
            self._end_block()
        else:
            self._heading(level, _one_line("".join(self._inline)))
            self._inline = []
            self._link_chars = 0

    def _end_block(self) -> None:
        if self._inline:
            text = "".join(self._inline)
            self._inline.clear()
            link_chars, self._link_chars = self._link_chars, 0
            if text and not text.isspace():
                self._block(text if self._preformatted else _one_line(text), link_chars)


def _one_line(text: str) -> str:
    return " ".join(text.split())
