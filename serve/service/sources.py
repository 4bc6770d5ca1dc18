"""Changes and deletes all points that came from one document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson

from cluster.engine import Engine
from serve.auth import Principal
from serve.service.ownership import Address, find_collection
from storage.catalog import Catalog
from vectoray.core.accounts import Scope
from vectoray.core.errors import Conflict, InvalidRequest
from vectoray.core.filters import SourceIs
from vectoray.core.model import Collection, Point, PointBatch, WriteMode
from vectoray.core.vectors import check_source

# So many are in memory, and in one write, at a time.
_BATCH_ROWS = 500
# Each of them has seen another writer of the same point come first.
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class SourceService:
    """Points by the document that they came from; see `vectoray.core.model.Point.source`."""

    catalog: Catalog
    engine: Engine

    async def delete(self, caller: Principal, address: Address, source: str) -> int:
        """Delete a document's points durably. Returns how many there were.

        Raises:
            PermissionDenied: The caller's key is for reading.
            CollectionNotFound: There is no such collection that the caller may see.
            LimitExceeded: No source can be so long.
        """
        collection = await find_collection(self.catalog, caller, address, Scope.WRITE)
        check_source(source, where="filename")
        return len(await self.engine.delete_matching(collection, SourceIs(source)))

    async def merge(
        self, caller: Principal, address: Address, source: str, payload: Mapping[str, Any]
    ) -> int:
        """Set these keys in the payload of each of a document's points durably; the others stay.

        What others write to the points at the same time stays too. Points are changed in batches: those
        before an error are changed, and doing it again does the rest.

        Args:
            caller: Who asks.
            address: Which collection.
            source: The document.
            payload: The keys, and their values, of a decoded JSON object.

        Returns:
            How many points were changed.

        Raises:
            PermissionDenied: The caller's key is for reading.
            CollectionNotFound: There is no such collection that the caller may see.
            InvalidRequest: ``payload`` is nested too deeply.
            LimitExceeded: No source can be so long.
            Conflict: Others wrote one of the points again and again meanwhile.
        """
        collection = await find_collection(self.catalog, caller, address, Scope.WRITE)
        check_source(source, where="filename")
        changed = 0
        batches = self.engine.scan(collection, batch_rows=_BATCH_ROWS, condition=SourceIs(source))
        async for points in batches:
            for start in range(0, len(points), _BATCH_ROWS):
                changed += await self._merge(collection, points[start : start + _BATCH_ROWS], payload)
        return changed

    async def _merge(
        self, collection: Collection, points: Sequence[Point], payload: Mapping[str, Any]
    ) -> int:
        """Change points as they were read, and again those that somebody else has changed since."""
        source = points[0].source
        changed = 0
        for _ in range(_ATTEMPTS):
            result = await self.engine.write(
                collection,
                _batch([_merged(point, payload) for point in points]),
                WriteMode.UPDATE,
                atomic=False,
                expected_seqs=np.array([point.seq for point in points], dtype=np.uint64),
            )
            changed += result.written
            if not result.refused:
                return changed
            now = await self.engine.get(collection, [points[row].id for row in result.refused])
            points = [point for point in now if point is not None and point.source == source]
            if not points:
                return changed
        raise Conflict(
            f"Vectors of '{source}' were changed by others at the same time; try again.", {"source": source}
        )


def _merged(point: Point, payload: Mapping[str, Any]) -> Point:
    try:
        return replace(point, payload=orjson.dumps({**orjson.loads(point.payload), **payload}))
    except TypeError:
        raise InvalidRequest("The metadata is nested too deeply.", {"at": "metadata"}) from None


def _batch(points: Sequence[Point]) -> PointBatch:
    return PointBatch(
        ids=[point.id for point in points],
        vectors=np.stack([point.vector for point in points]),
        payloads=[point.payload for point in points],
        texts=[point.text for point in points],
        sources=[point.source for point in points],
        chunk_indexes=[point.chunk_index for point in points],
    )
