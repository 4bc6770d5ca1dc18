"""Creates, shows, changes and drops collections, as their callers may."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

from cluster.engine import Engine
from serve.auth import Principal
from serve.service.collection_checks import check_config, check_description, check_dimension, model_for
from serve.service.completion import Completion
from serve.service.event_relay import EventRelay
from serve.service.lifecycle import create_collection, drop_collection
from serve.service.limits import CollectionDefaults, Limits
from serve.service.ownership import Address, ById, find_collection, visible_owners
from serve.service.rights import require, require_all_collections
from storage.catalog import Catalog
from vectoray.core.accounts import Scope
from vectoray.core.errors import CollectionNotFound, ShardUnavailable
from vectoray.core.model import Collection, CollectionStats, IndexOptions, Metric
from vectoray.core.vectors import check_name
from vectoray.embedding import ModelInfo


@dataclass(frozen=True, slots=True)
class NewCollection:
    """What a caller says about a collection to create, not checked yet.

    Attributes:
        embedding_model: What its vectors come from; None for the default model, where the dimension fits.
        config: What they keep with it: a JSON object as UTF-8 bytes.
    """

    name: str
    dimension: int
    metric: Metric
    index: IndexOptions = field(default_factory=IndexOptions)
    description: str = ""
    embedding_model: str | None = None
    config: bytes | None = None


@dataclass(frozen=True, slots=True)
class CollectionView:
    """A collection and how full it is.

    Attributes:
        points: Live points; None while a shard does not answer.
        index_bytes: Size of the segments' files; None while a shard does not answer.
        updated_at: When the collection, or a point in it, was last changed.
        records: Rows kept, see `vectoray.core.model.CollectionStats`; None while a shard does not answer.
        writes: Points written and deleted, likewise.
    """

    collection: Collection
    points: int | None
    index_bytes: int | None
    updated_at: datetime
    records: int | None
    writes: int | None

    @classmethod
    def empty(cls, collection: Collection) -> "CollectionView":
        """A collection that was made a moment ago."""
        return cls(collection, 0, 0, collection.updated_at, records=0, writes=0)

    @classmethod
    def of(cls, collection: Collection, stats: CollectionStats | None) -> "CollectionView":
        """Join what the catalog and the engine know."""
        if stats is None:
            return cls(collection, None, None, collection.updated_at, None, None)
        last_write = datetime.fromtimestamp(stats.last_write_ms / 1000, UTC)
        updated_at = max(collection.updated_at, last_write)
        return cls(collection, stats.points, stats.index_bytes, updated_at, stats.records, stats.writes)


@dataclass(frozen=True, slots=True)
class CollectionService:
    """Collections, as their callers may see and change them."""

    catalog: Catalog
    engine: Engine
    limits: Limits
    defaults: CollectionDefaults
    completion: Completion
    models: Sequence[ModelInfo]
    relay: EventRelay

    async def create(self, caller: Principal, wanted: NewCollection) -> Collection:
        """Create a collection that the caller owns.

        Raises:
            PermissionDenied: The caller's key is for reading, or for certain collections.
            InvalidName: The name has characters that are not allowed.
            InvalidRequest, LimitExceeded: The dimension, the description, the model or the config cannot be.
            DimensionMismatch: The server has the model, and it is of another dimension.
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
            description=check_description(wanted.description),
            dimension=check_dimension(wanted.dimension, self.limits),
            metric=wanted.metric,
            index=wanted.index,
            hosts=self.engine.place(collection_id, self.defaults.shards),
            embedding_model=model_for(
                wanted.embedding_model, wanted.dimension, models=self.models, defaults=self.defaults
            ),
            config=check_config(wanted.config),
            created_at=now,
            updated_at=now,
        )
        await self.completion.of(create_collection(self.catalog, self.engine, self.relay, collection))
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

    async def change(
        self, caller: Principal, address: Address, *, name: str | None, description: str | None
    ) -> CollectionView:
        """Change what is given, and keep the rest. Returns the collection as it is afterwards.

        Raises:
            PermissionDenied: The caller's key is for reading.
            CollectionNotFound: There is none that the caller may see.
            InvalidName: The name has characters that are not allowed.
            InvalidRequest, LimitExceeded: The description cannot be such.
            CollectionExists: The owner has another one of that name.
            ShardUnavailable: One of its shards does not answer; the change is made.
        """
        collection = await find_collection(self.catalog, caller, address, Scope.WRITE)
        changed = await self.catalog.change(
            collection.id,
            name=None if name is None else check_name(name),
            description=None if description is None else check_description(description),
            now=datetime.now(UTC),
        )
        if not changed:
            raise CollectionNotFound.of(collection.name)
        await self.relay.relay()
        return await self.describe(caller, ById(collection.id))

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

        Raises:
            PermissionDenied: The caller's key is for reading.
            CollectionNotFound: There is none that the caller may see.
        """
        collection = await find_collection(self.catalog, caller, address, Scope.WRITE)
        await self.completion.of(drop_collection(self.catalog, self.engine, self.relay, collection))
        return collection

    async def _views(self, collections: Sequence[Collection]) -> list[CollectionView]:
        stats = await self.engine.stats(collections) if collections else []
        return [CollectionView.of(*pair) for pair in zip(collections, stats, strict=True)]
