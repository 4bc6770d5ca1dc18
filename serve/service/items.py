"""Writes and deletes batches of points item by item: what is wrong with one does not stop the others."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cluster.engine import Engine
from serve.auth import Principal
from serve.service.limits import Limits, check_most
from serve.service.ownership import Address, find_collection
from serve.service.points import NewPoints, checked_batch
from storage.catalog import Catalog
from vectoray.core.accounts import Scope
from vectoray.core.errors import InvalidRequest, PointNotFound, VectorayError
from vectoray.core.model import Collection, PointBatch
from vectoray.core.vectors import check_id


@dataclass(frozen=True, slots=True)
class ItemService:
    """Batches of one collection, of which the good items go to the engine together."""

    catalog: Catalog
    engine: Engine
    limits: Limits

    async def upsert(
        self, caller: Principal, address: Address, points: NewPoints
    ) -> list[InvalidRequest | None]:
        """Write the points that can be written, durably, replacing those whose id exists.

        An id sent twice is written twice: the later item wins.

        Returns:
            For each item, in order, why it cannot be written; None if it is.

        Raises:
            PermissionDenied: The caller's key is for reading.
            CollectionNotFound: There is no such collection that the caller may see.
            LimitExceeded: There are too many items.
        """
        collection = await find_collection(self.catalog, caller, address, Scope.WRITE)
        check_most(len(points.ids), self.limits, where="items")
        batch, faults = _sorted_out(collection, points, self.limits)
        if batch is not None:
            await self.engine.write(collection, batch)
        return faults

    async def delete(
        self, caller: Principal, address: Address, ids: Sequence[str]
    ) -> list[VectorayError | None]:
        """Delete the points that are there, durably.

        An id sent twice is gone when its second turn comes.

        Returns:
            For each id, in order, why there was nothing to delete; None if its point is deleted.

        Raises:
            PermissionDenied: The caller's key is for reading.
            CollectionNotFound: There is no such collection that the caller may see.
            LimitExceeded: There are too many ids.
        """
        collection = await find_collection(self.catalog, caller, address, Scope.WRITE)
        check_most(len(ids), self.limits, where="ids")
        faults = [_id_fault(point_id, where="id") for point_id in ids]
        good = dict.fromkeys(one for one, fault in zip(ids, faults, strict=True) if fault is None)
        existing = set(await self.engine.delete(collection, list(good))) if good else set()
        outcomes: list[VectorayError | None] = []
        for point_id, fault in zip(ids, faults, strict=True):
            if fault is None and point_id not in existing:
                outcomes.append(PointNotFound.of(collection=collection.name, point_id=point_id))
            else:
                outcomes.append(fault)
            existing.discard(point_id)
        return outcomes


def _sorted_out(
    collection: Collection, points: NewPoints, limits: Limits
) -> tuple[PointBatch | None, list[InvalidRequest | None]]:
    """The points that can be written, and why each of the others cannot."""
    if not points.ids:
        return None, []
    try:
        # Mostly nothing is wrong, which is quicker found out about all together.
        return checked_batch(collection, points, limits), [None] * len(points.ids)
    except InvalidRequest:
        faults = [_fault(collection, points, row, limits) for row in range(len(points.ids))]
    good = [row for row, fault in enumerate(faults) if fault is None]
    if not good:
        return None, faults
    batch = PointBatch(
        ids=[points.ids[row] for row in good],
        vectors=np.stack([points.vectors[row] for row in good]),
        payloads=[points.payloads[row] for row in good],
        texts=[points.texts[row] for row in good],
    )
    return batch, faults


def _fault(collection: Collection, points: NewPoints, row: int, limits: Limits) -> InvalidRequest | None:
    alone = NewPoints(
        ids=[points.ids[row]],
        vectors=[points.vectors[row]],
        payloads=[points.payloads[row]],
        texts=[points.texts[row]],
        where=points.where,
    )
    try:
        checked_batch(collection, alone, limits)
    except InvalidRequest as error:
        return error
    return None


def _id_fault(point_id: str, *, where: str) -> InvalidRequest | None:
    try:
        check_id(point_id, where=where)
    except InvalidRequest as error:
        return error
    return None
