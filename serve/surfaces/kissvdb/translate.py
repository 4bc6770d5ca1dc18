"""Between the kiss-vdb API's wire models and core values. Pure functions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import numpy as np
from starlette.responses import Response

from serve.answer import stored_json
from serve.payload_field import Payload
from serve.service.collections import CollectionView, NewCollection
from serve.service.health import Health
from serve.service.points import NewPoints, PointChange, Unchanged
from serve.service.search import SearchAnswer, SearchRequest
from serve.surfaces.kissvdb import wire
from serve.surfaces.kissvdb.batches import Batch
from serve.surfaces.kissvdb.errors import envelope
from vectoray.core.errors import InvalidRequest, VectorayError
from vectoray.core.filters import And, Eq, Filter
from vectoray.core.model import EMPTY_PAYLOAD, Collection, Hit, Metric, Point

_METRICS: dict[Literal["cosine", "dot"], Metric] = {"cosine": Metric.COSINE, "dot": Metric.DOT}
_METRIC_NAMES: dict[Metric, Literal["cosine", "dot", "euclidean"]] = {
    Metric.COSINE: "cosine",
    Metric.DOT: "dot",
    Metric.EUCLIDEAN: "euclidean",
}
# Each value is a condition, and each vector compared may be asked every one of them.
_MAX_FILTER_VALUES = 1000
_PROMETHEUS_TYPE = "text/plain; version=0.0.4"
_UNCHANGED = Unchanged.UNCHANGED


def health_info(health: Health) -> wire.HealthInfo:
    """The health of the server."""
    return wire.HealthInfo(
        status="degraded" if health.unavailable else "ok",
        version=health.version,
        uptime_s=health.uptime_s,
        collections=health.collections,
        vectors=health.points,
    )


def metrics(health: Health) -> Response:
    """The figures of `health_info` in the text format of Prometheus, version 0.0.4."""
    gauges = (
        ("uptime_seconds", "Seconds since the gateway that answers was started.", health.uptime_s),
        ("collections", "Collections of the caller.", health.collections),
        ("collections_unavailable", "Of these, ones with a shard that does not answer.", health.unavailable),
        ("vectors", "Vectors in those that answer.", health.points),
    )
    text = "".join(
        f"# HELP vectoray_{name} {meaning}\n# TYPE vectoray_{name} gauge\nvectoray_{name} {value}\n"
        for name, meaning, value in gauges
    )
    return Response(text, media_type=_PROMETHEUS_TYPE)


def new_collection(name: str, body: wire.CreateCollection) -> NewCollection:
    """A collection to create."""
    return NewCollection(name=name, dimension=body.dim, metric=_METRICS[body.metric])


def collection_created(collection: Collection, body: wire.CreateCollection) -> wire.CollectionCreated:
    """A new collection."""
    return wire.CollectionCreated(collection=collection.name, dim=collection.dimension, metric=body.metric)


def collection_info(view: CollectionView) -> wire.CollectionInfo:
    """A collection whose shards have answered."""
    collection = view.collection
    return wire.CollectionInfo(
        collection=collection.name,
        dim=collection.dimension,
        metric=_METRIC_NAMES[collection.metric],
        count=view.points or 0,
        created_at_ms=_ms(collection.created_at),
        updated_at_ms=_ms(view.updated_at),
    )


def collection_list(views: Sequence[CollectionView]) -> wire.CollectionList:
    """Collections."""
    return wire.CollectionList(collections=[_row(view) for view in views])


def new_point(body: wire.Item) -> NewPoints:
    """A vector to write, as columns of one row."""
    meta = body.meta or Payload(EMPTY_PAYLOAD, None)
    return NewPoints([body.id], body.vector[None], [meta.document], [meta.text], where="")


def point_change(body: wire.Update) -> PointChange:
    """What becomes of a vector."""
    return PointChange(
        vector=_UNCHANGED if body.vector is None else body.vector,
        payload=_UNCHANGED if body.meta is None else body.meta.document,
        text=_UNCHANGED if body.meta is None else body.meta.text,
    )


def batch_results(
    batch: Batch[Any], outcomes: Sequence[VectorayError | None], status: Literal["upserted", "deleted"]
) -> dict[str, object]:
    """A `wire.BatchResults`: ``outcomes`` are those of the items that could be read."""
    coming = iter(outcomes)
    results: list[dict[str, object]] = []
    for at, point_id in enumerate(batch.ids):
        error = batch.faults[at] if at in batch.faults else next(coming)
        if error is None:
            results.append({"status": status, "id": point_id})
        else:
            results.append({"status": "error", "id": point_id, "error": envelope(error)})
    return {"results": results}


def stored_vector(point: Point) -> dict[str, object]:
    """A `wire.StoredVector`, its meta still in bytes."""
    return {"id": point.id, "vector": np.ascontiguousarray(point.vector), "meta": stored_json(point.payload)}


def search_request(body: wire.Search) -> SearchRequest:
    """A question by vector."""
    return SearchRequest(vector=body.vector, top_k=body.k, filter=exact_filter(body.filters or {}))


def exact_filter(filters: dict[str, Any]) -> Filter | None:
    """Every value of ``filters`` is that of its key in the meta.

    Raises:
        InvalidRequest: A value is a list or an object, or there are too many.
    """
    if len(filters) > _MAX_FILTER_VALUES:
        raise InvalidRequest(f"'filters' has more than {_MAX_FILTER_VALUES} values.", {"at": "filters"})
    for key, value in filters.items():
        if isinstance(value, list | dict):
            raise InvalidRequest(
                f"filters.{key[:64]} is a list or an object; filters match exactly, so a value must be a "
                "string, a number, a boolean or null.",
                {"at": f"filters.{key[:64]}"},
            )
    return And(tuple(Eq((key,), value) for key, value in filters.items())) if filters else None


def hits(answer: SearchAnswer, body: wire.Search) -> dict[str, object]:
    """A `wire.Hits`, the metas still in bytes."""
    described = _with_meta if body.include_meta else _without_meta
    return {"hits": [described(hit) for hit in answer.hits]}


def _with_meta(hit: Hit) -> dict[str, object]:
    return {"id": hit.id, "score": float(hit.score), "meta": stored_json(hit.payload)}


def _without_meta(hit: Hit) -> dict[str, object]:
    return {"id": hit.id, "score": float(hit.score)}


def _row(view: CollectionView) -> wire.CollectionRow:
    collection = view.collection
    return wire.CollectionRow(
        collection=collection.name,
        dim=collection.dimension,
        metric=_METRIC_NAMES[collection.metric],
        live_count=view.points,
        total_records=view.records,
        upsert_count=view.writes,
        file_len=view.index_bytes,
        applied_offset=None if view.writes is None else view.writes + 1,
        created_at_ms=_ms(collection.created_at),
        updated_at_ms=_ms(view.updated_at),
    )


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)
