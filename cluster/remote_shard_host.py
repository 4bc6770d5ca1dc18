"""The way to a shard host in another process: calls to it go together in batches."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, cast

from cluster.batching import Batcher, BatchLimits
from cluster.calls import Answer, Call, decode_answers, encode_calls
from cluster.metrics import BATCH_REQUESTS
from cluster.remote import RemoteDeployment
from cluster.settings import ClusterSettings
from cluster.shard_host import shard_host_name
from cluster.writes import Write
from storage.listing import Listing, ScanStep
from vectoray.core.filters import Filter
from vectoray.core.hybrid import Candidate, HybridQuery
from vectoray.core.model import (
    Collection,
    CollectionStats,
    Point,
    PointBatch,
    SearchQuery,
    SearchResult,
    WriteResult,
)

# A payload, a text and an id take about so much beside their vector.
_ROW_BYTES = 512
# Graphs take their time to build, and a commit waits for whatever else its shard publishes.
_LOAD_TIMEOUT_S = 120.0
# Of how many collections batches are kept that nobody waits for.
_IDLE_COLLECTIONS = 256


class _Request(NamedTuple):
    method: str
    arguments: tuple[object, ...]
    expires_s: float


_Batches = Batcher[_Request, object]


class _OfEachCollection:
    """Batches of each collection by itself.

    A call comes back when all that it carries is answered: a shard that takes long to open, or waits for its
    disk, would hold up the collections that its calls are shared with.
    """

    def __init__(self, make: Callable[[], _Batches]) -> None:
        self._make = make
        self._batchers: dict[str, _Batches] = {}

    @property
    def waiting(self) -> int:
        return sum(batches.waiting for batches in self._batchers.values())

    def of(self, collection: Collection) -> _Batches:
        found = self._batchers.get(collection.id)
        if found is None:
            if len(self._batchers) >= _IDLE_COLLECTIONS:
                self._batchers = {key: one for key, one in self._batchers.items() if not one.is_idle}
            found = self._batchers[collection.id] = self._make()
        return found


class RemoteShardHost:
    """A `cluster.engine.ShardHost` in another process.

    Quick reads, reads that may take long, and writes of each collection have calls of their own, so that none
    waits for another kind, nor for another collection.
    """

    def __init__(self, number: int, settings: ClusterSettings) -> None:
        """Make it; the host is looked up when it is first called."""
        self._timeout_s = settings.shard_timeout_s
        self._remote = RemoteDeployment(shard_host_name(number), timeout_s=self._timeout_s)
        self._loads = RemoteDeployment(
            shard_host_name(number), timeout_s=max(_LOAD_TIMEOUT_S, self._timeout_s)
        )
        self._reads = self._batcher(settings, "reads", calls=1, repeatable=True)
        self._slow_reads = self._batcher(settings, "slow_reads", calls=4, repeatable=True)
        self._writes = self._batcher(settings, "writes", calls=2, repeatable=False)

    async def create(self, collection: Collection, shards: Sequence[int]) -> None:
        """As `cluster.engine.ShardHost.create`."""
        await self._remote.call("create", collection, shards, repeatable=True)

    async def drop(self, collection: Collection, shards: Sequence[int]) -> None:
        """As `cluster.engine.ShardHost.drop`."""
        await self._remote.call("drop", collection, shards, repeatable=True)

    async def open(self, collection: Collection, shards: Sequence[int]) -> str | None:
        """As `cluster.engine.ShardHost.open`."""
        return cast("str | None", await self._remote.call("open", collection, shards, repeatable=True))

    async def write(self, collection: Collection, parts: Mapping[int, Write]) -> dict[int, WriteResult]:
        """As `cluster.engine.ShardHost.write`."""
        batches = [part.batch for part in parts.values()]
        size_bytes = sum(batch.vectors.nbytes + _ROW_BYTES * len(batch) for batch in batches)
        answer = await self._ask(self._writes, "write", collection, parts, size_bytes=size_bytes)
        return cast("dict[int, WriteResult]", answer)

    async def delete(self, collection: Collection, parts: Mapping[int, Sequence[str]]) -> list[str]:
        """As `cluster.engine.ShardHost.delete`."""
        return cast("list[str]", await self._ask(self._writes, "delete", collection, parts))

    async def delete_matching(
        self, collection: Collection, shards: Sequence[int], condition: Filter
    ) -> list[str]:
        """As `cluster.engine.ShardHost.delete_matching`."""
        answer = await self._ask(self._writes, "delete_matching", collection, shards, condition)
        return cast("list[str]", answer)

    async def get(self, collection: Collection, parts: Mapping[int, Sequence[str]]) -> list[Point]:
        """As `cluster.engine.ShardHost.get`."""
        return cast("list[Point]", await self._ask(self._reads, "get", collection, parts))

    async def search(self, collection: Collection, shards: Sequence[int], query: SearchQuery) -> SearchResult:
        """As `cluster.engine.ShardHost.search`."""
        calls = self._reads if query.filter is None else self._slow_reads
        return cast("SearchResult", await self._ask(calls, "search", collection, shards, query))

    async def hybrid(
        self, collection: Collection, shards: Sequence[int], query: HybridQuery
    ) -> list[Candidate]:
        """As `cluster.engine.ShardHost.hybrid`."""
        answer = await self._ask(self._slow_reads, "hybrid", collection, shards, query)
        return cast("list[Candidate]", answer)

    async def newest(
        self, collection: Collection, shards: Sequence[int], count: int, condition: Filter | None
    ) -> Listing:
        """As `cluster.engine.ShardHost.newest`."""
        answer = await self._ask(self._slow_reads, "newest", collection, shards, count, condition)
        return cast("Listing", answer)

    async def scan(
        self,
        collection: Collection,
        shard: int,
        start_hash: int,
        count: int,
        condition: Filter | None,
    ) -> ScanStep:
        """As `cluster.engine.ShardHost.scan`."""
        answer = await self._ask(self._slow_reads, "scan", collection, shard, start_hash, count, condition)
        return cast("ScanStep", answer)

    async def write_fragment(
        self, collection: Collection, shard: int, job: str, part: str, batch: PointBatch
    ) -> str:
        """As `cluster.engine.ShardHost.write_fragment`."""
        return cast("str", await self._loads.call("write_fragment", collection, shard, job, part, batch))

    async def commit_fragments(
        self, collection: Collection, job: str, part: str, fragments: Mapping[int, Sequence[str]]
    ) -> None:
        """As `cluster.engine.ShardHost.commit_fragments`."""
        await self._loads.call("commit_fragments", collection, job, part, fragments, repeatable=True)

    async def loaded_parts(
        self, collection: Collection, shards: Sequence[int], job: str
    ) -> list[frozenset[str]]:
        """As `cluster.engine.ShardHost.loaded_parts`."""
        answer = await self._loads.call("loaded_parts", collection, shards, job, repeatable=True)
        return cast("list[frozenset[str]]", answer)

    async def end_load(self, collection: Collection, shards: Sequence[int], job: str) -> None:
        """As `cluster.engine.ShardHost.end_load`."""
        await self._loads.call("end_load", collection, shards, job, repeatable=True)

    async def stats(
        self, collections: Sequence[tuple[Collection, Sequence[int]]]
    ) -> list[CollectionStats | None]:
        """As `cluster.engine.ShardHost.stats`."""
        return cast(
            "list[CollectionStats | None]", await self._remote.call("stats", collections, repeatable=True)
        )

    async def optimize(self, collection: Collection, shards: Sequence[int]) -> None:
        """As `cluster.engine.ShardHost.optimize`."""
        await self._remote.call("optimize", collection, shards, repeatable=True)

    @property
    def waiting(self) -> dict[str, int]:
        """How many requests of each kind wait for a call."""
        return {
            "reads": self._reads.waiting,
            "slow_reads": self._slow_reads.waiting,
            "writes": self._writes.waiting,
        }

    async def close(self) -> None:
        """Nothing: the process belongs to the cluster, not to this caller."""

    def _batcher(
        self, settings: ClusterSettings, kind: str, *, calls: int, repeatable: bool
    ) -> _OfEachCollection:
        tags = {"kind": kind}
        return _OfEachCollection(
            lambda: Batcher(
                partial(self._send, repeatable=repeatable),
                limits=BatchLimits(calls=calls, waiting=settings.shard_queue_length),
                timeout_s=settings.shard_timeout_s,
                observe=lambda requests: BATCH_REQUESTS.observe(requests, tags),
            )
        )

    async def _ask(
        self,
        calls: _OfEachCollection,
        method: str,
        collection: Collection,
        *arguments: object,
        size_bytes: int = 0,
    ) -> object:
        expires_s = asyncio.get_running_loop().time() + self._timeout_s
        request = _Request(method, (collection, *arguments), expires_s)
        return await calls.of(collection).ask(request, size_bytes=size_bytes)

    async def _send(self, requests: Sequence[_Request], *, repeatable: bool) -> Sequence[Answer]:
        now_s = asyncio.get_running_loop().time()
        calls = [Call(one.method, one.arguments, max(0.0, one.expires_s - now_s)) for one in requests]
        answers = await self._remote.call("answer", encode_calls(calls), repeatable=repeatable)
        return decode_answers(answers)
