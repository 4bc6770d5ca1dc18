"""Creates, shows and drops collections.

The catalog's row and the engine's shards change in an order that a crash between the two cannot spoil.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

import structlog

from cluster.engine import Engine
from serve.auth import Principal
from serve.service.completion import Completion
from serve.service.limits import CollectionDefaults, Limits
from serve.service.ownership import Address, find_collection, visible_owners
from serve.service.rights import require, require_all_collections
from storage.catalog import Catalog
from vectoray.core.accounts import Scope
from vectoray.core.errors import (
    CollectionNotFound,
    Conflict,
    InvalidRequest,
    LimitExceeded,
    ShardUnavailable,
    VectorayError,
)
from vectoray.core.model import Collection, CollectionStats, IndexOptions, Metric
from vectoray.core.vectors import check_name

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NewCollection:
    """What a caller says about a collection to create."""

    name: str
    dimension: int
    metric: Metric
    index: IndexOptions = field(default_factory=IndexOptions)
    description: str = ""


@dataclass(frozen=True, slots=True)
class CollectionView:
    """A collection and how full it is.

    Attributes:
        points: Live points; None while a shard does not answer.
        index_bytes: Size of the segments' files; None while a shard does not answer.
        updated_at: When the collection, or a point in it, was last changed.
    """

    collection: Collection
    points: int | None
    index_bytes: int | None
    updated_at: datetime

    @classmethod
    def of(cls, collection: Collection, stats: CollectionStats | None) -> "CollectionView":
        """Join what the catalog and the engine know."""
        if stats is None:
            return cls(collection, None, None, collection.updated_at)
        last_write = datetime.fromtimestamp(stats.last_write_ms / 1000, UTC)
        updated_at = max(collection.updated_at, last_write)
        return cls(collection, stats.points, stats.index_bytes, updated_at)


@dataclass(frozen=True, slots=True)
class CollectionService:
    """Collections, as their callers may see and change them."""

    catalog: Catalog
    engine: Engine
    limits: Limits
    defaults: CollectionDefaults
    completion: Completion

    async def create(self, caller: Principal, wanted: NewCollection) -> Collection:
        """Create a collection that the caller owns.

        Raises:
            PermissionDenied: The caller's key is for reading, or for certain collections.
            InvalidName: The name has characters that are not allowed.
            InvalidRequest: The dimension is below 1.
            LimitExceeded: The dimension is above the limit.
            CollectionExists: The caller has one of that name.
        """
        require(caller, Scope.WRITE)
        require_all_collections(caller)
        now = datetime.now(UTC)
        collection_id = str(uuid4())
        collection = Collection(
            id=collection_id,
            name=check_name(wanted.name),
            owner=caller.user,
            description=wanted.description,
            dimension=self._check_dimension(wanted.dimension),
            metric=wanted.metric,
            index=wanted.index,
            hosts=self.engine.place(collection_id, self.defaults.shards),
            embedding_model=self._default_model(wanted.dimension),
            created_at=now,
            updated_at=now,
        )
        await self.completion.of(self._create(collection))
        return collection

    async def describe(self, caller: Principal, address: Address) -> CollectionView:
        """One collection and how full it is.

        Raises:
            CollectionNotFound: There is none that the caller may see.
            ShardUnavailable: One of its shards does not answer.
        """
        collection = await find_collection(self.catalog, caller, address, Scope.READ)
        [stats] = await self.engine.stats([collection])
        if stats is None:
            raise ShardUnavailable("A shard of the collection does not answer; try again in a moment.")
        return CollectionView.of(collection, stats)

    async def page(
        self, caller: Principal, *, name: str | None = None, skip: int = 0, limit: int | None = None
    ) -> tuple[list[CollectionView], int]:
        """The caller's collections, oldest first, and how many there are without the limit.

        Args:
            caller: Whose collections.
            name: Only those of this name.
            skip: How many to leave out at the beginning.
            limit: How many at most.
        """
        collections, total = await self.catalog.page(
            visible_owners(caller), name=name, among=caller.collections, skip=skip, limit=limit
        )
        return await self._views(collections), total

    async def optimize(self, caller: Principal, address: Address) -> CollectionView:
        """Begin to make searches as quick as they can be; see `cluster.engine.Engine.optimize`.

        Returns:
            The collection as it is now, while that is under way.

        Raises:
            PermissionDenied: The caller's key is for reading.
            CollectionNotFound: There is none that the caller may see.
            ShardUnavailable: One of its shards does not answer.
        """
        await self.engine.optimize(await find_collection(self.catalog, caller, address, Scope.WRITE))
        return await self.describe(caller, address)

    async def drop(self, caller: Principal, address: Address) -> Collection:
        """Drop a collection and everything in it.

        Once the catalog says so the collection is gone, whatever comes after: shards that cannot be removed
        now are removed when the server next starts.

        Raises:
            PermissionDenied: The caller's key is for reading.
            CollectionNotFound: There is none that the caller may see.
        """
        collection = await find_collection(self.catalog, caller, address, Scope.WRITE)
        await self.completion.of(self._drop(collection))
        return collection

    async def _create(self, collection: Collection) -> None:
        await self.catalog.begin_create(collection)
        try:
            await self.engine.create(collection)
            finished = await self.catalog.finish_create(collection.id)
        except BaseException:
            await self.catalog.begin_drop(collection.id)
            await self._remove(collection)
            raise
        if not finished:
            raise Conflict(f"Collection '{collection.name}' was dropped while it was created.")

    async def _drop(self, collection: Collection) -> None:
        if not await self.catalog.begin_drop(collection.id):
            raise CollectionNotFound.of(collection.name)
        await self._remove(collection)

    async def _remove(self, collection: Collection) -> None:
        try:
            await self.engine.drop(collection)
            await self.catalog.finish_drop(collection.id)
        except VectorayError as error:
            _log.warning("collection_left_to_remove", collection_id=collection.id, reason=error.message)

    async def _views(self, collections: Sequence[Collection]) -> list[CollectionView]:
        stats = await self.engine.stats(collections) if collections else []
        return [CollectionView.of(*pair) for pair in zip(collections, stats, strict=True)]

    def _check_dimension(self, dimension: int) -> int:
        if dimension < 1:
            raise InvalidRequest("The dimension must be at least 1.", {"at": "dimension"})
        if dimension > self.limits.max_dimension:
            raise LimitExceeded(
                f"The dimension is {dimension}, at most {self.limits.max_dimension} are allowed.",
                {"at": "dimension", "limit": self.limits.max_dimension},
            )
        return dimension

    def _default_model(self, dimension: int) -> str | None:
        model = self.defaults.embedding_model
        return model.name if model is not None and model.dimension == dimension else None
