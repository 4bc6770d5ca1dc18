"""A process of the cluster that owns shards, as a Ray Serve deployment, and the way to call it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import ray.serve

from cluster.logs import configure_logs
from cluster.remote import RemoteDeployment
from cluster.settings import ClusterSettings
from cluster.shards import OpenShards
from storage.settings import StorageSettings
from vectoray.core.model import Collection, CollectionStats, Point, PointBatch, SearchQuery, SearchResult


class ShardHostReplica(OpenShards):
    """What runs in the process.

    Ray Serve may start a successor while the old one still runs; the file lock of each shard decides which
    of them owns it.
    """

    def __init__(self, data_dir: Path, settings: StorageSettings) -> None:
        configure_logs()
        super().__init__(data_dir, settings)

    async def __del__(self) -> None:
        """Called by Ray Serve when the replica is stopped in an orderly way."""
        await self.close()


def shard_host_name(number: int) -> str:
    """Name of a host's deployment and application."""
    return f"shard-host-{number}"


def shard_host_app(number: int, data_dir: Path, storage: StorageSettings, cluster: ClusterSettings) -> Any:
    """The Ray Serve application of one shard host."""
    deployment = ray.serve.deployment(
        name=shard_host_name(number),
        num_replicas=1,
        max_ongoing_requests=cluster.shard_queue_length,
        max_queued_requests=cluster.shard_queue_length,
        health_check_period_s=2,
        health_check_timeout_s=10,
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=20,
        ray_actor_options={"num_cpus": 0},
    )(ShardHostReplica)
    return deployment.bind(data_dir, storage)


class RemoteShardHost:
    """A `cluster.engine.ShardHost` in another process."""

    def __init__(self, number: int, *, timeout_s: float) -> None:
        self._remote = RemoteDeployment(shard_host_name(number), timeout_s=timeout_s)

    async def create(self, collection: Collection, shards: Sequence[int]) -> None:
        """As `cluster.engine.ShardHost.create`."""
        await self._remote.call("create", collection, shards, repeatable=True)

    async def drop(self, collection: Collection, shards: Sequence[int]) -> None:
        """As `cluster.engine.ShardHost.drop`."""
        await self._remote.call("drop", collection, shards, repeatable=True)

    async def upsert(self, collection: Collection, parts: Mapping[int, PointBatch]) -> int:
        """As `cluster.engine.ShardHost.upsert`."""
        return cast("int", await self._remote.call("upsert", collection, parts))

    async def delete(self, collection: Collection, parts: Mapping[int, Sequence[str]]) -> list[str]:
        """As `cluster.engine.ShardHost.delete`."""
        return cast("list[str]", await self._remote.call("delete", collection, parts))

    async def get(self, collection: Collection, parts: Mapping[int, Sequence[str]]) -> list[Point]:
        """As `cluster.engine.ShardHost.get`."""
        return cast("list[Point]", await self._remote.call("get", collection, parts, repeatable=True))

    async def search(self, collection: Collection, shards: Sequence[int], query: SearchQuery) -> SearchResult:
        """As `cluster.engine.ShardHost.search`."""
        return cast(
            "SearchResult", await self._remote.call("search", collection, shards, query, repeatable=True)
        )

    async def stats(
        self, collections: Sequence[tuple[Collection, Sequence[int]]]
    ) -> list[CollectionStats | None]:
        """As `cluster.engine.ShardHost.stats`."""
        return cast(
            "list[CollectionStats | None]", await self._remote.call("stats", collections, repeatable=True)
        )

    async def close(self) -> None:
        """Nothing: the process belongs to the cluster, not to this caller."""
