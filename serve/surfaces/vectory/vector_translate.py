"""Between the Vectory API's wire models and points. Pure functions."""

from datetime import UTC, datetime
from uuid import UUID

import numpy as np

from serve.answer import stored_json
from serve.point_columns import encode_object
from serve.service.points import PointChange, PointPage, Unchanged
from serve.surfaces.vectory import vector_wire as wire
from vectoray.core.model import Point


def vectors_created(body: wire.NewVectors) -> wire.VectorCreated | list[wire.VectorCreated]:
    """What was inserted, in the form in which it was sent."""
    created = [wire.VectorCreated(id=point_id) for point_id in body.vectors.ids]
    return created if body.is_array else created[0]


def point_change(body: wire.UpdateVector) -> PointChange:
    """What to change of a point.

    Raises:
        InvalidRequest: The metadata is nested too deeply.
    """
    unchanged = Unchanged.UNCHANGED
    metadata = body.metadata
    return PointChange(
        vector=unchanged if body.vector is None else body.vector,
        payload=unchanged if metadata is None else encode_object(metadata, where="metadata"),
        text=unchanged if body.text_content is None else body.text_content,
    )


def vector_page(page: PointPage) -> dict[str, object]:
    """A `wire.VectorPage`, its metadata still in bytes."""
    items = [_item(page.collection.id, point) for point in page.points]
    return {"items": items, "total": page.total}


def stored_vector(collection_id: str, point: Point) -> dict[str, object]:
    """A `wire.StoredVector`, its metadata still in bytes."""
    return {**_item(collection_id, point), "vector": np.ascontiguousarray(point.vector)}


def canonical(collection_id: str) -> str:
    """The UUID of a collection that was found, as answers write it."""
    return str(UUID(collection_id))


def _item(collection_id: str, point: Point) -> dict[str, object]:
    return {
        "id": point.id,
        "collection_id": collection_id,
        "metadata": stored_json(point.payload),
        "text_content": point.text,
        "source_file": point.source,
        "chunk_index": point.chunk_index,
        "created_at": _time(point.created_ms),
    }


def _time(unix_ms: int) -> str:
    time = datetime.fromtimestamp(unix_ms / 1000, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
