"""Markdown: the text a reader sees, under its headings.

Follows CommonMark where it decides what is a heading and what is code; lists, tables and quotes are kept as
the lines they are.
"""

import re

from pipelines.parse.document import ParsedDocument, ParseLimits
from pipelines.parse.language import language_tag
from pipelines.parse.outline import Outline
from pipelines.parse.text import decode

_FRONT_MATTER = re.compile(r"---[ \t]*\n(?=[\w-]+[ \t]*:)(.*?\n)(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_MATTER_TITLE = re.compile(r"^title:[ \t]*(.+)$", re.MULTILINE)
_FRONT_MATTER_LANGUAGE = re.compile(r"^lang(?:uage)?:[ \t]*(.+)$", re.MULTILINE)
_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*))?")
_HEADING_CLOSE = re.compile(r"(?:^|[ \t])#+[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*")
_RULE = re.compile(r" {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_QUOTE = re.compile(r"^ {0,3}>[ \t]?")
_LINK_DEFINITION = re.compile(r" {0,3}\[[^\[\]]+\]:[ \t]*\S+.*")

_CODE_SPAN = re.compile(r"((?<!`)`++[^`]++`++)")
_LINK = re.compile(r"!?\[([^\[\]]*)\](?:\((?:[^()]|\([^()]*\))*\)|\[[^\[\]]*\])")
_AUTOLINK = re.compile(r"<((?:https?|mailto):[^<>\s]*)>")
_TAG = re.compile(r"</?[A-Za-z!][^<>]*>")
_EMPHASIS = re.compile(r"(?<![\w\\])[*_]{1,3}(?=\S)|(?<=[^\s\\])[*_]{1,3}(?!\w)")
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")


def parse_markdown(data: bytes, limits: ParseLimits) -> ParsedDocument:
    """Headings, paragraphs and code.

    Title and language are those of the front matter; without, the title is the first heading.

    Raises:
        ParseError: The file is binary, has no text, or is beyond ``limits``.
    """
    text = decode(data)
    title = language = None
    if front_matter := _FRONT_MATTER.match(text):
        text = text[front_matter.end() :]
        title = _value(_FRONT_MATTER_TITLE, front_matter[1])
        language = language_tag(_value(_FRONT_MATTER_LANGUAGE, front_matter[1]))
    outline = Outline(limits)
    _Reader(outline).read(text)
    return outline.document(title=title, language=language)


def _value(pattern: re.Pattern[str], front_matter: str) -> str | None:
    found = pattern.search(front_matter)
    return found[1].strip().strip("\"'") or None if found else None


class _Reader:
    """Goes through the lines, gathering a paragraph or a fenced piece of code at a time."""

    def __init__(self, outline: Outline) -> None:
        self._outline = outline
        self._paragraph: list[str] = []
        self._code: list[str] = []
        self._fence = ""

    def read(self, text: str) -> None:
        for line in text.split("\n"):
            if self._fence:
                self._code_line(line)
            else:
                self._line(line)
        self._end_code()
        self._end_paragraph()

    def _code_line(self, line: str) -> None:
        closing = _FENCE.fullmatch(line)
        if closing and closing[1].startswith(self._fence) and not closing[2].strip():
            self._end_code()
        else:
            self._code.append(line)

    def _line(self, line: str) -> None:
        if not line.strip():
            self._end_paragraph()
        elif (fence := _FENCE.fullmatch(line)) and not (fence[1][0] == "`" and "`" in fence[2]):
            self._end_paragraph()
            self._fence = fence[1]
        elif heading := _HEADING.fullmatch(line):
            self._end_paragraph()
            self._outline.heading(len(heading[1]), _plain(_HEADING_CLOSE.sub("", heading[2] or "")))
        elif self._paragraph and (underline := _UNDERLINE.fullmatch(line)):
            heading_text = _plain(" ".join(self._paragraph))
            self._paragraph = []
            self._outline.heading(1 if underline[1][0] == "=" else 2, heading_text)
        elif _RULE.fullmatch(line):
            self._end_paragraph()
        elif self._paragraph or not _LINK_DEFINITION.fullmatch(line):
            self._paragraph.append(_QUOTE.sub("", line).rstrip())

    def _end_paragraph(self) -> None:
        self._outline.add(_plain("\n".join(self._paragraph)))
        self._paragraph = []

    def _end_code(self) -> None:
        self._outline.add("\n".join(self._code))
        self._code = []
        self._fence = ""


def _plain(text: str) -> str:
    """The text without its marks; what stands between backticks is left as it is."""
    parts = _CODE_SPAN.split(text)
    parts[0::2] = [_without_marks(part) for part in parts[0::2]]
    parts[1::2] = [part.strip("`") for part in parts[1::2]]
    return "".join(parts).strip()


def _without_marks(text: str) -> str:
    text = _LINK.sub(r"\1", text)
    text = _AUTOLINK.sub(r"\1", text)
    text = _TAG.sub("", text)
    text = _EMPHASIS.sub("", text)
    return _ESCAPE.sub(r"\1", text)
