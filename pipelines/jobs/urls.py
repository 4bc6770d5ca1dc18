"""Works on the URLs of projects: fetches one, and replaces its chunks as a whole if the page has changed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import structlog

from cluster.engine import Engine
from pipelines.fetch import NotModified, Page, Validators
from pipelines.jobs.embedding import Embedder
from pipelines.jobs.lane import Held, NotWanted, Outcome
from pipelines.jobs.patience import Patience
from pipelines.jobs.reading import DocumentReader, ReadDocument
from pipelines.jobs.settings import JobSettings
from pipelines.pages import PageFetcher, in_utf_8
from pipelines.url_chunks import MOST_CHUNKS, NewChunks, replace_chunks
from storage.catalog import StoredPage, UrlClaim, UrlRuns
from vectoray.core.errors import LimitExceeded, VectorayError
from vectoray.core.ingestion import Chunking
from vectoray.core.model import FloatMatrix
from vectoray.embedding import ModelInfo
from vectoray.embedding.model import model_of

_log = structlog.get_logger(__name__)

_BROKEN = "The server failed while working on this page; its log says why. Submit it again."


@dataclass(frozen=True, slots=True)
class UrlLane:
    """A `pipelines.jobs.lane.Lane` of URLs.

    Attributes:
        chunking: How pages are cut.
        models: Those that this server has.
        now: The clock by which the catalog's times are told.
    """

    runs: UrlRuns
    engine: Engine
    fetcher: PageFetcher
    reader: DocumentReader
    embedder: Embedder
    settings: JobSettings
    patience: Patience
    chunking: Chunking
    models: Sequence[ModelInfo]
    now: Callable[[], datetime]
    name: str = "urls"

    @property
    def most(self) -> int:
        """As `Lane.most`."""
        return self.settings.concurrent_urls

    async def run(self, claim: UrlClaim, held: Held) -> Outcome:
        """As `Lane.run`."""
        try:
            return await self._ingest(claim, held)
        except (NotWanted, asyncio.CancelledError):
            raise
        except VectorayError as error:
            return await self._fail(claim, error.message)
        except Exception:  # noqa: BLE001  (logged; one page must not end the others)
            _log.exception("url_broke", url_id=claim.url.id)
            return await self._fail(claim, _BROKEN)

    async def let_go(self, claim: UrlClaim, held: Held) -> None:  # noqa: ARG002  (of the protocol)
        """As `Lane.let_go`: chunks are replaced in one write, so there is nothing to undo."""
        await self.patience.of(lambda: self.runs.release(claim, self.now()))

    async def _ingest(self, claim: UrlClaim, held: Held) -> Outcome:
        model = model_of(claim.collection, self.models).name
        found = await self.fetcher.fetch(claim.url.url, _known(claim))
        if isinstance(found, NotModified):
            await self._say(lambda: self.runs.unchanged(claim, self.now()))
            return Outcome.UNCHANGED
        await self._say(lambda: self.runs.fetched(claim, self.now()))
        document = await self.reader.read(in_utf_8(found), found.media_type, self.chunking, model)
        count = len(document.chunks)
        if count > MOST_CHUNKS:
            raise LimitExceeded(f"The page has {count} chunks, at most {MOST_CHUNKS} are kept.")
        fingerprint = document.fingerprint(model)
        is_new = claim.document.fingerprint != fingerprint
        if is_new:
            vectors = await self._embed(model, document)
            await self._say(lambda: self.runs.embedded(claim, count, self.now()))
            chunks = NewChunks([piece.text for piece in document.chunks], vectors)
            await self.patience.of_write(
                lambda: replace_chunks(self.engine, claim.collection, claim.url.id, chunks), held
            )
        stored = _stored(found, count, fingerprint)
        await self._say(lambda: self.runs.stored(claim, stored, self.now()))
        return Outcome.STORED if is_new else Outcome.UNCHANGED

    async def _embed(self, model: str, document: ReadDocument) -> FloatMatrix:
        texts = [piece.embedded for piece in document.chunks]
        size = self.settings.batch_chunks
        parts = [
            await self.embedder.embed(model, texts[start : start + size])
            for start in range(0, len(texts), size)
        ]
        return np.concatenate(parts)

    async def _fail(self, claim: UrlClaim, reason: str) -> Outcome:
        _log.info("url_failed", url_id=claim.url.id, reason=reason)
        await self._say(lambda: self.runs.fail(claim, reason, self.now()))
        return Outcome.FAILED

    async def _say(self, change: Callable[[], Awaitable[bool]]) -> None:
        if not await self.patience.of(change):
            raise NotWanted


def _known(claim: UrlClaim) -> Validators | None:
    """What makes the fetch conditional: only if what is stored is of a known version of the page."""
    document = claim.document
    if document.fingerprint is None or document.fetched_url is None:
        return None
    if document.etag is None and document.last_modified is None:
        return None
    return Validators(document.fetched_url, document.etag, document.last_modified)


def _stored(page: Page, count: int, fingerprint: str) -> StoredPage:
    validators = page.validators
    return StoredPage(
        chunks=count,
        fingerprint=fingerprint,
        fetched_url=page.url,
        etag=None if validators is None else validators.etag,
        last_modified=None if validators is None else validators.last_modified,
    )
