"""PDF files, page by page. Text only: a scan without a text layer is refused."""

import io
import logging
import time

import pypdf

from pipelines.parse.document import Block, ParsedDocument, ParseError, ParseLimits
from pipelines.parse.text import paragraphs

# pypdf reports every oddity of a file as a log line; here a file is either read or refused with a reason.
logging.getLogger("pypdf").setLevel(logging.CRITICAL)


def parse_pdf(data: bytes, limits: ParseLimits) -> ParsedDocument:
    """The text of every page; the title is that of the file's metadata.

    Raises:
        ParseError: The file is no PDF, damaged, protected, a scan, or beyond ``limits``.
    """
    if b"%PDF-" not in data[:1024]:
        raise ParseError("The file is not a PDF.")
    reader = _open(data)
    pages = _pages(reader)
    if len(pages) > limits.max_pdf_pages:
        raise ParseError(
            f"The PDF has {len(pages)} pages, at most {limits.max_pdf_pages} are read; split it into parts."
        )
    blocks: list[Block] = []
    chars = 0
    deadline = time.monotonic() + limits.max_pdf_s
    for number, page in enumerate(pages, start=1):
        text = _text(page, number)
        chars += len(text)
        if chars > limits.max_pdf_chars:
            raise ParseError(f"The PDF has more than {limits.max_pdf_chars} characters; split it into parts.")
        if time.monotonic() > deadline:
            raise ParseError(f"The PDF took longer than {limits.max_pdf_s:g} s to read; split it into parts.")
        blocks += [Block(part, page=number) for part in paragraphs(text) if part]
    if not blocks:
        raise ParseError("The PDF has no text; it may be a scan.")
    return ParsedDocument(_title(reader), tuple(blocks))


# Each function below wraps one call into pypdf, which on a damaged file may raise anything at all.


def _open(data: bytes) -> pypdf.PdfReader:
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
    except Exception:  # noqa: BLE001
        raise ParseError("The PDF is damaged: no page could be read.") from None
    if not _unlock(reader):
        raise ParseError("The PDF is protected; save a copy without a password and send that.")
    return reader


def _unlock(reader: pypdf.PdfReader) -> bool:
    """Whether the file can be read. Many are encrypted with an empty password, which only limits printing."""
    try:
        return not reader.is_encrypted or bool(reader.decrypt(""))
    except Exception:  # noqa: BLE001
        return False


def _pages(reader: pypdf.PdfReader) -> list[pypdf.PageObject]:
    try:
        pages = list(reader.pages)
    except Exception:  # noqa: BLE001
        pages = []
    if not pages:
        raise ParseError("The PDF is damaged: no page could be read.")
    return pages


def _text(page: pypdf.PageObject, number: int) -> str:
    try:
        text = page.extract_text()
    except Exception:  # noqa: BLE001
        raise ParseError(f"The PDF is damaged: page {number} could not be read.") from None
    return _storable(text)


def _title(reader: pypdf.PdfReader) -> str | None:
    try:
        title = reader.metadata.title if reader.metadata else None
    except Exception:  # noqa: BLE001
        return None
    return " ".join(_storable(title).split()) or None if isinstance(title, str) else None


def _storable(text: str) -> str:
    """Without the halves of surrogate pairs and the zeros that a font's table or a broken string may give."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")
