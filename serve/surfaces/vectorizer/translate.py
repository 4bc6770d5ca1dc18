"""Between the Vectorizer API's wire models and core values. Pure functions."""

import numpy as np

from serve.answer import stored_json
from serve.service.collections import CollectionView, NewCollection
from serve.service.health import Health
from serve.service.search import SearchAnswer, SearchRequest
from serve.surfaces.vectorizer import wire
from vectoray.core.model import Hit, IndexOptions, Metric, Point

METRICS: dict[wire.MetricName, Metric] = {
    "cosine": Metric.COSINE,
    "euclidean": Metric.EUCLIDEAN,
    "dotproduct": Metric.DOT,
}
_METRIC_NAMES: dict[Metric, wire.MetricName] = {metric: name for name, metric in METRICS.items()}


def health_info(health: Health) -> wire.HealthInfo:
    """The health of the server."""
    return wire.HealthInfo(
        status="degraded" if health.unavailable else "healthy",
        version=health.version,
        uptime=health.uptime_s,
        collections=health.collections,
        total_vectors=health.points,
    )


def new_collection(body: wire.CreateCollection) -> NewCollection:
    """A collection to create."""
    config = body.hnsw_config or wire.HnswConfig()
    return NewCollection(
        name=body.name,
        dimension=body.dimension,
        metric=METRICS[body.metric],
        index=IndexOptions(**config.model_dump()),
    )


def collection_info(view: CollectionView) -> wire.CollectionInfo:
    """A collection."""
    return wire.CollectionInfo(
        name=view.collection.name,
        dimension=view.collection.dimension,
        metric=_METRIC_NAMES[view.collection.metric],
        vector_count=view.points,
        created_at=view.collection.created_at,
        updated_at=view.updated_at,
    )


def stored_vector(point: Point) -> dict[str, object]:
    """A `wire.StoredVector`, its payload still in bytes."""
    return {
        "id": point.id,
        "vector": np.ascontiguousarray(point.vector),
        "payload": stored_json(point.payload),
    }


def search_request(body: wire.Search) -> SearchRequest:
    """A question by vector."""
    return SearchRequest(
        vector=body.vector,
        top_k=body.limit,
        score_threshold=body.score_threshold,
        include_vectors=True,
    )


def search_results(answer: SearchAnswer) -> dict[str, object]:
    """A `wire.SearchResults`, its payloads still in bytes."""
    return {"results": [_result(hit) for hit in answer.hits], "query_time_ms": round(answer.elapsed_ms, 3)}


def _result(hit: Hit) -> dict[str, object]:
    return {
        "id": hit.id,
        "score": float(hit.score),
        "vector": None if hit.vector is None else np.ascontiguousarray(hit.vector),
        "payload": stored_json(hit.payload),
    }
