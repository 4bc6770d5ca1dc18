"""Inserts, reads and deletes points."""

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.engine import Engine
from serve.auth import Principal
from serve.service.limits import Limits
from serve.service.ownership import Address, find_collection
from storage.catalog import Catalog
from vectoray.core.errors import InvalidRequest, LimitExceeded, PointNotFound
from vectoray.core.model import FloatMatrix, FloatVector, Point, PointBatch
from vectoray.core.vectors import check_id, stack_vectors


@dataclass(frozen=True, slots=True)
class NewPoints:
    """Points to insert, in columns of equal length, not checked yet.

    Attributes:
        vectors: float32, shape (n, d), or rows of shape (d,) whose lengths differ; all may be wrong.
        payloads: JSON objects as UTF-8 bytes.
        texts: What full-text search sees, or None.
    """

    ids: Sequence[str]
    vectors: FloatMatrix | Sequence[FloatVector]
    payloads: Sequence[bytes]
    texts: Sequence[str | None]


@dataclass(frozen=True, slots=True)
class PointService:
    """Points of one collection at a time."""

    catalog: Catalog
    engine: Engine
    limits: Limits

    async def insert(self, caller: Principal, address: Address, points: NewPoints) -> int:
        """Write points durably, replacing those whose id exists. Returns how many rows were sent.

        Everything is checked before anything is written. An id sent twice is one point: the later row wins.

        Raises:
            CollectionNotFound: There is no such collection that the caller may see.
            DimensionMismatch, InvalidRequest, LimitExceeded: The first bad row, named as ``vectors[i]``.
        """
        collection = await find_collection(self.catalog, caller, address)
        self._check_count(len(points.ids))
        for row, point_id in enumerate(points.ids):
            check_id(point_id, where=f"vectors[{row}].id")
        batch = PointBatch(
            ids=points.ids,
            vectors=stack_vectors(points.vectors, dimension=collection.dimension, metric=collection.metric),
            payloads=points.payloads,
            texts=points.texts,
        )
        await self.engine.upsert(collection, batch)
        return len(batch)

    async def get(self, caller: Principal, address: Address, point_id: str) -> Point:
        """One point.

        Raises:
            CollectionNotFound, PointNotFound: It is not there, or not the caller's to see.
            InvalidRequest, LimitExceeded: No point can have such an id.
        """
        collection = await find_collection(self.catalog, caller, address)
        [point] = await self.engine.get(collection, [check_id(point_id, where="id")])
        if point is None:
            raise PointNotFound.of(collection=collection.name, point_id=point_id)
        return point

    async def delete(self, caller: Principal, address: Address, point_id: str) -> None:
        """Delete one point durably.

        Raises:
            CollectionNotFound, PointNotFound: It is not there, or not the caller's to see.
            InvalidRequest, LimitExceeded: No point can have such an id.
        """
        collection = await find_collection(self.catalog, caller, address)
        if not await self.engine.delete(collection, [check_id(point_id, where="id")]):
            raise PointNotFound.of(collection=collection.name, point_id=point_id)

    def _check_count(self, rows: int) -> None:
        if rows == 0:
            raise InvalidRequest("'vectors' is empty; send at least one.", {"at": "vectors"})
        if rows > self.limits.max_batch_points:
            raise LimitExceeded(
                f"'vectors' has {rows} items, at most {self.limits.max_batch_points} are allowed; "
                "send them in smaller batches.",
                {"at": "vectors", "limit": self.limits.max_batch_points},
            )
