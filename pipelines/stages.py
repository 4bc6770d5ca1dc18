"""What happens to a document on its way to the shards: pure functions over rows and an engine. Knows no Ray.

A row is one of four kinds: a ``write`` carries a chunk to embed and store, a ``remove`` an id to delete, an
``unchanged`` a number of chunks that are stored already, a ``failed`` a reason. Nothing here raises because
of a document: its error travels as a row and the others go on.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Protocol

import numpy as np
import orjson

from pipelines.chunk import Chunk, chunk
from pipelines.parse import MediaType, ParsedDocument, ParseError, media_type_of
from pipelines.settings import PipelineSettings
from pipelines.sources.document import NO_FORMAT, Readable, TextDocument
from vectoray.core.errors import InvalidRequest, Unavailable
from vectoray.core.model import Collection, FloatMatrix, Point, PointBatch
from vectoray.embedding import TokenCounter

WRITE, REMOVE, UNCHANGED, FAILED = "write", "remove", "unchanged", "failed"

# Ids of chunks are UUIDs of version 5 (RFC 9562) below this namespace: the same file and place, the same id.
_NAMESPACE = uuid.UUID("6f0f3f0e-31f5-5d4c-9f6e-8b3c1f0a7d42")
_PROBE_ROWS = 64

Row = dict[str, Any]


class Parse(Protocol):
    """Parses a document, as `pipelines.parse.isolated.IsolatedParser.parse`."""

    def __call__(self, data: bytes, *, media_type: MediaType) -> ParsedDocument:
        """Parse it."""


class ChunkStore(Protocol):
    """What the stages need of an engine."""

    def get(self, collection: Collection, ids: Sequence[str]) -> list[Point | None]:
        """The stored points, None where there is none."""

    def upsert(self, collection: Collection, batch: PointBatch) -> int:
        """Write points durably."""

    def delete(self, collection: Collection, ids: Sequence[str]) -> list[str]:
        """Delete points durably; returns those that existed."""


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk before it is embedded.

    Attributes:
        text: What is stored and found by full text.
        embedded: What the model reads: the headings above the text say what it is about.
        payload: A JSON object.
    """

    id: str
    text: str
    embedded: str
    payload: bytes


def chunk_id(uri: str, index: int) -> str:
    """The id of a document's chunk."""
    return str(uuid.uuid5(_NAMESPACE, f"{uri}#{index}"))


def chunks_of(
    uri: str, source: str, title: str | None, chunks: Sequence[Chunk], *, metadata: bytes = b"{}"
) -> list[StoredChunk]:
    """A document's chunks with their ids and payloads; ``metadata`` is a JSON object that each has."""
    return [
        StoredChunk(
            id=chunk_id(uri, piece.index),
            text=piece.text,
            embedded=piece.embedded,
            payload=orjson.dumps(_payload(source, title, piece, metadata)),
        )
        for piece in chunks
    ]


def _payload(source: str, title: str | None, piece: Chunk, metadata: bytes) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "title": title or source,
        "content": piece.text,
        "source": source,
        "chunk_index": piece.index,
        "start_char": piece.start,
        "end_char": piece.end,
    }
    if piece.page is not None:
        payload["page"] = piece.page
    if piece.headings:
        payload["headings"] = list(piece.headings)
    if metadata != b"{}":
        payload["metadata"] = orjson.Fragment(metadata)
    return payload


def read_document(
    document: Readable | TextDocument,
    collection: Collection,
    store: ChunkStore,
    settings: PipelineSettings,
    *,
    parse: Parse,
    tokens: TokenCounter | None = None,
) -> Iterator[Row]:
    """A document's rows: what must be written or removed so that the collection holds what the file says.

    Args:
        document: What to read.
        collection: Where its chunks are stored.
        store: Answers which chunks are stored already.
        settings: Sizes and limits.
        parse: Parses what is no text yet.
        tokens: Counts the tokens that the collection's model reads.
    """
    try:
        chunks = _read_chunks(document, settings, parse, tokens)
    except (InvalidRequest, Unavailable) as error:
        yield _row(FAILED, source=document.source, reason=error.message)
    else:
        yield from _changes(chunks, document.uri, document.source, collection, store)


def _read_chunks(
    document: Readable | TextDocument, settings: PipelineSettings, parse: Parse, tokens: TokenCounter | None
) -> list[StoredChunk]:
    metadata = b"{}"
    if isinstance(document, TextDocument):
        parsed, metadata = document.parsed(), document.metadata
    else:
        parsed = _parsed(document, settings, parse)
    pieces = chunk(parsed, settings.chunking.chunking(), tokens=tokens)
    if not pieces:
        raise ParseError("The document has no text.")
    return chunks_of(document.uri, document.source, parsed.title, pieces, metadata=metadata)


def _parsed(document: Readable, settings: PipelineSettings, parse: Parse) -> ParsedDocument:
    media_type = media_type_of(PurePosixPath(document.source))
    if media_type is None:
        raise ParseError(NO_FORMAT)
    data = document.read(max_bytes=settings.max_file_bytes)
    return parse(data, media_type=media_type)


def _changes(
    chunks: Sequence[StoredChunk], uri: str, source: str, collection: Collection, store: ChunkStore
) -> Iterator[Row]:
    stored = store.get(collection, [piece.id for piece in chunks])
    unchanged = 0
    for piece, point in zip(chunks, stored, strict=True):
        if point is not None and point.text == piece.text and point.payload == piece.payload:
            unchanged += 1
        else:
            yield _row(
                WRITE,
                source=source,
                id=piece.id,
                text=piece.text,
                embedded=piece.embedded,
                payload=piece.payload,
            )
    # Always one, so that a document shows up in the report however little of it changed.
    yield _row(UNCHANGED, source=source, count=unchanged)
    for point_id in _beyond(len(chunks), uri, collection, store):
        yield _row(REMOVE, source=source, id=point_id)


def _beyond(count: int, uri: str, collection: Collection, store: ChunkStore) -> Iterator[str]:
    """Ids of chunks that an earlier, longer form of the document left behind."""
    start = count
    while True:
        ids = [chunk_id(uri, index) for index in range(start, start + _PROBE_ROWS)]
        found = [point.id for point in store.get(collection, ids) if point is not None]
        if not found:
            return
        yield from found
        start += _PROBE_ROWS


def _row(
    kind: str,
    *,
    source: str,
    id: str = "",  # noqa: A002
    text: str = "",
    embedded: str = "",
    payload: bytes = b"{}",
    count: int = 0,
    reason: str = "",
) -> Row:
    return {
        "kind": kind,
        "source": source,
        "id": id,
        "text": text,
        "embedded": embedded,
        "payload": payload,
        "count": count,
        "reason": reason,
    }


def store_rows(rows: Sequence[Row], vectors: FloatMatrix, collection: Collection, store: ChunkStore) -> None:
    """Write and remove what the rows say.

    Args:
        rows: Any kinds of rows.
        vectors: float32, shape (len(rows), dimension); those of ``write`` rows are stored.
        collection: Where to.
        store: The engine.
    """
    writes = [at for at, row in enumerate(rows) if row["kind"] == WRITE]
    if writes:
        store.upsert(
            collection,
            PointBatch(
                ids=[rows[at]["id"] for at in writes],
                vectors=np.ascontiguousarray(vectors[writes]),
                payloads=[rows[at]["payload"] for at in writes],
                texts=[rows[at]["text"] for at in writes],
            ),
        )
    removed = [row["id"] for row in rows if row["kind"] == REMOVE]
    if removed:
        store.delete(collection, removed)
