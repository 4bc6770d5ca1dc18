"""Web pages that a text file lists, one URL a line."""

from collections.abc import Iterator
from pathlib import Path

from pipelines.sources.document import Unread, WebDocument
from pipelines.url_spelling import MAX_URL_CHARS, normalise
from vectoray.core.errors import InvalidRequest


class UrlList:
    """The URLs in a file, each once, in its order; a `Source`.

    Empty lines, and lines that begin with ``#``, are comments.
    """

    def __init__(self, path: Path) -> None:
        """Name a file; it is read when it is listed."""
        self._path = path

    def __iter__(self) -> Iterator[WebDocument | Unread]:
        """List the URLs.

        Raises:
            InvalidRequest: The file cannot be read.
        """
        try:
            file = self._path.open(encoding="utf-8-sig", errors="replace")
        except OSError as error:
            raise InvalidRequest(f"The list '{self._path.name}' cannot be read: {error.strerror}.") from None
        with file:
            lines = iter(lambda: file.readline(MAX_URL_CHARS + 2), "")
            yield from web_documents(self._path.name, lines)


def web_documents(name: str, lines: Iterator[str]) -> Iterator[WebDocument | Unread]:
    """The pages that lines name, each once.

    Args:
        name: Of what has the lines.
        lines: None of them much longer than a URL may be; what a longer one is cut into is refused.
    """
    seen: set[str] = set()
    number, within_line = 0, False
    for line in lines:
        continued, within_line = within_line, not line.endswith("\n")
        if continued:
            continue
        number += 1
        written = line.strip()
        if not written or written.startswith("#"):
            continue
        try:
            page = web_document(written)
        except InvalidRequest as error:
            yield Unread(f"{name}, line {number}", error.message)
            continue
        if page.uri not in seen:
            seen.add(page.uri)
            yield page


def web_document(written: str) -> WebDocument:
    """The page with a URL.

    Raises:
        InvalidRequest: It is no URL of a web page. The message does not repeat it: it may hold a password.
    """
    return WebDocument(normalise(written, where="The URL"))
