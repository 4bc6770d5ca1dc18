"""Runs ingestion jobs: one uploaded file to the points of its chunks, and all of them or none."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
import structlog

from cluster.engine import Engine
from pipelines.chunk import Chunk
from pipelines.jobs.embedding import Embedder
from pipelines.jobs.lane import Held, NotWanted, Outcome
from pipelines.jobs.metrics import CHUNKS
from pipelines.jobs.patience import Patience
from pipelines.jobs.reading import DocumentReader, ReadDocument, media_type_of_upload
from pipelines.jobs.settings import JobSettings
from storage.blobs import Blobs
from storage.catalog import Catalog, JobClaim, JobRuns
from vectoray.core.errors import InvalidRequest, VectorayError
from vectoray.core.ingestion import UNFINISHED, Job, JobProgress, Upload, job_point_id
from vectoray.core.model import Collection, FloatMatrix, PointBatch
from vectoray.core.vectors import stack_vectors
from vectoray.embedding import ModelInfo
from vectoray.embedding.model import model_of

_log = structlog.get_logger(__name__)

_TELL_EVERY_S = 1.0
_REMOVED_AT_ONCE = 1000
_BROKEN = "The server failed while ingesting this document; its log says why. Retry it."


@dataclass(frozen=True, slots=True)
class _Work:
    """A document on its way."""

    claim: JobClaim
    held: Held
    collection: Collection
    model: str
    document: ReadDocument


@dataclass(frozen=True, slots=True)
class UploadLane:
    """A `pipelines.jobs.lane.Lane` of ingestion jobs.

    Attributes:
        models: Those that this server has.
        max_file_bytes: A larger file fails.
        now: The clock by which the catalog's times are told.
    """

    runs: JobRuns
    catalog: Catalog
    engine: Engine
    blobs: Blobs
    reader: DocumentReader
    embedder: Embedder
    settings: JobSettings
    patience: Patience
    models: Sequence[ModelInfo]
    max_file_bytes: int
    now: Callable[[], datetime]
    name: str = "uploads"

    @property
    def most(self) -> int:
        """As `Lane.most`."""
        return self.settings.concurrent_uploads

    async def run(self, claim: JobClaim, held: Held) -> Outcome:
        """As `Lane.run`."""
        if claim.job.status not in UNFINISHED:
            raise NotWanted
        try:
            return await self._ingest(claim, held)
        except (NotWanted, asyncio.CancelledError):
            raise
        except VectorayError as error:
            return await self._fail(claim, error.message)
        except Exception:  # noqa: BLE001  (logged; one document must not end the others)
            _log.exception("job_broke", job_id=claim.job.id)
            return await self._fail(claim, _BROKEN)

    async def let_go(self, claim: JobClaim, held: Held) -> None:
        """As `Lane.let_go`: what a run has written that is not wanted any more is removed."""
        job = await self.patience.of(lambda: self.runs.to_clean(claim))
        if job is None:
            await self.patience.of(lambda: self.runs.release(claim, self.now()))
            return
        collection = await self.patience.of(lambda: self.catalog.by_id(job.collection_id))
        if collection is not None:
            await self._remove(collection, job, range(job.extent), held)
            await self.patience.of(lambda: self.runs.release(claim, self.now(), removed=True))
            _log.info("job_cleaned_up", job_id=job.id, status=job.status.value)

    async def _fail(self, claim: JobClaim, reason: str) -> Outcome:
        _log.info("job_failed", job_id=claim.job.id, reason=reason)
        if not await self.patience.of(lambda: self.runs.fail(claim, reason, self.now())):
            raise NotWanted
        return Outcome.FAILED

    async def _ingest(self, claim: JobClaim, held: Held) -> Outcome:
        job = claim.job
        collection = await self.patience.of(lambda: self.catalog.by_id(job.collection_id))
        if collection is None:
            raise NotWanted
        model = model_of(collection, self.models).name
        data = await self.patience.of(lambda: asyncio.to_thread(self._read_file, job.upload))
        media_type = media_type_of_upload(job.upload.file_type)
        document = await self.reader.read(data, media_type, job.chunking, model)
        del data
        fingerprint, total = document.fingerprint(model), len(document.chunks)
        # What an earlier try has stored of the same chunks is there.
        done = job.progress.processed_chunks if claim.document.fingerprint == fingerprint else 0
        await self._tell(claim, JobProgress(total, done), fingerprint)
        work = _Work(claim, held, collection, model, document)
        await self._store(work, done)
        if job.extent > total:
            await self._remove(collection, job, range(total, job.extent), held)
        if not await self.patience.of(lambda: self.runs.finish(claim, JobProgress(total, total), self.now())):
            raise NotWanted
        return Outcome.STORED

    async def _store(self, work: _Work, done: int) -> None:
        """Embed and write the chunks from ``done`` on."""
        total, told_s = len(work.document.chunks), time.monotonic()
        while done < total:
            pieces = work.document.chunks[done : done + self.settings.batch_chunks]
            vectors = await self.embedder.embed(work.model, [piece.embedded for piece in pieces])
            await self._write(work, pieces, vectors)
            done += len(pieces)
            if done < total and time.monotonic() - told_s >= _TELL_EVERY_S:
                await self._tell(work.claim, JobProgress(total, done))
                told_s = time.monotonic()

    async def _write(self, work: _Work, pieces: Sequence[Chunk], vectors: FloatMatrix) -> None:
        collection = work.collection
        fitting = stack_vectors(vectors, dimension=collection.dimension, metric=collection.metric)
        batch = _points(work.claim.job, work.document.title, pieces, fitting)
        await self.patience.of_write(lambda: self.engine.write(collection, batch), work.held)
        CHUNKS.observe(len(pieces))

    async def _tell(self, claim: JobClaim, progress: JobProgress, fingerprint: str | None = None) -> None:
        if not await self.patience.of(
            lambda: self.runs.progress(claim, progress, self.now(), fingerprint=fingerprint)
        ):
            raise NotWanted

    async def _remove(self, collection: Collection, job: Job, indexes: range, held: Held) -> None:
        for start in range(indexes.start, indexes.stop, _REMOVED_AT_ONCE):
            some = range(start, min(start + _REMOVED_AT_ONCE, indexes.stop))
            await self._delete(collection, [job_point_id(job.id, index) for index in some], held)

    async def _delete(self, collection: Collection, ids: Sequence[str], held: Held) -> None:
        await self.patience.of_write(lambda: self.engine.delete(collection, ids), held)

    def _read_file(self, upload: Upload) -> bytes:
        if upload.size_bytes > self.max_file_bytes:
            raise InvalidRequest(f"The file is larger than {self.max_file_bytes} bytes; split it.")
        try:
            return b"".join(self.blobs.read(upload.id))
        except FileNotFoundError:
            raise InvalidRequest("The uploaded file is not there any more; upload it again.") from None


def _points(job: Job, title: str | None, pieces: Sequence[Chunk], vectors: FloatMatrix) -> PointBatch:
    return PointBatch(
        ids=[job_point_id(job.id, piece.index) for piece in pieces],
        vectors=vectors,
        payloads=[_payload(job.upload.file_name, title, piece) for piece in pieces],
        texts=[piece.text for piece in pieces],
        sources=[job.upload.file_name] * len(pieces),
        chunk_indexes=[piece.index for piece in pieces],
    )


def _payload(file_name: str, title: str | None, piece: Chunk) -> bytes:
    """What is said of a chunk beside its text, file name and place, for which points have columns."""
    payload: dict[str, object] = {"title": title or file_name}
    if piece.page is not None:
        payload["page"] = piece.page
    if piece.headings:
        payload["headings"] = list(piece.headings)
    return orjson.dumps(payload)
