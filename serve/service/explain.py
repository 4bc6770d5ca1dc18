"""Gathers what is known of a document, in the catalog and in the engine, and searches for its own text."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson

from cluster.engine import Engine
from pipelines.stages import chunk_id
from pipelines.url_spelling import normalise
from serve.auth import Principal
from serve.service.explanation import Chunk, Explanation, Recall, Record, explain
from serve.service.ingestors import Ingestors
from serve.service.ownership import Address, find_collection
from serve.service.search import TextEmbedder
from storage.catalog import Catalog, Documents, Jobs
from vectoray.core.accounts import Scope
from vectoray.core.errors import InvalidRequest, LimitExceeded, Unavailable
from vectoray.core.filters import Eq, Or, SourceIs
from vectoray.core.ingestion import job_point_id
from vectoray.core.model import Collection, FloatVector, Point, SearchQuery
from vectoray.core.vectors import check_source, check_vector
from vectoray.embedding import ModelInfo
from vectoray.embedding.model import model_of

MOST_CHUNKS = 10_000
"""Of one document: beyond these, nothing is looked at."""

_MOST_RECORDS = 10
_READ_AT_ONCE = 500
_PROBED_AT_ONCE = 64
# Each costs an embedding and a search.
_ASKED_CHUNKS = 8
_FIRST_HITS = 10


@dataclass(frozen=True, slots=True)
class ExplainService:
    """Why documents are found, or not; see `serve.service.explanation.Explanation`.

    Attributes:
        models: Those that this server has.
    """

    catalog: Catalog
    engine: Engine
    jobs: Jobs
    documents: Documents
    ingestors: Ingestors
    embedder: TextEmbedder
    models: Sequence[ModelInfo]

    async def explain(
        self, caller: Principal, address: Address, source: str, uri: str | None = None
    ) -> list[Explanation]:
        """What is known of everything that is called ``source``, the newest first.

        A file that was uploaded twice is two documents. Of what nobody knows, one explanation says so.

        Args:
            caller: Who asks.
            address: Where the document should be.
            source: The id of a job, or what its vectors and jobs call it: the name of an uploaded file, the
                path of a file below the folder that was ingested, a URL.
            uri: Its URI, if that is known besides: ``file:///...`` of a file that `vectoray ingest` read.

        Raises:
            CollectionNotFound: There is no such collection that the caller may see.
            LimitExceeded: No source can be so long.
        """
        collection = await find_collection(self.catalog, caller, address, Scope.READ)
        check_source(source, where="source")
        if uri is not None:
            check_source(uri, where="uri")
        explained, known = [], set[str]()
        for record in await self._records(collection, source):
            ids = _ids_of(record)
            chunks = await self._read(collection, ids)
            known.update(ids)
            explained.append(await self._explain(collection, _name_of(record) or source, record, chunks))
        others = await self._unrecorded(collection, source, uri, known)
        if others or not explained:
            explained.append(await self._explain(collection, source, None, others))
        return explained

    async def _records(self, collection: Collection, source: str) -> list[Record]:
        owner = _uuid(source)
        if owner is None:
            jobs = await self.jobs.of_file(collection.id, source, limit=_MOST_RECORDS)
            ledger = await self.documents.of_source(collection.id, source)
        else:
            [job] = await self.jobs.find_each([owner])
            jobs = [] if job is None else [job]
            ledger = await self.documents.of_owner(owner)
        ledger = [row for row in ledger if row.collection_id == collection.id]
        by_owner = {row.owner_id: row for row in ledger}
        is_attended = await self.ingestors.alive()
        found = [
            Record(job, by_owner.pop(job.id, None), await self.jobs.worker_of(job.id), is_attended)
            for job in jobs
            if job.collection_id == collection.id
        ]
        return found + [Record(None, row) for row in list(by_owner.values())[:_MOST_RECORDS]]

    async def _explain(
        self, collection: Collection, source: str, record: Record | None, chunks: Sequence[Chunk]
    ) -> Explanation:
        recall = await self._recall(collection, chunks) if chunks else Recall()
        return explain(source, record, chunks, recall, shards=collection.shards)

    async def _read(self, collection: Collection, ids: Sequence[str]) -> list[Chunk]:
        found: list[Chunk] = []
        for start in range(0, len(ids), _READ_AT_ONCE):
            points = await self.engine.get(collection, ids[start : start + _READ_AT_ONCE])
            found += [_chunk(point, start + place) for place, point in enumerate(points) if point is not None]
        return found

    async def _unrecorded(
        self, collection: Collection, source: str, uri: str | None, known: set[str]
    ) -> list[Chunk]:
        """The chunks that are called so, or come from that URI, and are nobody's whom the catalog knows."""
        condition = Or((SourceIs(source), Eq(("source",), source)))
        points, _ = await self.engine.page(collection, skip=0, limit=MOST_CHUNKS, condition=condition)
        found = {point.id: _chunk(point, point.chunk_index) for point in points if point.id not in known}
        place = uri or _uri_of(source)
        start = 0
        while place is not None and start < MOST_CHUNKS:
            ids = [chunk_id(place, index) for index in range(start, start + _PROBED_AT_ONCE)]
            there = [
                _chunk(point, start + at)
                for at, point in enumerate(await self.engine.get(collection, ids))
                if point is not None
            ]
            if not there:
                break
            found.update((chunk.id, chunk) for chunk in there)
            start += _PROBED_AT_ONCE
        return sorted(found.values(), key=lambda chunk: (chunk.index or 0, chunk.id))

    async def _recall(self, collection: Collection, chunks: Sequence[Chunk]) -> Recall:
        """Search for the texts of some chunks, evenly spread over the document."""
        texts = [(chunk, chunk.text) for chunk in chunks if chunk.text and chunk.text.strip()]
        if not texts:
            return Recall(problem="Its chunks have no text to search for.")
        step = -(-len(texts) // _ASKED_CHUNKS)
        asked = texts[::step]
        try:
            model = model_of(collection, self.models).name
            vectors = await self.embedder.embed(model, [text for _, text in asked])
            hits = await asyncio.gather(*(self._hits(collection, vector) for vector in vectors))
        except (InvalidRequest, Unavailable) as error:
            return Recall(problem=f"It could not be searched for: {error.message}")
        missed = [chunk for (chunk, _), ids in zip(asked, hits, strict=True) if chunk.id not in ids]
        return Recall(len(asked), missed)

    async def _hits(self, collection: Collection, vector: FloatVector) -> set[str]:
        checked = check_vector(
            vector, dimension=collection.dimension, metric=collection.metric, where="vector"
        )
        found = await self.engine.search(collection, SearchQuery(vector=checked, top_k=_FIRST_HITS))
        return {hit.id for hit in found.hits}


def _ids_of(record: Record) -> list[str]:
    job, document = record.job, record.document
    if job is not None:
        count = max(job.extent, job.progress.total_chunks)
        return [job_point_id(job.id, index) for index in range(min(count, MOST_CHUNKS))]
    if document is None:
        return []
    return [chunk_id(document.uri, index) for index in range(min(document.chunks, MOST_CHUNKS))]


def _name_of(record: Record) -> str | None:
    if record.job is not None:
        return record.job.upload.file_name
    return record.document.source if record.document is not None else None


def _chunk(point: Point, index: int | None) -> Chunk:
    if index is None:
        # The command line keeps the place in the payload.
        told = orjson.loads(point.payload).get("chunk_index")
        index = told if isinstance(told, int) else None
    return Chunk(point.id, index, point.text, point.seq, point.updated_ms)


def _uri_of(source: str) -> str | None:
    """The URI of a document that is called by it."""
    try:
        return normalise(source, where="source")
    except (InvalidRequest, LimitExceeded):
        return source if "://" in source else None


def _uuid(told: str) -> str | None:
    try:
        return str(UUID(told))
    except ValueError:
        return None
