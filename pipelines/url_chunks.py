"""The chunks of one URL, as points of its project's collection: how they are written, replaced and read.

A chunk's id comes from its URL and its place in it. Writing the same chunks again changes nothing, and a
reader who comes while a URL's chunks are replaced finds each place once, never both forms of it.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson

from cluster.engine import Engine
from vectoray.core.errors import LimitExceeded
from vectoray.core.filters import SourceIs
from vectoray.core.model import Collection, FloatMatrix, Hit, Point, PointBatch
from vectoray.core.vectors import stack_vectors

MOST_CHUNKS = 10_000
"""Of one URL: so many are read and written at a time."""

# Ids of chunks are UUIDs of version 5 (RFC 9562) below this namespace.
_NAMESPACE = uuid.UUID("0d2c8c5e-6d0b-5c43-9a1f-3f5b7e9a6c21")


@dataclass(frozen=True, slots=True)
class NewChunks:
    """A page's text in pieces.

    Attributes:
        contents: The pieces, in their order on the page.
        vectors: float32, shape (len(contents), dimension).
    """

    contents: Sequence[str]
    vectors: FloatMatrix


async def replace_chunks(engine: Engine, collection: Collection, url_id: str, chunks: NewChunks) -> None:
    """Make ``chunks`` all that there is of a URL, durably.

    Cut short, it leaves some old chunks among the new; done again, it comes to the same end.

    Raises:
        LimitExceeded: There are more than `MOST_CHUNKS`.
        DimensionMismatch, InvalidRequest: A vector cannot be one of the collection.
    """
    count = len(chunks.contents)
    if count > MOST_CHUNKS:
        raise LimitExceeded(
            f"The page has {count} chunks, at most {MOST_CHUNKS} are kept.", {"limit": MOST_CHUNKS}
        )
    ids = [chunk_id(url_id, index) for index in range(count)]
    vectors = stack_vectors(chunks.vectors, dimension=collection.dimension, metric=collection.metric)
    if count:
        await engine.write(
            collection,
            PointBatch(
                ids=ids,
                vectors=np.ascontiguousarray(vectors),
                payloads=[orjson.dumps({"url_id": url_id, "chunk_index": index}) for index in range(count)],
                texts=chunks.contents,
                sources=[url_id] * count,
                chunk_indexes=range(count),
            ),
        )
    left = {point.id for point in await read_chunks(engine, collection, url_id)}.difference(ids)
    if left:
        await engine.delete(collection, sorted(left))


async def read_chunks(engine: Engine, collection: Collection, url_id: str) -> list[Point]:
    """A URL's chunks, by their place in it."""
    # Twice as many as may be: while they are replaced, some of the old may be there besides the new.
    points, _ = await engine.page(collection, skip=0, limit=2 * MOST_CHUNKS, condition=SourceIs(url_id))
    return sorted(points, key=lambda point: (point.chunk_index or 0, point.id))


async def read_neighbours(
    engine: Engine, collection: Collection, chunk: Point, *, around: int
) -> list[Point]:
    """Up to ``around`` chunks on either side of a URL's chunk, by their place in it."""
    url_id, index = url_of(chunk), index_of(chunk)
    places = [place for place in range(max(0, index - around), index + around + 1) if place != index]
    found = await engine.get(collection, [chunk_id(url_id, place) for place in places])
    return [point for point in found if point is not None]


def chunk_id(url_id: str, index: int) -> str:
    """The id of a URL's chunk."""
    return str(uuid.uuid5(_NAMESPACE, f"{url_id}#{index}"))


def url_of(chunk: Hit | Point) -> str:
    """The id of the URL that a chunk is from."""
    return str(orjson.loads(chunk.payload)["url_id"])


def index_of(chunk: Hit | Point) -> int:
    """The place of a chunk in its URL, from 0."""
    return int(orjson.loads(chunk.payload)["chunk_index"])
