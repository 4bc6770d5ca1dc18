"""Plain text, in whatever encoding it comes."""

import codecs
import re

from pipelines.parse.document import ParsedDocument, ParseError, ParseLimits
from pipelines.parse.outline import Outline

# UTF-32 first: its little-endian mark begins with UTF-16's.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")


def parse_text(data: bytes, limits: ParseLimits) -> ParsedDocument:
    """Paragraphs are what blank lines separate.

    Raises:
        ParseError: The file is binary, or has no text.
    """
    outline = Outline(limits)
    for paragraph in paragraphs(decode(data)):
        outline.add(paragraph)
    return outline.document(title=None)


def paragraphs(text: str) -> list[str]:
    """What blank lines separate, without space at either end; at least one, which may be empty."""
    return _BLANK_LINES.split(text.strip())


def decode(data: bytes) -> str:
    """Bytes to text: by byte order mark, else as UTF-8, Windows-1252 or Latin-1. Lines end with a line feed.

    Raises:
        ParseError: The file is binary: it has zero bytes, or contradicts its own byte order mark.
    """
    text = _decode(data)
    if "\0" in text:
        raise ParseError("The file is not text; give it the file name ending of what it is.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _decode(data: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            try:
                return data[len(mark) :].decode(encoding)
            except UnicodeDecodeError:
                raise ParseError(
                    f"The file begins as {encoding.upper()} text but is not; save it as UTF-8."
                ) from None
    for encoding in ("utf-8", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")
