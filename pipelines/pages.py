"""Web pages of a run: fetches those among what a source lists, and for code that blocks, one at a time."""

import asyncio
import codecs
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from pipelines.fetch import Fetcher, FetchError, FetchSettings, NotModified, Page, Validators
from pipelines.parse import MediaType
from pipelines.sources import Document, PageDocument, Unread, WebDocument


class PageFetcher(Protocol):
    """Fetches pages, as `pipelines.fetch.Fetcher`."""

    async def fetch(self, url: str, known: Validators | None = None) -> Page | NotModified:
        """The page at a URL, or that it is what it was when ``known`` came.

        Raises:
            FetchError: It cannot be fetched. The message is for whoever submitted the URL.
        """


async def fetch_pages(items: Sequence[Document | Unread], fetcher: PageFetcher) -> list[Document | Unread]:
    """Fetch all pages of a list at a time; what is no page stays as it is, and in its place.

    Returns:
        As many as ``items``: a page that cannot be fetched, or is of no kind that is read, is `Unread`.
    """

    async def fetched(item: Document | Unread) -> Document | Unread:
        return await _fetched(item, fetcher) if isinstance(item, WebDocument) else item

    return list(await asyncio.gather(*(fetched(item) for item in items)))


async def _fetched(page: WebDocument, fetcher: PageFetcher) -> PageDocument | Unread:
    try:
        found = _whole(await fetcher.fetch(page.uri))
    except FetchError as error:
        return Unread(page.source, error.message)
    try:
        media_type = MediaType(found.media_type)
    except ValueError:
        return Unread(page.source, f"Documents of the type {found.media_type} cannot be read.")
    return PageDocument(page.uri, media_type, in_utf_8(found))


@contextmanager
def blocking_fetch(settings: FetchSettings) -> Iterator[Callable[[str], bytes]]:
    """Inside the ``with`` block: gets what is at a URL, or raises a `FetchError`."""
    with asyncio.Runner() as runner:
        fetcher = Fetcher(settings)
        runner.run(fetcher.__aenter__())
        try:
            yield lambda url: _whole(runner.run(fetcher.fetch(url))).body
        finally:
            runner.run(fetcher.__aexit__(None, None, None))


def in_utf_8(page: Page) -> bytes:
    """The page's bytes; text in the encoding that its server names, marked for parsers to believe it."""
    if page.charset is None or not page.media_type.startswith("text/"):
        return page.body
    return codecs.BOM_UTF8 + page.body.decode(page.charset, "replace").removeprefix("\ufeff").encode()


def _whole(found: Page | NotModified) -> Page:
    if isinstance(found, NotModified):
        raise TypeError("a page is not modified though nothing was known of it")
    return found
