"""What a collection of shards can do, wherever they live, and what their hosts do for it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from vectoray.core.model import Collection, CollectionStats, Point, PointBatch, SearchQuery, SearchResult


class Engine(Protocol):
    """Writes, reads and searches of whole collections.

    Callers have checked rights, limits and dimensions. Every method may raise an
    `vectoray.core.errors.Unavailable`; none ever answers from only some of the shards.
    """

    def place(self, collection_id: str, shards: int) -> tuple[int, ...]:
        """For each shard of a new collection, the number of the host that shall own it."""

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

    async def stats(self, collections: Sequence[Collection]) -> list[CollectionStats | None]:
        """How full each collection is, in the order asked; None where a shard does not answer."""

    async def close(self) -> None:
        """Release what the engine holds. Acknowledged writes are safe without it."""


class ShardHost(Protocol):
    """Owner of some shards, in this process or elsewhere: what an engine fans out to.

    ``shards`` are numbers of shards of the collection that this host owns.
    """

    async def create(self, collection: Collection, shards: Sequence[int]) -> None:
        """Make empty shards; those that are there are left as they are."""

    async def drop(self, collection: Collection, shards: Sequence[int]) -> None:
        """Close shards and remove their data; those that are gone are no error."""

    async def open(self, collection: Collection, shards: Sequence[int]) -> str | None:
        """Own shards from now on, so that others may follow them by their files.

        Returns:
            The node where the files lie; None if nobody else may read them.
        """

    async def upsert(self, collection: Collection, parts: Mapping[int, PointBatch]) -> int:
        """Write each shard's batch durably. Returns how many rows were written."""

    async def delete(self, collection: Collection, parts: Mapping[int, Sequence[str]]) -> list[str]:
        """Delete ids from their shards durably. Returns those that existed."""

    async def get(self, collection: Collection, parts: Mapping[int, Sequence[str]]) -> list[Point]:
        """The points that exist among each shard's ids."""

    async def search(self, collection: Collection, shards: Sequence[int], query: SearchQuery) -> SearchResult:
        """The best hits over these shards."""

    async def stats(
        self, collections: Sequence[tuple[Collection, Sequence[int]]]
    ) -> list[CollectionStats | None]:
        """How full these shards are, summed for each collection; None where one cannot be opened."""

    async def close(self) -> None:
        """Close every shard."""
