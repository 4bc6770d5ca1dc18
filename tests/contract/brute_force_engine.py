"""An `Engine` that keeps points in a dict and compares with every one."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from vectoray.core.filters import And, Eq, Filter
from vectoray.core.model import (
    Collection,
    CollectionStats,
    FloatVector,
    Hit,
    Metric,
    Point,
    PointBatch,
    SearchQuery,
    SearchResult,
    merge_hits,
)

LAST_WRITE_MS = 4_000_000_000_000


class BruteForceEngine:
    """An `Engine` small enough to be right by reading."""

    def __init__(self) -> None:
        self.shards: dict[str, dict[str, Point]] = {}

    async def create(self, collection: Collection) -> None:
        self.shards.setdefault(collection.id, {})

    async def drop(self, collection: Collection) -> None:
        self.shards.pop(collection.id, None)

    async def upsert(self, collection: Collection, batch: PointBatch) -> int:
        points = self.shards[collection.id]
        for row, point_id in enumerate(batch.ids):
            points[point_id] = Point(
                id=point_id,
                vector=batch.vectors[row],
                payload=batch.payloads[row],
                text=batch.texts[row],
                seq=row,
                updated_ms=LAST_WRITE_MS,
            )
        return len(batch)

    async def delete(self, collection: Collection, ids: Sequence[str]) -> list[str]:
        points = self.shards[collection.id]
        return [point_id for point_id in ids if points.pop(point_id, None) is not None]

    async def get(self, collection: Collection, ids: Sequence[str]) -> list[Point | None]:
        return [self.shards[collection.id].get(point_id) for point_id in ids]

    async def search(self, collection: Collection, query: SearchQuery) -> SearchResult:
        hits = []
        for point in self.shards[collection.id].values():
            score = _score(collection.metric, query.vector, point.vector)
            if query.score_threshold is not None and score < query.score_threshold:
                continue
            if query.filter is None or _matches(query.filter, orjson.loads(point.payload)):
                vector = point.vector if query.include_vectors else None
                hits.append(Hit(point.id, score, point.payload, point.text, vector))
        return merge_hits([hits], query.top_k)

    async def stats(self, collections: Sequence[Collection]) -> list[CollectionStats]:
        sizes = [len(self.shards[collection.id]) for collection in collections]
        return [CollectionStats(size, LAST_WRITE_MS if size else 0) for size in sizes]

    async def close(self) -> None:
        self.shards.clear()


def _score(metric: Metric, a: FloatVector, b: FloatVector) -> float:
    if metric is Metric.EUCLIDEAN:
        return float(1 / (1 + np.linalg.norm(a - b)))
    norm = math.sqrt(float(a @ a) * float(b @ b)) if metric is Metric.COSINE else 1.0
    return float(np.float32(float(a @ b) / norm))


def _matches(condition: Filter, payload: Any) -> bool:
    if isinstance(condition, And):
        return all(_matches(part, payload) for part in condition.conditions)
    assert isinstance(condition, Eq)
    for step in condition.path:
        if not isinstance(payload, dict) or step not in payload:
            return False
        payload = payload[step]
    return bool(payload == condition.value and isinstance(payload, bool) == isinstance(condition.value, bool))
