"""Between the Vectory API's wire models and searches. Pure functions."""

import math
from typing import Any
from uuid import uuid4

import numpy as np

from serve.answer import stored_json
from serve.service.search import HybridRequest, SearchAnswer, SearchRequest
from serve.surfaces.vectory import wire
from vectoray.core.errors import InvalidRequest
from vectoray.core.filters import And, Eq, Filter, Path
from vectoray.core.hybrid import Weighted
from vectoray.core.model import Hit, Metric

_MAX_FILTER_DEPTH = 32
# Every shard looks for every one of them.
_MAX_FILTER_VALUES = 1000

METRICS: dict[wire.MetricName, Metric] = {
    "cosine": Metric.COSINE,
    "euclidean": Metric.EUCLIDEAN,
    "dot_product": Metric.DOT,
}
METRIC_NAMES: dict[Metric, wire.MetricName] = {metric: name for name, metric in METRICS.items()}


def search_request(body: wire.Query) -> SearchRequest:
    """A question by vector or text."""
    return SearchRequest(
        vector=body.vector,
        text=body.text,
        top_k=body.top_k,
        filter=metadata_filter(body.filters or {}),
        include_vectors=body.include_vectors,
        metric=METRICS[body.distance_metric] if body.distance_metric else None,
    )


def hybrid_request(body: wire.HybridSearch) -> HybridRequest:
    """A question by vector and words."""
    return HybridRequest(
        vector=body.vector,
        text=body.text,
        top_k=body.top_k,
        filter=metadata_filter(body.filters or {}),
        include_vectors=body.include_vectors,
        fusion=Weighted(body.vector_weight, body.text_weight),
    )


def metadata_filter(document: dict[str, Any]) -> Filter | None:
    """Every value of ``document`` is found at its place in the metadata.

    Raises:
        InvalidRequest: A value is a list or an empty object, the object is nested too deeply, or there are
            too many values.
    """
    conditions: list[Filter] = []
    _add_conditions(document, (), conditions)
    return And(tuple(conditions)) if conditions else None


def query_results(answer: SearchAnswer, body: wire.Query) -> dict[str, object]:
    """A `wire.QueryResults`, its metadata still in bytes."""
    metric = answer.collection.metric
    return _results(
        answer, [_result(hit, metric, include_metadata=body.include_metadata) for hit in answer.hits]
    )


def hybrid_results(answer: SearchAnswer, body: wire.HybridSearch) -> dict[str, object]:
    """A `wire.HybridResults`, its metadata still in bytes."""
    metric = answer.collection.metric
    return _results(
        answer, [_hybrid_result(hit, metric, include_metadata=body.include_metadata) for hit in answer.hits]
    )


def distance_of(score: float, metric: Metric) -> float:
    """The distance that ``score`` was made of; for the inner product, its negative."""
    if metric is Metric.COSINE:
        return 1 - score
    if metric is Metric.DOT:
        return -score
    return 1 / score - 1 if score > 0 else math.inf


def _add_conditions(document: dict[str, Any], path: Path, conditions: list[Filter]) -> None:
    if len(path) >= _MAX_FILTER_DEPTH:
        raise InvalidRequest(f"'filters' is nested more than {_MAX_FILTER_DEPTH} levels deep.")
    for key, value in document.items():
        where = (*path, key)
        if len(conditions) >= _MAX_FILTER_VALUES:
            raise InvalidRequest(f"'filters' has more than {_MAX_FILTER_VALUES} values.")
        if isinstance(value, list) or value == {}:
            raise InvalidRequest(
                f"filters.{'.'.join(where)} is a list or an empty object; only strings, numbers, booleans, "
                "null and objects of these can be compared."
            )
        if isinstance(value, dict):
            _add_conditions(value, where, conditions)
        else:
            conditions.append(Eq(where, value))


def _results(answer: SearchAnswer, results: list[dict[str, object]]) -> dict[str, object]:
    return {
        "results": results,
        "total": len(results),
        "latency_ms": round(answer.elapsed_ms, 3),
        "collection_id": answer.collection.id,
        "distance_metric": METRIC_NAMES[answer.collection.metric],
        "query_id": str(uuid4()),
    }


def _hybrid_result(hit: Hit, metric: Metric, *, include_metadata: bool) -> dict[str, object]:
    result = _result(hit, metric, include_metadata=include_metadata)
    by_vector = None if hit.ranking is None else hit.ranking.vector_score
    result["distance"] = None if by_vector is None else distance_of(by_vector, metric)
    result["vector_score"] = by_vector
    result["text_score"] = None if hit.ranking is None else hit.ranking.text_score
    return result


def _result(hit: Hit, metric: Metric, *, include_metadata: bool) -> dict[str, object]:
    score = float(hit.score)
    result: dict[str, object] = {
        "id": hit.id,
        "score": score,
        "distance": distance_of(score, metric),
        "text_content": hit.text,
    }
    if include_metadata:
        result["metadata"] = stored_json(hit.payload)
    if hit.vector is not None:
        result["vector"] = np.ascontiguousarray(hit.vector)
    return result
