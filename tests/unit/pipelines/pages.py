"""A fetcher of pages in memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pipelines.fetch import FetchError, NotModified, Page, Validators
from pipelines.fetch.page import FetchFailure, RobotsVerdict


@dataclass(frozen=True)
class SomePages:
    """Media types and bodies by URL; other pages are not found."""

    bodies: Mapping[str, tuple[str, bytes]]

    async def fetch(self, url: str, known: Validators | None = None) -> Page | NotModified:
        if url not in self.bodies:
            raise FetchError.of(FetchFailure.NOT_FOUND, "Page not found (404).")
        media_type, body = self.bodies[url]
        return Page(
            asked=url,
            url=url,
            status=200,
            media_type=media_type,
            charset="utf-8",
            body=body,
            validators=None,
            fetched_at=datetime.now(UTC),
            robots=RobotsVerdict.NO_RULES,
        )
