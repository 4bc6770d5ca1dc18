"""PDF files, page by page. Text only: a scan without a text layer is refused."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pypdf

from pipelines.parse.document import ParsedDocument, ParseError, ParseLimits
from pipelines.parse.language import language_tag
from pipelines.parse.outline import Outline
from pipelines.parse.text import paragraphs

# pypdf reports every oddity of a file as a log line; here a file is either read or refused with a reason.
logging.getLogger("pypdf").setLevel(logging.CRITICAL)

_PROTECTED = "The PDF is protected; save a copy without a password and send that."


def parse_pdf(data: bytes, limits: ParseLimits) -> ParsedDocument:
    """The text of every page; title and language are those of the file's metadata.

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
    outline = Outline(limits)
    for number, page in enumerate(pages, start=1):
        for paragraph in paragraphs(_text(page, number)):
            outline.add(paragraph, page=number)
    if outline.is_empty:
        raise ParseError("The PDF has no text; it may be a scan.")
    return outline.document(title=_title(reader), language=_language(reader))


def _open(data: bytes) -> pypdf.PdfReader:
    with _refusing("The PDF is damaged: no page could be read."):
        reader = pypdf.PdfReader(io.BytesIO(data))
    # Many are encrypted with an empty password, which only limits printing.
    with _refusing(_PROTECTED):
        unlocked = not reader.is_encrypted or bool(reader.decrypt(""))
    if not unlocked:
        raise ParseError(_PROTECTED)
    return reader


def _pages(reader: pypdf.PdfReader) -> list[pypdf.PageObject]:
    with _refusing("The PDF is damaged: no page could be read."):
        pages = list(reader.pages)
    if not pages:
        raise ParseError("The PDF is damaged: no page could be read.")
    return pages


def _text(page: pypdf.PageObject, number: int) -> str:
    with _refusing(f"The PDF is damaged: page {number} could not be read."):
        return str(page.extract_text())


def _title(reader: pypdf.PdfReader) -> str | None:
    with suppress(Exception):
        title = reader.metadata.title if reader.metadata else None
        return " ".join(title.split()) or None if isinstance(title, str) else None
    return None


def _language(reader: pypdf.PdfReader) -> str | None:
    with suppress(Exception):
        return language_tag(reader.root_object.get("/Lang"))
    return None


@contextmanager
def _refusing(reason: str) -> Iterator[None]:
    """On a damaged file, pypdf may raise anything at all: that is the file's fault, lack of memory is not."""
    try:
        yield
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001
        raise ParseError(reason) from None
