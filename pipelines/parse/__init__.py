"""Bytes of a file to blocks of text. Pure functions: no network, no disk, no Ray."""

from pathlib import PurePath

from pipelines.parse.document import Block, MediaType, ParsedDocument, ParseError, ParseLimits
from pipelines.parse.html import parse_html
from pipelines.parse.markdown import parse_markdown
from pipelines.parse.pdf import parse_pdf
from pipelines.parse.text import parse_text

__all__ = ["Block", "MediaType", "ParseError", "ParseLimits", "ParsedDocument", "media_type_of", "parse"]

_SUFFIXES = {
    ".html": MediaType.HTML,
    ".htm": MediaType.HTML,
    ".md": MediaType.MARKDOWN,
    ".markdown": MediaType.MARKDOWN,
    ".txt": MediaType.TEXT,
    ".text": MediaType.TEXT,
    ".pdf": MediaType.PDF,
}

_DEFAULT_LIMITS = ParseLimits()


def media_type_of(path: PurePath) -> MediaType | None:
    """The kind of file by its name's ending; None if it is none that `parse` reads."""
    return _SUFFIXES.get(path.suffix.lower())


def parse(data: bytes, *, media_type: MediaType, limits: ParseLimits = _DEFAULT_LIMITS) -> ParsedDocument:
    """Read a file.

    Args:
        data: The whole file.
        media_type: What kind of file it is.
        limits: How much of it is too much.

    Raises:
        ParseError: The file cannot be read, or has no text. The message is for its sender.
    """
    match media_type:
        case MediaType.HTML:
            return parse_html(data)
        case MediaType.MARKDOWN:
            return parse_markdown(data)
        case MediaType.TEXT:
            return parse_text(data)
        case MediaType.PDF:
            return parse_pdf(data, limits)
