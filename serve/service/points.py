"""Writes, reads, lists and deletes points."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np

from cluster.engine import Engine
from serve.auth import Principal
from serve.service.collections import CollectionView
from serve.service.limits import Limits, check_most
from serve.service.ownership import Address, find_collection
from storage.catalog import Catalog
from vectoray.core.accounts import Scope
from vectoray.core.errors import Conflict, InvalidRequest, PointExists, PointNotFound, ShardUnavailable
from vectoray.core.filters import Filter
from vectoray.core.model import Collection, FloatMatrix, FloatVector, Point, PointBatch, WriteMode
from vectoray.core.vectors import check_chunk_index, check_id, check_source, check_vector, stack_vectors

# Each of them has seen another writer of the same point come first.
_UPDATE_ATTEMPTS = 5
# Of a scan: so many are in memory at a time.
_EXPORT_ROWS = 1000


@dataclass(frozen=True, slots=True)
class NewPoints:
    """Points to insert, in columns of equal length, not checked yet.

    Attributes:
        vectors: float32, shape (n, d), or rows of shape (d,) whose lengths differ; all may be wrong.
        payloads: JSON objects as UTF-8 bytes.
        texts: What full-text search sees, or None.
        sources: The document that each came from, or None. None for the column: there are none.
        chunk_indexes: Which chunk of it, or None; likewise.
        where: What comes before a field's name where a row is named in an error; ``{row}`` is its number.
    """

    ids: Sequence[str]
    vectors: FloatMatrix | Sequence[FloatVector]
    payloads: Sequence[bytes]
    texts: Sequence[str | None]
    sources: Sequence[str | None] | None = None
    chunk_indexes: Sequence[int | None] | None = None
    where: str = "vectors[{row}]."

    def place(self, row: int, name: str) -> str:
        """How to call a field of a row in an error."""
        return self.where.format(row=row) + name


class Unchanged(Enum):
    """Says of a part of a point that it stays as it is."""

    UNCHANGED = auto()


@dataclass(frozen=True, slots=True)
class PointChange:
    """What becomes of a point, not checked yet.

    Attributes:
        vector: float32, shape (d,).
        payload: The whole JSON object as UTF-8 bytes.
        text: What full-text search sees, or None.
    """

    vector: FloatVector | Unchanged = Unchanged.UNCHANGED
    payload: bytes | Unchanged = Unchanged.UNCHANGED
    text: str | Unchanged | None = Unchanged.UNCHANGED

    def of(self, point: Point) -> PointBatch:
        """The changed point, as a batch of one."""
        vector = point.vector if isinstance(self.vector, Unchanged) else self.vector
        return PointBatch(
            ids=[point.id],
            vectors=np.ascontiguousarray(vector[None], dtype=np.float32),
            payloads=[point.payload if isinstance(self.payload, Unchanged) else self.payload],
            texts=[point.text if isinstance(self.text, Unchanged) else self.text],
            sources=[point.source],
            chunk_indexes=[point.chunk_index],
        )


@dataclass(frozen=True, slots=True)
class PointPage:
    """Some points of a collection, and how many there are."""

    collection: Collection
    points: Sequence[Point]
    total: int


@dataclass(frozen=True, slots=True)
class PointExport:
    """A collection and all its points, a batch at a time; see `cluster.engine.Engine.scan`."""

    view: CollectionView
    batches: AsyncIterator[list[Point]]


@dataclass(frozen=True, slots=True)
class PointService:
    """Points of one collection at a time."""

    catalog: Catalog
    engine: Engine
    limits: Limits

    async def upsert(self, caller: Principal, address: Address, points: NewPoints) -> int:
        """Write points durably, replacing those whose id exists. Returns how many rows were sent.

        Everything is checked before anything is written. An id sent twice is one point: the later row wins.

        Raises:
            PermissionDenied: The caller's key is for reading.
            CollectionNotFound: There is no such collection that the caller may see.
            DimensionMismatch, InvalidRequest, LimitExceeded: The first bad row, named as ``vectors[i]``.
        """
        collection = await find_collection(self.catalog, caller, address, Scope.WRITE)
        batch = self._checked(collection, points)
        await self.engine.write(collection, batch)
        return len(batch)

    async def insert(self, caller: Principal, address: Address, points: NewPoints) -> int:
        """Write new points durably, all or none. Returns how many rows were sent.

        Only if someone else writes one of the ids at the same moment, and the collection has several shards,
        others of the batch may be there after an error.

        Raises:
            PermissionDenied: The caller's key is for reading.
            CollectionNotFound: There is no such collection that the caller may see.
            DimensionMismatch, InvalidRequest, LimitExceeded: The first bad row, named as ``vectors[i]``.
            PointExists: An id is there already, or twice in the batch.
        """
        collection = await find_collection(self.catalog, caller, address, Scope.WRITE)
        batch = self._checked(collection, points)
        if collection.shards > 1:
            # Before any shard writes its part; a single one refuses all of it by itself.
            await self._refuse_existing(collection, batch.ids)
        result = await self.engine.write(collection, batch, WriteMode.INSERT)
        if result.refused:
            raise PointExists.of(collection=collection.name, point_id=batch.ids[result.refused[0]])
        return len(batch)

    async def update(self, caller: Principal, address: Address, point_id: str, change: PointChange) -> Point:
        """Change parts of a point durably. Returns the point as it is afterwards.

        The rest stays as it is, whoever else writes the point at the same time.

        Raises:
            PermissionDenied: The caller's key is for reading.
            CollectionNotFound, PointNotFound: It is not there, or not the caller's to see.
            DimensionMismatch, InvalidRequest, LimitExceeded: The id or the vector cannot be.
            Conflict: Others wrote the point again and again meanwhile; nothing was changed.
        """
        collection = await find_collection(self.catalog, caller, address, Scope.WRITE)
        check_id(point_id, where="id")
        if not isinstance(change.vector, Unchanged):
            check_vector(
                change.vector, dimension=collection.dimension, metric=collection.metric, where="vector"
            )
        for _ in range(_UPDATE_ATTEMPTS):
            point = await self._existing(collection, point_id)
            changed = change.of(point)
            self.limits.check_sizes(changed.payloads, changed.texts)
            seqs = np.array([point.seq], dtype=np.uint64)
            result = await self.engine.write(collection, changed, WriteMode.UPDATE, expected_seqs=seqs)
            if not result.refused:
                return await self._existing(collection, point_id)
        raise Conflict(
            f"Vector '{point_id}' was changed by others at the same time; try again.", {"vector_id": point_id}
        )

    async def get(self, caller: Principal, address: Address, point_id: str) -> Point:
        """One point.

        Raises:
            CollectionNotFound, PointNotFound: It is not there, or not the caller's to see.
            InvalidRequest, LimitExceeded: No point can have such an id.
        """
        collection = await find_collection(self.catalog, caller, address, Scope.READ)
        return await self._existing(collection, check_id(point_id, where="id"))

    async def page(
        self,
        caller: Principal,
        address: Address,
        *,
        skip: int = 0,
        limit: int,
        condition: Filter | None = None,
    ) -> PointPage:
        """Points, newest first, and how many there are without ``skip`` and ``limit``.

        Args:
            caller: Who asks.
            address: Which collection.
            skip: How many to leave out at the beginning; the API family has checked its bounds.
            limit: How many at most; likewise.
            condition: Only points whose payload meets it.

        Raises:
            CollectionNotFound: There is no such collection that the caller may see.
        """
        collection = await find_collection(self.catalog, caller, address, Scope.READ)
        points, total = await self.engine.page(collection, skip=skip, limit=limit, condition=condition)
        return PointPage(collection, points, total)

    async def export(self, caller: Principal, address: Address) -> PointExport:
        """All points. The first batch is read now, the others as they are asked for.

        Raises:
            CollectionNotFound: There is no such collection that the caller may see.
            ShardUnavailable: One of its shards does not answer; of the later ones the batches say so.
        """
        collection = await find_collection(self.catalog, caller, address, Scope.READ)
        [stats] = await self.engine.stats([collection])
        if stats is None:
            raise ShardUnavailable("A shard of the collection does not answer; try again in a moment.")
        batches = self.engine.scan(collection, batch_rows=_EXPORT_ROWS)
        nothing: list[Point] = []
        first = await anext(batches, nothing)
        return PointExport(CollectionView.of(collection, stats), _with_first(first, batches))

    async def delete(self, caller: Principal, address: Address, point_id: str) -> None:
        """Delete one point durably.

        Raises:
            PermissionDenied: The caller's key is for reading.
            CollectionNotFound, PointNotFound: It is not there, or not the caller's to see.
            InvalidRequest, LimitExceeded: No point can have such an id.
        """
        collection = await find_collection(self.catalog, caller, address, Scope.WRITE)
        if not await self.engine.delete(collection, [check_id(point_id, where="id")]):
            raise PointNotFound.of(collection=collection.name, point_id=point_id)

    async def delete_many(self, caller: Principal, address: Address, ids: Sequence[str]) -> list[str]:
        """Delete points durably. Returns the ids that existed, in the order asked.

        Raises:
            PermissionDenied: The caller's key is for reading.
            CollectionNotFound: There is no such collection that the caller may see.
            InvalidRequest, LimitExceeded: There are no ids, or too many, or no point can have one of them.
        """
        collection = await find_collection(self.catalog, caller, address, Scope.WRITE)
        self._check_count(len(ids), "ids")
        for row, point_id in enumerate(ids):
            check_id(point_id, where=f"ids[{row}]")
        return await self.engine.delete(collection, ids)

    async def delete_matching(self, caller: Principal, address: Address, condition: Filter) -> list[str]:
        """Delete the points whose payload meets a condition durably. Returns their ids, in no order.

        Raises:
            PermissionDenied: The caller's key is for reading.
            CollectionNotFound: There is no such collection that the caller may see.
        """
        collection = await find_collection(self.catalog, caller, address, Scope.WRITE)
        return await self.engine.delete_matching(collection, condition)

    def _checked(self, collection: Collection, points: NewPoints) -> PointBatch:
        self._check_count(len(points.ids), "vectors")
        return checked_batch(collection, points, self.limits)

    def _check_count(self, rows: int, where: str) -> None:
        if rows == 0:
            raise InvalidRequest(f"'{where}' is empty; send at least one.", {"at": where})
        check_most(rows, self.limits, where=where)

    async def _refuse_existing(self, collection: Collection, ids: Sequence[str]) -> None:
        seen: set[str] = set()
        for point_id, point in zip(ids, await self.engine.get(collection, ids), strict=True):
            if point is not None or point_id in seen:
                raise PointExists.of(collection=collection.name, point_id=point_id)
            seen.add(point_id)

    async def _existing(self, collection: Collection, point_id: str) -> Point:
        [point] = await self.engine.get(collection, [point_id])
        if point is None:
            raise PointNotFound.of(collection=collection.name, point_id=point_id)
        return point


async def _with_first(first: list[Point], others: AsyncIterator[list[Point]]) -> AsyncIterator[list[Point]]:
    yield first
    async for batch in others:
        yield batch


def checked_batch(collection: Collection, points: NewPoints, limits: Limits) -> PointBatch:
    """The points as the engine takes them.

    Raises:
        DimensionMismatch, InvalidRequest, LimitExceeded: About the first row that cannot be written.
    """
    for row, point_id in enumerate(points.ids):
        check_id(point_id, where=points.place(row, "id"))
    for row, source in enumerate(points.sources or ()):
        if source is not None:
            check_source(source, where=points.place(row, "source_file"))
    for row, index in enumerate(points.chunk_indexes or ()):
        if index is not None:
            check_chunk_index(index, where=points.place(row, "chunk_index"))
    limits.check_sizes(points.payloads, points.texts, where=points.where)
    vectors = stack_vectors(
        points.vectors,
        dimension=collection.dimension,
        metric=collection.metric,
        where=f"{points.where}vector",
    )
    return PointBatch(
        ids=points.ids,
        vectors=vectors,
        payloads=points.payloads,
        texts=points.texts,
        sources=points.sources,
        chunk_indexes=points.chunk_indexes,
    )
