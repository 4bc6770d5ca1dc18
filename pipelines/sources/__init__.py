"""Where documents come from: folders, buckets, lists of URLs, sitemaps, and tables with a column of text."""

from pipelines.sources.bucket import BucketFolder
from pipelines.sources.document import (
    Document,
    FileDocument,
    ObjectDocument,
    PageDocument,
    Skipped,
    Source,
    TextDocument,
    Unread,
    WebDocument,
)
from pipelines.sources.folder import LocalFolder
from pipelines.sources.sitemap import Sitemap, SitemapLimits
from pipelines.sources.text_table import TextColumns, TextTable
from pipelines.sources.url_list import UrlList

__all__ = [
    "BucketFolder",
    "Document",
    "FileDocument",
    "LocalFolder",
    "ObjectDocument",
    "PageDocument",
    "Sitemap",
    "SitemapLimits",
    "Skipped",
    "Source",
    "TextColumns",
    "TextDocument",
    "TextTable",
    "Unread",
    "UrlList",
    "WebDocument",
]
