"""A collection with all its vectors as one JSON document, written a few vectors at a time."""

import asyncio
from collections.abc import AsyncIterator

import orjson

from serve.answer import encode_json
from serve.service.points import PointExport
from serve.surfaces.vectory.collection_translate import collection_info
from serve.surfaces.vectory.vector_translate import stored_vector

# Numbers of vectors that are written at once: in about two milliseconds, during which nobody else is served.
_NUMBERS = 32 * 1024


async def export_document(export: PointExport) -> AsyncIterator[bytes]:
    """The document in pieces: the fields of a `CollectionInfo`, and ``vectors``.

    Where a batch cannot be read this raises, and the document stays without its end: no reader can take what
    it has for the whole.
    """
    collection = export.view.collection
    step = max(1, _NUMBERS // collection.dimension)
    fields = orjson.dumps(collection_info(export.view).model_dump(mode="json"))
    yield fields.removesuffix(b"}") + b',"vectors":['
    separator = b""
    async for points in export.batches:
        for start in range(0, len(points), step):
            piece = encode_json([stored_vector(collection.id, one) for one in points[start : start + step]])
            yield separator + piece[1:-1]
            separator = b","
            await asyncio.sleep(0)
    yield b"]}"
