"""What a page's bytes are: media type and charset, of which servers often tell nothing, or what is wrong."""

import codecs
import re
from email.message import Message
from pathlib import PurePosixPath

HTML = "text/html"
PDF = "application/pdf"
TEXT = "text/plain"
MARKDOWN = "text/markdown"
JSON = "application/json"
JSONL = "application/jsonl"
CSV = "text/csv"
XML = "application/xml"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
BINARY = "application/octet-stream"

_SNIFFED_BYTES = 1024
# The first that fits; longer marks before those they begin with.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"\x1f\x8b", "application/gzip"),
    (b"\x7fELF", BINARY),
)
_ZIP = b"PK\x03\x04"
# What may come before the first element: space, comments, an XML declaration. Without backtracking (?>, *+),
# which would try every way to join the comments.
_PROLOGUE = r"(?>\s+|<!--.*?-->|<\?xml[^>]*>)*+"
_SURELY_HTML = re.compile(_PROLOGUE + r"<(!doctype\s+html|html|head)[\s>]", re.IGNORECASE | re.DOTALL)
# Markdown may begin with these too.
_MAYBE_HTML = re.compile(
    _PROLOGUE + r"<(body|title|meta|script|style|div|table|h1|p|a|b|br|iframe|font)[\s>]",
    re.IGNORECASE | re.DOTALL,
)
# No text has these.
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")

_OTHER_NAMES = {
    "application/xhtml+xml": HTML,
    "application/x-pdf": PDF,
    "text/x-markdown": MARKDOWN,
    "text/json": JSON,
    "text/xml": XML,
    "application/csv": CSV,
    "application/x-ndjson": JSONL,
    "application/ndjson": JSONL,
    "application/x-jsonlines": JSONL,
    "application/jsonlines": JSONL,
}
# Encodings of Python that no browser knows either.
_NOT_OF_PAGES = ("idna", "punycode", "unicode-escape", "raw-unicode-escape", "utf-7")
# What servers say of files that they know nothing about.
_SAYS_LITTLE = ("", TEXT, BINARY, "application/force-download", "application/download", "binary/octet-stream")
_SUFFIXES = {
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".csv": CSV,
    ".json": JSON,
    ".jsonl": JSONL,
    ".ndjson": JSONL,
    ".xml": XML,
    ".html": HTML,
    ".htm": HTML,
}


def media_type(content_type: str, body: bytes, path: str) -> str:
    """What the bytes of a page are.

    The bytes decide where they have a signature; then what the server says, unless that says little or
    cannot be; then the ending of the URL's path; then whether it looks like HTML.

    Args:
        content_type: The header; empty if there is none.
        body: The page.
        path: The URL's path.

    Returns:
        A media type in small letters without parameters.
    """
    signed = _signed(body)
    if signed is not None:
        return signed
    told = _told(content_type)
    start = _start(body)
    if start is not None:
        return _of_text(told, start, path)
    # A server that calls it text is wrong; of a binary format it may know more than we do, but not of one
    # that has a signature.
    return BINARY if told in ("", PDF, DOCX, "application/zip") or _is_text(told) else told


def _of_text(told: str, start: str, path: str) -> str:
    """The type of bytes that are text, whatever else the server calls them."""
    if _SURELY_HTML.match(start) and (told in (*_SAYS_LITTLE, XML) or not _is_text(told)):
        return HTML
    if told not in _SAYS_LITTLE and _is_text(told):
        return told
    suffix = _SUFFIXES.get(PurePosixPath(path).suffix.lower())
    if suffix is not None and suffix != HTML:
        return suffix
    return HTML if told != TEXT and _MAYBE_HTML.match(start) else TEXT


def charset(content_type: str, body: bytes) -> str | None:
    """The encoding that a byte order mark tells, else the header; None leaves it to the parser.

    Args:
        content_type: The header; empty if there is none.
        body: The page.

    Returns:
        Python's name of the encoding.
    """
    for mark, name in _MARKS:
        if body.startswith(mark):
            return name
    message = Message()
    message["Content-Type"] = content_type
    told = message.get_param("charset")
    if not isinstance(told, str):
        return None
    try:
        name = codecs.lookup(told.strip(" '\"")).name
        # Python's own codecs, of bytes to bytes, are not for this.
        b"a".decode(name)
    except (LookupError, ValueError):
        return None
    return None if name in _NOT_OF_PAGES else name


def _told(content_type: str) -> str:
    name = content_type.partition(";")[0].strip().lower()
    if name.endswith("+json"):
        return JSON
    return _OTHER_NAMES.get(name, XML if name.endswith("+xml") and name != "image/svg+xml" else name)


def _is_text(name: str) -> bool:
    return name.startswith("text/") or name in (JSON, JSONL, XML, "image/svg+xml", "application/javascript")


def _signed(body: bytes) -> str | None:
    if b"%PDF-" in body[:_SNIFFED_BYTES]:
        return PDF
    if body.startswith(_ZIP):
        # The names of a zip's files stand in it as they are.
        return DOCX if b"word/document.xml" in body else "application/zip"
    return next((name for mark, name in _SIGNATURES if body.startswith(mark)), None)


def _start(body: bytes) -> str | None:
    """The first characters of a text, near enough to look for tags; None if the bytes are no text."""
    start = body[:_SNIFFED_BYTES]
    for mark, name in _MARKS:
        if start.startswith(mark):
            return start.decode(name, "ignore")
    return None if _CONTROLS.search(start) else start.decode("latin-1")
