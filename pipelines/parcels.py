"""The stages between reading and the shards: pure functions over parcels of chunks. Knows no Ray.

A parcel is a list of parts of documents, about as many chunks as are embedded at a time, and of what could
not be read. What a stage makes of a parcel is one parcel, so a stage may be repeated at any time. Nothing
here raises because of a document: a part that fails carries the reason, and the others go on.
"""

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from pipelines.settings import PipelineSettings
from pipelines.sources import Document, Unread, WebDocument
from pipelines.stages import Parse, StoredChunk, chunk_id, read_document
from vectoray.core.errors import InvalidRequest, VectorayError
from vectoray.core.model import Collection, FloatMatrix, Point, PointBatch
from vectoray.embedding import TokenCounter

_PROBE_CHUNKS = 32


class ChunkStore(Protocol):
    """What the stages need of an engine."""

    def get(self, collection: Collection, ids: Sequence[str]) -> list[Point | None]:
        """The stored points, None where there is none."""

    def upsert(self, collection: Collection, batch: PointBatch) -> int:
        """Write points durably."""

    def delete(self, collection: Collection, ids: Sequence[str]) -> list[str]:
        """Delete points durably; returns those that existed."""


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive chunks of a document: all of them, but for long documents.

    Attributes:
        uri: Of the document.
        source: What people see.
        number: Which part this is, from 0.
        parts: How many the document has.
        end: The place in the document behind the part's last chunk.
        chunks: Those that are to be embedded and stored; none once they are.
        vectors: float32, shape (len(chunks), dimension), once they are embedded.
        obsolete: Ids of chunks of an earlier, longer form of the document, which are to be removed.
        unchanged: How many chunks are stored as they should be.
        written: How many were stored.
        removed: How many were removed.
        reason: Why the part failed, or empty.
    """

    uri: str
    source: str
    number: int
    parts: int
    end: int
    chunks: Sequence[StoredChunk]
    vectors: FloatMatrix | None = None
    obsolete: Sequence[str] = ()
    unchanged: int = 0
    written: int = 0
    removed: int = 0
    reason: str = ""

    @property
    def is_last(self) -> bool:
        """Whether the document ends with it."""
        return self.number == self.parts - 1

    def failed(self, reason: str) -> "Part":
        """The part, with nothing more to do."""
        return replace(self, chunks=(), vectors=None, obsolete=(), reason=reason)


Parcel = list[Part | Unread]


def encode(items: object) -> bytes:
    """A parcel, or a list of documents, as bytes that travel between workers of ours."""
    return pickle.dumps(items, protocol=5)


def decode(data: bytes) -> Any:
    """What `encode` made."""
    return pickle.loads(data)  # noqa: S301  (of our own workers)


def read(
    items: Iterable[Document | Unread],
    settings: PipelineSettings,
    *,
    parse: Parse,
    tokens: TokenCounter | None = None,
    on_read: Callable[[int], None] = lambda _: None,
) -> Iterator[Parcel]:
    """Parse and cut documents, and pack their chunks.

    The same documents give the same parcels, whatever is stored: Ray continues a task that was cut short
    behind the parcels that it had made.

    Args:
        items: Documents; what is `Unread` is passed on.
        settings: Sizes and limits.
        parse: Parses what is no text yet.
        tokens: Counts the tokens that the collection's model reads.
        on_read: Told of each document that was read, by the number of its chunks.
    """
    most = settings.embed_batch_rows
    parcel: Parcel = []
    held = 0
    for item in items:
        if isinstance(item, Unread):
            parcel.append(item)
            continue
        if isinstance(item, WebDocument):
            parcel.append(Unread(item.source, "The page was not fetched."))
            continue
        try:
            chunks = read_document(item, settings, parse=parse, tokens=tokens)
        except VectorayError as error:
            parcel.append(Unread(item.source, error.message))
            continue
        on_read(len(chunks))
        for part in _parts(item.uri, item.source, chunks, most):
            if parcel and held + len(part.chunks) > most:
                yield parcel
                parcel, held = [], 0
            parcel.append(part)
            held += len(part.chunks)
    if parcel:
        yield parcel


def _parts(uri: str, source: str, chunks: Sequence[StoredChunk], most: int) -> Iterator[Part]:
    parts = -(-len(chunks) // most)
    for number in range(parts):
        some = chunks[number * most : (number + 1) * most]
        yield Part(uri, source, number, parts, number * most + len(some), some)


def compare(parcel: Parcel, collection: Collection, store: ChunkStore) -> Parcel:
    """Leave out chunks that are stored as they should be; find those that are to be removed."""
    return [
        *(item for item in parcel if isinstance(item, Unread)),
        *_each_or_none(_parts_in(parcel), lambda parts: _compared(parts, collection, store)),
    ]


def _compared(parts: Sequence[Part], collection: Collection, store: ChunkStore) -> list[Part]:
    ids = [piece.id for part in parts for piece in part.chunks]
    beyond = [chunk_id(part.uri, part.end + at) for part in parts if part.is_last for at in _probe()]
    found = iter(store.get(collection, ids + beyond))
    stored = [[next(found) for _ in part.chunks] for part in parts]
    left = [[point.id for _ in _probe() if (point := next(found))] if part.is_last else [] for part in parts]
    compared = []
    for part, points, beyond_it in zip(parts, stored, left, strict=True):
        changed = [
            piece for piece, point in zip(part.chunks, points, strict=True) if not _is_stored(piece, point)
        ]
        obsolete = list(beyond_it)
        if obsolete:
            obsolete += _beyond(part.end + _PROBE_CHUNKS, part.uri, collection, store)
        unchanged = len(part.chunks) - len(changed)
        compared.append(replace(part, chunks=changed, obsolete=obsolete, unchanged=unchanged))
    return compared


def _is_stored(piece: StoredChunk, point: Point | None) -> bool:
    return point is not None and point.text == piece.text and point.payload == piece.payload


def _probe() -> range:
    return range(_PROBE_CHUNKS)


def _beyond(start: int, uri: str, collection: Collection, store: ChunkStore) -> Iterator[str]:
    """Ids of chunks that an earlier, longer form of the document left behind."""
    while True:
        ids = [chunk_id(uri, start + at) for at in _probe()]
        found = [point.id for point in store.get(collection, ids) if point is not None]
        if not found:
            return
        yield from found
        start += _PROBE_CHUNKS


def embed(parcel: Parcel, model: Callable[[Sequence[str]], FloatMatrix]) -> Parcel:
    """Give each part its vectors.

    Args:
        parcel: Compared.
        model: float32 vectors of texts, shape (n, dimension); raises a `VectorayError`.
    """

    def embedded(parts: Sequence[Part]) -> list[Part]:
        vectors = model([piece.embedded for part in parts for piece in part.chunks])
        ends = np.cumsum([len(part.chunks) for part in parts])
        return [
            replace(part, vectors=vectors[end - len(part.chunks) : end])
            for part, end in zip(parts, ends, strict=True)
        ]

    parts = _parts_in(parcel)
    waiting = [part for part in parts if part.chunks]
    return [
        *(item for item in parcel if isinstance(item, Unread)),
        *(part for part in parts if not part.chunks),
        *_each_or_none(waiting, embedded),
    ]


def store(parcel: Parcel, collection: Collection, engine: ChunkStore) -> Parcel:
    """Write what is embedded and remove what is obsolete, durably."""

    def stored(parts: Sequence[Part]) -> list[Part]:
        _write(parts, collection, engine)
        return [
            replace(
                part,
                chunks=(),
                vectors=None,
                obsolete=(),
                written=len(part.chunks),
                removed=_remove(part.obsolete, collection, engine),
            )
            for part in parts
        ]

    parts = _parts_in(parcel)
    return [
        *(item for item in parcel if isinstance(item, Unread)),
        *(part for part in parts if part.reason),
        *_each_or_none([part for part in parts if not part.reason], stored),
    ]


def _write(parts: Sequence[Part], collection: Collection, engine: ChunkStore) -> None:
    vectors = [part.vectors for part in parts if part.vectors is not None]
    if not vectors:
        return
    chunks = [piece for part in parts for piece in part.chunks]
    engine.upsert(
        collection,
        PointBatch(
            ids=[piece.id for piece in chunks],
            vectors=np.ascontiguousarray(np.concatenate(vectors)),
            payloads=[piece.payload for piece in chunks],
            texts=[piece.text for piece in chunks],
        ),
    )


def _remove(ids: Sequence[str], collection: Collection, engine: ChunkStore) -> int:
    # From the end, and no more at a time than `_beyond` looks at: if this is cut short, what is left has no
    # gap that the next run would take for the end.
    for start in reversed(range(0, len(ids), _PROBE_CHUNKS)):
        engine.delete(collection, ids[start : start + _PROBE_CHUNKS])
    return len(ids)


def _each_or_none(parts: Sequence[Part], stage: Callable[[Sequence[Part]], list[Part]]) -> list[Part]:
    """A stage of all parts at once; if they are refused, of each alone, to find those that are to blame."""
    if not parts:
        return []
    try:
        return stage(parts)
    except InvalidRequest as error:
        if len(parts) == 1:
            return [parts[0].failed(error.message)]
        return [done for part in parts for done in _each_or_none([part], stage)]
    except VectorayError as error:
        return [part.failed(error.message) for part in parts]


def _parts_in(parcel: Parcel) -> list[Part]:
    return [item for item in parcel if isinstance(item, Part)]
