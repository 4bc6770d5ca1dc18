"""What a document becomes: chunks with ids and payloads, as they are stored. Knows no store and no Ray."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Protocol

import orjson

from pipelines.chunk import Chunk, chunk
from pipelines.parse import MediaType, ParsedDocument, ParseError, media_type_of
from pipelines.settings import PipelineSettings
from pipelines.sources.document import NO_FORMAT, PageDocument, Readable, TextDocument
from vectoray.embedding import TokenCounter

# Ids of chunks are UUIDs of version 5 (RFC 9562) below this namespace: the same file and place, the same id.
_NAMESPACE = uuid.UUID("6f0f3f0e-31f5-5d4c-9f6e-8b3c1f0a7d42")


class Parse(Protocol):
    """Parses a document, as `pipelines.parse.isolated.IsolatedParser.parse`."""

    def __call__(self, data: bytes, *, media_type: MediaType) -> ParsedDocument:
        """Parse it."""


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
    document: Readable | PageDocument | TextDocument,
    settings: PipelineSettings,
    *,
    parse: Parse,
    tokens: TokenCounter | None = None,
) -> list[StoredChunk]:
    """A document's chunks, at least one; the same document always gives the same.

    Args:
        document: What to read.
        settings: Sizes and limits.
        parse: Parses what is no text yet.
        tokens: Counts the tokens that the collection's model reads.

    Raises:
        InvalidRequest: It cannot be read, or has no text.
        Unavailable: Where it is fails.
    """
    metadata = b"{}"
    if isinstance(document, TextDocument):
        parsed, metadata = document.parsed(), document.metadata
    elif isinstance(document, PageDocument):
        parsed = parse(document.data, media_type=document.media_type)
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
