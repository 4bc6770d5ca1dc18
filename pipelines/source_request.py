"""What a run is to read, as somebody wrote it, and the source that lists it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pipelines.fetch import FetchSettings
from pipelines.pages import blocking_fetch
from pipelines.settings import PipelineSettings
from pipelines.sources import (
    BucketFolder,
    Document,
    LocalFolder,
    Sitemap,
    SitemapLimits,
    Source,
    TextColumns,
    TextTable,
    Unread,
    UrlList,
)
from pipelines.sources.url_list import web_document
from vectoray.core.errors import InvalidRequest

_BUCKET = re.compile(r"(s3|gs)://", re.IGNORECASE)
_WEB = re.compile(r"https?://", re.IGNORECASE)
_SITEMAP = re.compile(r"(/sitemap[\w-]*(\.txt)?|\.xml)(\.gz)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """A source by its name.

    Attributes:
        place: A file or folder, ``s3://`` or ``gs://``, or the URL of a page or sitemap.
        urls: Whether the place is a file that lists URLs.
        columns: Of the table that the place is, or None.
    """

    place: str
    urls: bool = False
    columns: TextColumns | None = None

    @property
    def is_web(self) -> bool:
        """Whether pages are to be fetched."""
        return self.urls or bool(_WEB.match(self.place))

    def listed(self, settings: PipelineSettings) -> Iterator[Document | Unread]:
        """What the source lists, one by one.

        Raises:
            InvalidRequest: There is no such source.
            Unavailable: It cannot be listed at the moment.
        """
        if self._is_sitemap:
            limits = SitemapLimits()
            with blocking_fetch(_for_sitemaps(settings.fetch, limits)) as fetch:
                yield from Sitemap(self.place, fetch, limits=limits)
        else:
            yield from self._source(settings)

    def check(self, settings: PipelineSettings) -> None:
        """Find mistakes of the caller's early; of the web, nothing is asked.

        Raises:
            InvalidRequest: There is no such source.
            Unavailable: It cannot be listed at the moment.
        """
        if self._is_sitemap:
            web_document(self.place)
        else:
            next(iter(self._source(settings)), None)

    @property
    def _is_sitemap(self) -> bool:
        is_url = not self.urls and self.columns is None and _WEB.match(self.place)
        return bool(is_url and _SITEMAP.search(urlsplit(self.place).path))

    def _source(self, settings: PipelineSettings) -> Source:
        path = Path(self.place).absolute()
        if self.urls or self.columns is not None:
            if not path.is_file():
                raise InvalidRequest(f"There is no file '{self.place}'.")
            return UrlList(path) if self.columns is None else TextTable(path, self.columns)
        if _BUCKET.match(self.place):
            return BucketFolder(self.place, max_file_bytes=settings.max_file_bytes)
        if _WEB.match(self.place):
            return [web_document(self.place)]
        return LocalFolder(path, max_file_bytes=settings.max_file_bytes)


def _for_sitemaps(settings: FetchSettings, limits: SitemapLimits) -> FetchSettings:
    """Sitemaps may be larger than pages."""
    return settings.model_copy(update={"max_page_bytes": max(settings.max_page_bytes, limits.max_bytes)})
