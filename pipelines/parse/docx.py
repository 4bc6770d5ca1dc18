"""Word documents (DOCX): paragraphs under their headings and tables row by row, in the order of the document.

Headers, footers, notes, comments and pictures are left out, and so is what tracked changes have removed
or moved away.
"""

import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import suppress

import docx
from docx.document import Document
from lxml import etree

from pipelines.parse.document import ParsedDocument, ParseError, ParseLimits
from pipelines.parse.language import language_tag
from pipelines.parse.outline import Outline

_MAX_MEMBERS = 10_000

_DAMAGED = "The file is not a Word document, or it is damaged."

_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_COMPATIBILITY = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"

_PARAGRAPH, _TABLE, _ROW, _CELL = (f"{_WORD}{tag}" for tag in ("p", "tbl", "tr", "tc"))
_TEXT = f"{_WORD}t"
_SPACE = {f"{_WORD}tab": "\t", f"{_WORD}br": "\n", f"{_WORD}cr": "\n", f"{_WORD}noBreakHyphen": "-"}
# A fallback repeats what stands beside it for older programs; the tabs of properties are no text.
_SKIPPED = frozenset({f"{_WORD}pPr", f"{_WORD}rPr", f"{_WORD}moveFrom", f"{_COMPATIBILITY}Fallback"})

_HEADING_STYLE = re.compile(r"heading ([1-9])")


def parse_docx(data: bytes, limits: ParseLimits) -> ParsedDocument:
    """Headings are told by style or outline level; title and language are those of the properties.

    Raises:
        ParseError: The file is no Word document, damaged, protected, empty, or beyond ``limits``.
    """
    _check_archive(data, limits)
    document = _open(data)
    if document.element.getroottree().docinfo.doctype:
        raise ParseError("The Word document declares XML entities, as no word processor does; save it anew.")
    outline = Outline(limits)
    _Reader(outline, _heading_levels(document)).read(document.element.body)
    title, language = _properties(document)
    return outline.document(title=title, language=language)


def _check_archive(data: bytes, limits: ParseLimits) -> None:
    """Refuse what unfolds to too much, by the sizes in the archive's directory: no more is ever unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except Exception:  # noqa: BLE001
        raise ParseError("The Word document is damaged: it is no ZIP archive.") from None
    if any(member.flag_bits & 1 for member in members):
        raise ParseError("The Word document is protected; save a copy without a password and send that.")
    unpacked = sum(member.file_size for member in members)
    if len(members) > _MAX_MEMBERS or unpacked > limits.max_unpacked_bytes:
        raise ParseError(
            f"The Word document unpacks to {unpacked} bytes in {len(members)} files, at most "
            f"{limits.max_unpacked_bytes} bytes in {_MAX_MEMBERS} files are read; split it."
        )


def _open(data: bytes) -> Document:
    try:
        document = docx.Document(io.BytesIO(data))
        body = document.element.body
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  (on a damaged file, python-docx may raise anything at all)
        raise ParseError(_DAMAGED) from None
    if body is None:
        raise ParseError(_DAMAGED)
    return document


def _heading_levels(document: Document) -> dict[str, int]:
    """The level of each style that is a heading, by its id. A style takes after the one it is based on."""
    levels: dict[str, int] = {}
    bases: dict[str, str] = {}
    with suppress(Exception):
        for style in document.styles.element.iterfind(f"{_WORD}style"):
            style_id = style.get(f"{_WORD}styleId", "")
            name = _value(style, "name").lower()
            outline_level = _value(style, "pPr", "outlineLvl")
            if found := _HEADING_STYLE.fullmatch(name):
                levels[style_id] = int(found[1])
            elif name == "title":
                levels[style_id] = 1
            elif re.fullmatch("[0-8]", outline_level):
                levels[style_id] = int(outline_level) + 1
            bases[style_id] = _value(style, "basedOn")
    for style_id in bases:
        base, seen = style_id, {style_id}
        while base not in levels and (base := bases.get(base, "")) and base not in seen:
            seen.add(base)
        if base in levels:
            levels[style_id] = levels[base]
    return levels


def _value(element: etree._Element, *path: str) -> str:
    found = element.find("/".join(f"{_WORD}{tag}" for tag in path))
    return str(found.get(f"{_WORD}val", "")) if found is not None else ""


def _properties(document: Document) -> tuple[str | None, str | None]:
    """Title and language."""
    with suppress(Exception):
        properties = document.core_properties
        return " ".join(properties.title.split()) or None, language_tag(properties.language)
    return None, None


class _Reader:
    """Goes through the body; what stands in a table becomes lines of cells."""

    def __init__(self, outline: Outline, levels: dict[str, int]) -> None:
        self._outline = outline
        self._levels = levels

    def read(self, body: etree._Element) -> None:
        for element in _outermost(body, (_PARAGRAPH, _TABLE)):
            if element.tag == _PARAGRAPH:
                self._paragraph(element)
            else:
                for row in _outermost(element, (_ROW,)):
                    cells = (" ".join(_text(cell).split()) for cell in _outermost(row, (_CELL,)))
                    self._outline.add(" | ".join(cell for cell in cells if cell))

    def _paragraph(self, paragraph: etree._Element) -> None:
        text = _text(paragraph)
        level = _value(paragraph, "pPr", "outlineLvl")
        if re.fullmatch("[0-8]", level):
            self._outline.heading(int(level) + 1, " ".join(text.split()))
        elif style := self._levels.get(_value(paragraph, "pPr", "pStyle")):
            self._outline.heading(style, " ".join(text.split()))
        else:
            self._outline.add(text)


def _outermost(root: etree._Element, tags: tuple[str, ...]) -> Iterator[etree._Element]:
    """The elements below ``root`` with one of the tags that are in no other such, in order."""
    events = etree.iterwalk(root, events=("start",))
    for _, element in events:
        if element is root:
            continue
        if element.tag in tags:
            yield element
            events.skip_subtree()
        elif element.tag in _SKIPPED:
            events.skip_subtree()


def _text(root: etree._Element) -> str:
    """The text in an element; its paragraphs, as a cell or a text box holds them, are lines of their own."""
    parts = []
    events = etree.iterwalk(root, events=("start",))
    for _, element in events:
        if element.tag == _TEXT:
            parts.append(element.text or "")
        elif element.tag in _SPACE:
            parts.append(_SPACE[element.tag])
        elif element.tag in _SKIPPED:
            events.skip_subtree()
        elif element.tag == _PARAGRAPH and parts:
            parts.append("\n")
    return "".join(parts)
