"""The engine over shard hosts on Ray: what gateways and pipelines use."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from cluster.engine import ShardHost
from cluster.fan_out import fan_out
from cluster.fragments import is_here, write_fragment
from cluster.local_reads import LocalReads
from cluster.metrics import LAG_WRITES, MERGE, OPEN_COLLECTIONS, SEARCH, WAITING_REQUESTS, Sampling
from cluster.placement import shards_by_host, split_ids
from cluster.remote import this_node
from cluster.remote_shard_host import RemoteShardHost
from cluster.settings import ClusterSettings
from cluster.sharded_engine import ShardedEngine
from cluster.shards import hybrid_heads, newest_of_heads, search_heads
from storage.listing import Listing, ScanStep, scan
from storage.view import ShardView
from vectoray.core.filters import Filter
from vectoray.core.fusion import fuse
from vectoray.core.hybrid import HybridQuery
from vectoray.core.model import Collection, Point, PointBatch, SearchQuery, SearchResult, merge_hits

_Elsewhere = list[tuple[ShardHost, Sequence[int]]]


class RayEngine(ShardedEngine):
    """An `cluster.engine.Engine` over the deployed shard hosts. Needs a process that has joined Ray.

    Shards of this process's node are read in this process, from the files that their owners publish, and
    the fragments of bulk loads are written there; all else goes to the owner.
    """

    def __init__(self, settings: ClusterSettings, *, data_dir: Path | None = None) -> None:
        """Make it; hosts are looked up when they are first called.

        Args:
            settings: How many hosts there are, and how long they may take.
            data_dir: The data folder of this node's hosts; None to use nothing of it here.
        """
        self._remote = [RemoteShardHost(number, settings) for number in range(settings.shard_hosts)]
        super().__init__(self._remote)
        self._local = (
            LocalReads(data_dir, node=this_node, max_collections=settings.gateway_open_collections)
            if data_dir is not None
            else None
        )
        self._data_dir = data_dir
        self._sampling: Sampling | None = None

    async def search(self, collection: Collection, query: SearchQuery) -> SearchResult:
        """As `Engine.search`."""
        started_s = time.perf_counter()
        here, elsewhere = await self._views(collection, range(collection.shards))
        calls = [host.search(collection, shards, query) for host, shards in elsewhere]
        if here:
            # Last: it holds up this process, while the others are under way.
            calls.append(search_heads([view.head for view in here.values()], collection, query))
        results = await fan_out(calls)
        found_s = SEARCH.done(started_s)
        if len(results) == 1:
            return results[0]
        merged = merge_hits([part.hits for part in results], query.top_k)
        MERGE.done(found_s)
        return merged

    async def hybrid(self, collection: Collection, query: HybridQuery) -> SearchResult:
        """As `Engine.hybrid`."""
        here, elsewhere = await self._views(collection, range(collection.shards))
        calls = [host.hybrid(collection, shards, query) for host, shards in elsewhere]
        if here:
            calls.append(hybrid_heads([view.head for view in here.values()], collection, query))
        return fuse(query, await fan_out(calls))

    async def get(self, collection: Collection, ids: Sequence[str]) -> list[Point | None]:
        """As `Engine.get`."""
        parts = split_ids(ids, collection.shards)
        here, elsewhere = await self._views(collection, parts)
        answers = await fan_out(
            host.get(collection, {shard: parts[shard] for shard in shards}) for host, shards in elsewhere
        )
        found: dict[str, Point | None] = {point.id: point for answer in answers for point in answer}
        for shard, view in here.items():
            found.update((point_id, view.get(point_id)) for point_id in parts[shard])
        return [found.get(point_id) for point_id in ids]

    async def _newest(self, collection: Collection, count: int, condition: Filter | None) -> list[Listing]:
        here, elsewhere = await self._views(collection, range(collection.shards))
        calls = [host.newest(collection, shards, count, condition) for host, shards in elsewhere]
        if here:
            calls.append(newest_of_heads([view.head for view in here.values()], count, condition))
        return await fan_out(calls)

    async def _scan(
        self,
        collection: Collection,
        shard: int,
        start_hash: int,
        count: int,
        condition: Filter | None,
    ) -> ScanStep:
        here, _ = await self._views(collection, [shard])
        if not here:
            return await super()._scan(collection, shard, start_hash, count, condition)
        return await asyncio.to_thread(scan, here[shard].head, start_hash, count, condition)

    async def _write_fragment(
        self, collection: Collection, shard: int, job: str, part: str, batch: PointBatch
    ) -> str:
        if self._data_dir is None or not is_here(self._data_dir, collection, shard):
            return await super()._write_fragment(collection, shard, job, part, batch)
        # Another node may have a folder of this name, with a shard that has moved.
        if await self._host(collection.hosts[shard]).open(collection, [shard]) != this_node():
            return await super()._write_fragment(collection, shard, job, part, batch)
        return await asyncio.to_thread(write_fragment, self._data_dir, collection, shard, job, part, batch)

    def measure(self, role: str) -> None:
        """Say every few seconds how this process is, until the engine is closed.

        Args:
            role: What the process is, for people.
        """
        self._sampling = Sampling(role, self._sample)

    async def drop(self, collection: Collection) -> None:
        """As `Engine.drop`."""
        if self._local is not None:
            self._local.forget(collection.id)
        await super().drop(collection)

    async def close(self) -> None:
        """As `Engine.close`."""
        if self._sampling is not None:
            self._sampling.close()
        if self._local is not None:
            self._local.close()
        await super().close()

    def _sample(self) -> None:
        waiting = Counter[str]()
        for host in self._remote:
            waiting.update(host.waiting)
        for kind, count in waiting.items():
            WAITING_REQUESTS.set(count, {"kind": kind})
        if self._local is not None:
            OPEN_COLLECTIONS.set(self._local.open_collections)
            LAG_WRITES.set(self._local.lag_writes)

    async def _views(
        self, collection: Collection, wanted: Iterable[int]
    ) -> tuple[dict[int, ShardView], _Elsewhere]:
        """The shards that can be read here, and the others by host."""
        wanted = set(wanted)
        here: dict[int, ShardView] = {}
        elsewhere: _Elsewhere = []
        for number, owned in shards_by_host(collection.hosts).items():
            shards = [shard for shard in owned if shard in wanted]
            if not shards:
                continue
            host = self._host(number)
            views = None
            if self._local is not None:
                views = await self._local.views(collection, number, host, shards)
            if views is None:
                elsewhere.append((host, shards))
            else:
                here.update(zip(shards, views, strict=True))
        return here, elsewhere
