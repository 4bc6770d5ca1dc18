"""Bytes of a file to blocks of text. Pure functions: no network, no disk, no Ray.

`parse` reads in this process, as long and with as much memory as it takes; `pipelines.parse.isolated` reads
in a process of its own, with limits for both.
"""

from collections.abc import Callable
from importlib import import_module

from pipelines.parse.document import Block, MediaType, ParsedDocument, ParseError, ParseLimits
from pipelines.parse.media_type import check_content, media_type_by_content, media_type_of

__all__ = [
    "Block",
    "MediaType",
    "ParseError",
    "ParseLimits",
    "ParsedDocument",
    "media_type_by_content",
    "media_type_of",
    "parse",
]

# By name: a format's libraries are loaded with its first document, so that a process starts fast.
_PARSERS = {
    MediaType.HTML: ("pipelines.parse.html", "parse_html"),
    MediaType.MARKDOWN: ("pipelines.parse.markdown", "parse_markdown"),
    MediaType.TEXT: ("pipelines.parse.text", "parse_text"),
    MediaType.PDF: ("pipelines.parse.pdf", "parse_pdf"),
    MediaType.DOCX: ("pipelines.parse.docx", "parse_docx"),
    MediaType.CSV: ("pipelines.parse.csv", "parse_csv"),
    MediaType.JSON: ("pipelines.parse.json", "parse_json"),
    MediaType.JSONL: ("pipelines.parse.json", "parse_jsonl"),
}

_DEFAULT_LIMITS = ParseLimits()


def parse(data: bytes, *, media_type: MediaType, limits: ParseLimits = _DEFAULT_LIMITS) -> ParsedDocument:
    """Read a file.

    Args:
        data: The whole file.
        media_type: What kind of file it is.
        limits: How much of it is too much.

    Raises:
        ParseError: The file cannot be read, is of another kind, has no text, or is beyond ``limits``. The
            message is for its sender.
    """
    check_content(data, media_type)
    module, function = _PARSERS[media_type]
    parser: Callable[[bytes, ParseLimits], ParsedDocument] = getattr(import_module(module), function)
    return parser(data, limits)
