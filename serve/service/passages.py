"""Reads a point with what stands before and after it in the document that it came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from serve.auth import Principal
from serve.service.ownership import Address
from serve.service.points import PointService
from vectoray.core.filters import And, Eq, In
from vectoray.core.model import Point

_SOURCE = "source"
_INDEX = "chunk_index"


@dataclass(frozen=True, slots=True)
class Passage:
    """A point, and its neighbours in the order of the document."""

    point: Point
    before: Sequence[Point] = ()
    after: Sequence[Point] = ()


@dataclass(frozen=True, slots=True)
class PassageService:
    """Passages of one collection at a time."""

    points: PointService

    async def read(self, caller: Principal, address: Address, point_id: str, *, around: int) -> Passage:
        """One point with its neighbours, where its payload says which chunk of which source it is.

        Args:
            caller: Who asks.
            address: Which collection.
            point_id: Which point.
            around: How many to read before it, and how many after it.

        Raises:
            CollectionNotFound, PointNotFound: It is not there, or not the caller's to see.
            InvalidRequest, LimitExceeded: No point can have such an id.
        """
        point = await self.points.get(caller, address, point_id)
        payload = orjson.loads(point.payload)
        source, index = source_of(payload), payload.get(_INDEX)
        if not around or source is None or type(index) is not int:
            return Passage(point)
        indexes = tuple(other for other in range(index - around, index + around + 1) if other != index)
        page = await self.points.page(
            caller,
            address,
            limit=len(indexes),
            condition=And((Eq((_SOURCE,), source), In((_INDEX,), indexes))),
        )
        neighbours = sorted((orjson.loads(one.payload)[_INDEX], one.id, one) for one in page.points)
        return Passage(
            point,
            before=[one for place, _, one in neighbours if place < index],
            after=[one for place, _, one in neighbours if place > index],
        )


def source_of(payload: Mapping[str, Any]) -> str | None:
    """The document that a payload names as its source; None if it names none."""
    source = payload.get(_SOURCE)
    return source if isinstance(source, str) else None
