"""What a run would read: lists, fetches, parses and cuts everything, in this process, and writes nothing."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

from pipelines.fetch import Fetcher
from pipelines.listing import Listed, in_lists
from pipelines.pages import fetch_pages
from pipelines.parcels import Part, read
from pipelines.parse import media_type_of
from pipelines.parse.isolated import IsolatedParser
from pipelines.report import MOST_NAMED
from pipelines.settings import PipelineSettings
from pipelines.source_request import SourceRequest
from pipelines.sources import Document, PageDocument, Skipped, TextDocument, Unread
from vectoray.embedding import TokenCounter


@dataclass(slots=True)
class Forecast:
    """What a run would do, if nothing of it is stored yet.

    Attributes:
        kinds: How many documents there are of each kind.
        failed: The first of those that would fail, and why.
        skipped: The first files that are no documents.
        chunks: Chunks of those that can be read.
    """

    documents: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    documents_failed: int = 0
    failed: list[Unread] = field(default_factory=list)
    files_skipped: int = 0
    skipped: list[Unread] = field(default_factory=list)
    chunks: int = 0

    def to_json(self) -> dict[str, Any]:
        """The forecast as JSON values."""
        return asdict(self)


def forecast(
    request: SourceRequest, settings: PipelineSettings, *, tokens: TokenCounter | None = None
) -> Forecast:
    """Read everything.

    Args:
        request: What a run would ingest.
        settings: Sizes and limits.
        tokens: Counts the tokens that the collection's model reads.

    Raises:
        InvalidRequest: There is no such source.
    """
    request.check(settings)
    found = Forecast()
    kinds: Counter[str] = Counter()
    with IsolatedParser(settings.parse, max_file_bytes=settings.max_file_bytes) as parser:
        for items in _fetched(request, settings):
            kinds.update(kind_of(item) for item in items if not isinstance(item, Unread))
            for parcel in read(items, settings, parse=parser.parse, tokens=tokens):
                for item in parcel:
                    _add(item, found)
    found.kinds = dict(kinds.most_common())
    return found


def kind_of(document: Document) -> str:
    """A document's kind, for people."""
    match document:
        case TextDocument():
            return "row"
        case PageDocument():
            return document.media_type.name
    media_type = media_type_of(PurePosixPath(document.source))
    return "page" if media_type is None else media_type.name


def _fetched(request: SourceRequest, settings: PipelineSettings) -> Iterator[Listed]:
    lists = in_lists(request.listed(settings))
    if not request.is_web:
        yield from lists
        return
    with asyncio.Runner() as runner:
        fetcher = Fetcher(settings.fetch)
        runner.run(fetcher.__aenter__())
        try:
            for items in lists:
                yield runner.run(fetch_pages(items, fetcher))
        finally:
            runner.run(fetcher.__aexit__(None, None, None))


def _add(item: Part | Unread, found: Forecast) -> None:
    if isinstance(item, Part):
        found.chunks += len(item.chunks)
        found.documents += item.is_last
    elif isinstance(item, Skipped):
        found.files_skipped += 1
        found.skipped += [item] if len(found.skipped) < MOST_NAMED else []
    else:
        found.documents += 1
        found.documents_failed += 1
        found.failed += [item] if len(found.failed) < MOST_NAMED else []
