"""What a collection of shards can do, wherever the shards live."""

from collections.abc import Sequence
from typing import Protocol

from vectoray.core.model import Collection, CollectionStats, Point, PointBatch, SearchQuery, SearchResult


class Engine(Protocol):
    """Writes, reads and searches of whole collections.

    Callers have checked rights, limits and dimensions. Every method may raise an
    `vectoray.core.errors.Unavailable`; none ever answers from only some of the shards.
    """

    async def create(self, collection: Collection) -> None:
        """Make the collection's empty shards. Shards that are there already are left as they are."""

    async def drop(self, collection: Collection) -> None:
        """Remove the collection's shards and their data. Shards that are gone already are no error."""

    async def upsert(self, collection: Collection, batch: PointBatch) -> int:
        """Write points durably, replacing those whose id exists. Returns how many rows were written.

        A batch spreads over several shards: each shard's part is all or nothing.
        """

    async def delete(self, collection: Collection, ids: Sequence[str]) -> list[str]:
        """Delete points durably. Returns the ids that existed, in the order asked."""

    async def get(self, collection: Collection, ids: Sequence[str]) -> list[Point | None]:
        """The points with these ids, in the order asked; None where there is none."""

    async def search(self, collection: Collection, query: SearchQuery) -> SearchResult:
        """The best ``query.top_k`` points, best first, ties broken by id."""

    async def stats(self, collections: Sequence[Collection]) -> list[CollectionStats]:
        """How full each collection is, in the order asked."""

    async def close(self) -> None:
        """Release what the engine holds. Acknowledged writes are safe without it."""
