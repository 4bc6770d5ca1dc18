"""The pages that a site lists in its sitemaps, after the protocol of sitemaps.org."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from yarl import URL

from pipelines.sources.document import Unread, WebDocument
from pipelines.sources.sitemap_file import read_sitemap
from pipelines.sources.url_list import web_document
from vectoray.core.errors import InvalidRequest, VectorayError


@dataclass(frozen=True, slots=True)
class SitemapLimits:
    """How much of a site's sitemaps is read.

    Attributes:
        max_bytes: Of one sitemap, unpacked; the protocol allows 50 MiB.
        max_depth: How many lists of sitemaps may lead to a sitemap; the protocol allows 1.
        max_sitemaps: Of the site, lists included.
        max_pages: Of the site.
    """

    max_bytes: int = 50 * 2**20
    max_depth: int = 3
    max_sitemaps: int = 10_000
    max_pages: int = 1_000_000


_LIMITS = SitemapLimits()


class Sitemap:
    """The pages of a site, each once; a `Source`.

    A sitemap speaks for its own host alone, with or without ``www.``; what it says of others is refused.
    """

    def __init__(self, url: str, fetch: Callable[[str], bytes], *, limits: SitemapLimits = _LIMITS) -> None:
        """Name a sitemap, or a list of sitemaps; nothing is fetched before it is listed.

        Args:
            url: Where it is.
            fetch: Gets what is at a URL, or raises a `VectorayError`; it keeps limits of its own, on
                addresses too.
            limits: On what is read.

        Raises:
            InvalidRequest: The URL is none of the web.
        """
        self._url = web_document(url).uri
        self._fetch = fetch
        self._limits = limits

    def __iter__(self) -> Iterator[WebDocument | Unread]:
        """List the pages; a sitemap that cannot be read is `Unread`, and the others go on."""
        pages: set[str] = set()
        for sitemap, found in self._sitemaps():
            if isinstance(found, Unread):
                yield found
            elif found.uri not in pages:
                if len(pages) == self._limits.max_pages:
                    yield Unread(sitemap, f"The site has more than {self._limits.max_pages} pages.")
                    return
                pages.add(found.uri)
                yield found

    def _sitemaps(self) -> Iterator[tuple[str, WebDocument | Unread]]:
        """What each sitemap lists, after its URL; other sitemaps among it are followed."""
        waiting, known = [(self._url, 0)], {self._url}
        while waiting:
            sitemap, depth = waiting.pop()
            listed: list[tuple[str, int]] = []
            for kind, found in self._entries(sitemap):
                if isinstance(found, Unread) or kind == "page":
                    yield sitemap, found
                elif found.uri in known:
                    continue
                elif depth == self._limits.max_depth:
                    yield sitemap, Unread(found.uri, "Too many lists of sitemaps lead to this sitemap.")
                elif len(known) == self._limits.max_sitemaps:
                    yield sitemap, Unread(found.uri, f"The site has more than {len(known)} sitemaps.")
                    break
                else:
                    known.add(found.uri)
                    listed.append((found.uri, depth + 1))
            waiting += reversed(listed)

    def _entries(self, sitemap: str) -> Iterator[tuple[str, WebDocument | Unread]]:
        try:
            for kind, written in read_sitemap(self._fetch(sitemap), max_bytes=self._limits.max_bytes):
                yield kind, self._own(sitemap, written)
        except VectorayError as error:
            yield "sitemap", Unread(sitemap, error.message)

    def _own(self, sitemap: str, written: str) -> WebDocument | Unread:
        try:
            page = web_document(written)
        except InvalidRequest as error:
            return Unread(sitemap, error.message)
        if _site(page.uri) != _site(self._url):
            return Unread(page.uri, "The page is of another host than the sitemap.")
        return page


def _site(url: str) -> str:
    return (URL(url).host or "").removeprefix("www.")
